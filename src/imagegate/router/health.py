"""What is known of one deployment: its failures, its rest, what it is doing, how fast it is."""

from collections import deque

from imagegate.errors import ImageError

MINUTE_S = 60.0
WORDS_CHARS_MAX = 300
SPEED_S = 600.0
"""So long a duration is believed; then the deployment is tried again."""
_NEW_SHARE = 0.3  # how much a new duration counts against all before it


class Health:
    """One deployment's health; times are monotonic seconds. Lives as long as the process."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.retrying = 0
        self.resting_until_s = 0.0
        self.rests_in_row = 0
        self.fails_in_row = 0
        self.last_words = ""
        self.rests = 0
        self._seconds_an_image: float | None = None
        self._measured_at_s = 0.0
        self._probe: object = None
        self._failed_at_s: deque[float] = deque()
        self._begun: deque[tuple[float, int]] = deque()  # when, and of how many images
        self._images_begun = 0

    def is_resting(self, now_s: float) -> bool:
        """Return whether it is left alone."""
        return now_s < self.resting_until_s

    @property
    def is_half_open(self) -> bool:
        """Whether it rested, and nothing has succeeded since: one call at a time is a probe."""
        return self.rests_in_row > 0

    @property
    def is_probed(self) -> bool:
        """Whether a call is on its way that tells whether it serves again."""
        return self._probe is not None

    def seconds_an_image(self, now_s: float) -> float | None:
        """Return how fast it is, None where nobody knows or that is long ago."""
        return self._seconds_an_image if now_s < self._measured_at_s + SPEED_S else None

    def begin(self, step: object, images: int, now_s: float) -> None:
        """Note a request for `images` of a call's `step`."""
        self.in_flight += 1
        if self.is_half_open:
            self._probe = step
        self.begun(now_s)
        self._begun.append((now_s, images))
        self._images_begun += images

    def succeed(self, step: object, images: int, seconds: float, now_s: float) -> None:
        """Note the end of a request that brought images."""
        self.let_go(step)
        self.fails_in_row = self.rests_in_row = 0
        self._probe = None
        self._failed_at_s.clear()
        share_s, known_s = seconds / max(images, 1), self.seconds_an_image(now_s)
        fresh = share_s if known_s is None else known_s + _NEW_SHARE * (share_s - known_s)
        self._seconds_an_image, self._measured_at_s = fresh, now_s

    def let_go(self, step: object) -> None:
        """Note the end of a request that says nothing about the deployment."""
        self.in_flight -= 1
        if self._probe is step:
            self._probe = None

    def fail(self, step: object, error: ImageError, now_s: float) -> None:
        """Note the end of a request by a failure of the deployment."""
        self.let_go(step)
        self.fails_in_row += 1
        self.fails(now_s)
        self._failed_at_s.append(now_s)
        words = error.upstream.text if error.upstream else error.message
        self.last_words = words[:WORDS_CHARS_MAX]

    def rest(self, until_s: float) -> None:
        """Leave it alone until then."""
        self.resting_until_s = max(self.resting_until_s, until_s)
        self.rests_in_row += 1
        self.rests += 1

    def fails(self, now_s: float) -> int:
        """Return how often it failed within the last minute; forget what was before."""
        while self._failed_at_s and self._failed_at_s[0] <= now_s - MINUTE_S:
            self._failed_at_s.popleft()
        return len(self._failed_at_s)

    def begun(self, now_s: float) -> tuple[int, int]:
        """Return how many requests and images were begun within the last minute; forget others."""
        while self._begun and self._begun[0][0] <= now_s - MINUTE_S:
            self._images_begun -= self._begun.popleft()[1]
        return len(self._begun), self._images_begun

    def oldest_begun_s(self) -> float:
        """Return when the oldest request of the last minute was begun; asked after `begun`."""
        return self._begun[0][0] if self._begun else 0.0
