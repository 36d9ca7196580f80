"""The exit codes of the command line. Scripts are built on them: they never change meaning."""

from imagegate.errors import (
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    ConfigError,
    ContentPolicyViolationError,
    ImageError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    RateLimitError,
    RequestTooLargeError,
    UnprocessableEntityError,
    UpstreamCredentialError,
    UpstreamModelNotFoundError,
)

OK = 0
LOCAL_FAILURE = 1
BAD_REQUEST = 2
CONFIG = 3
UPSTREAM = 4
LIMITED = 5
POLICY = 6
INTERRUPTED = 130

# The first class that fits counts; what fits none has failed upstream.
_CODES: tuple[tuple[tuple[type[ImageError], ...], int], ...] = (
    ((ContentPolicyViolationError,), POLICY),
    (
        (BadRequestError, NotFoundError, RequestTooLargeError, UnprocessableEntityError),
        BAD_REQUEST,
    ),
    ((ConfigError, AuthenticationError, PermissionDeniedError), CONFIG),
    ((UpstreamCredentialError, UpstreamModelNotFoundError), CONFIG),
    ((RateLimitError, OverloadedError, BudgetExceededError), LIMITED),
)


class Interrupted(Exception):
    """Ctrl-C came. `call_id` names the call that had been sent, `""` where none had."""

    def __init__(self, call_id: str) -> None:
        super().__init__(call_id)
        self.call_id = call_id


def exit_code(error: ImageError) -> int:
    """Return the exit code of an error."""
    return next((code for classes, code in _CODES if isinstance(error, classes)), UPSTREAM)
