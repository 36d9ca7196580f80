"""One try at one deployment: its row, its exchange, its line in the journal, its end."""

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from imagegate import clock
from imagegate.assets.journal import Opened
from imagegate.catalogue.model import Model, Price
from imagegate.errors import (
    AttemptReport,
    ImageError,
    UpstreamFailedError,
    UpstreamTimeoutError,
)
from imagegate.ledger.answers import write_brought, write_told
from imagegate.ledger.records import AttemptEnd, AttemptRecord
from imagegate.plan import Plan
from imagegate.telemetry import OPERATION_NAMES, Attribute
from imagegate.transport.live import LiveConversation
from imagegate.types import Blob, ImageCall, ImageResult
from imagegate.wire.exchange import Exchange

REQUEST_ID_HEADERS = ("x-request-id", "apim-request-id", "x-amzn-requestid")
RELAYED_PREFIX = "x-ratelimit-"
KEY_CHARS = 40


class Attempt:
    """One try. `conversation` and `step_number` are set once it has begun.

    `is_guarded`: its images are nobody's before a guardrail has let them pass.
    """

    def __init__(self, plan: Plan, *, number: int, owner: str, estimate_e10: int | None) -> None:
        deployment = plan.deployment
        self.plan = plan
        self.id = clock.new_id("att")
        self.conversation: LiveConversation | None = None
        self.step_number = 0
        self.is_guarded = False
        self.record = AttemptRecord(
            id=self.id,
            call_id=plan.call.id,
            number=number,
            deployment_id=deployment.id,
            provider=deployment.provider.name,
            upstream_model=deployment.target.upstream_model,
            dispatched_at=clock.now_s(),
            price=_price_snapshot(plan),
            estimate_e10=estimate_e10,
            owner=owner,
        )

    def exchange(self) -> Exchange:
        """Return the adapter's generator for this attempt."""
        plan = self.plan
        adapter = plan.deployment.provider.adapter(plan.call.operation)
        assert adapter is not None, "a plan is made only where there is an adapter"
        return adapter(plan.call, plan.deployment.target)

    def idempotency_key(self, callers_key: str) -> str:
        """Return the key that it is sent with: its own id, unless its caller gave one.

        Then it follows from that, the deployment and the part, so that an upstream can tell the
        same request of another process, or of another life of this one.
        """
        if not callers_key:
            return self.id
        text = "\n".join((callers_key, self.plan.deployment.id, str(self.plan.start)))
        return f"key_{hashlib.sha256(text.encode()).hexdigest()[:KEY_CHARS]}"

    def attributes(self) -> dict[str, Attribute]:
        """Return what a trace says of this attempt."""
        deployment = self.plan.deployment
        return {
            "gen_ai.operation.name": OPERATION_NAMES[self.plan.call.operation],
            "gen_ai.provider.name": deployment.provider.name,
            "gen_ai.request.model": deployment.target.upstream_model,
            "imagegate.deployment": deployment.id,
            "imagegate.attempt": self.record.number,
            "imagegate.attempt_id": self.id,
        }

    def opened(self) -> Opened:
        """Return the journal's line that goes before anything is sent."""
        deployment = self.plan.deployment
        return Opened(
            attempt=self.id,
            provider=deployment.provider.name,
            model=deployment.model.id if deployment.model else "",
            call=without_bytes(self.plan.call),
            target=deployment.target,
            is_guarded=self.is_guarded,
        )

    def settled(self, result: ImageResult, cost_e10: int | None) -> AttemptEnd:
        """Return the end of an attempt that brought images."""
        return AttemptEnd(
            id=self.id,
            state="settled",
            ended_at=clock.now_s(),
            cost_e10=cost_e10,
            usage=usage_json(result),
            upstream_request_id=self.request_id,
            upstream_status=200,
            answer=answer_of(self.plan.call, result, self.plan.warnings),
        )

    def failed(self, error: ImageError, *, is_replaced: bool = False) -> AttemptEnd:
        """Return the end of an attempt that brought none: what is ambiguous stays unknown."""
        words = error.upstream
        return AttemptEnd(
            id=self.id,
            state=self._state_after(error),
            ended_at=clock.now_s(),
            cost_e10=None if error.fault == "ambiguous" else error.cost_e10,
            error_code=error.code,
            error_text=words.text if words else error.message,
            upstream_request_id=self.request_id,
            upstream_status=words.status if words else None,
            answer=write_told(error, is_replaced=is_replaced),
        )

    def report(self, error: ImageError) -> AttemptReport:
        """Return what a caller may see of a failed attempt."""
        return AttemptReport(
            deployment=self.plan.deployment.id,
            state=self._state_after(error),
            code=error.code,
            message=error.message,
            upstream=error.upstream,
            provider=self.plan.deployment.provider.name,
            model=self.plan.deployment.target.upstream_model,
        )

    def late(self, limit_s: float) -> UpstreamTimeoutError:
        """Return the error of an attempt that was waited for no longer."""
        return UpstreamTimeoutError(
            f"{self.plan.deployment.id} did not finish within {limit_s:g} s. The image may have "
            "been made and billed."
        )

    @property
    def request_id(self) -> str:
        """The upstream's own id of the request, `""` where it gave none."""
        return request_id_in(self._headers)

    def relayed_headers(self) -> dict[str, str]:
        """Return the upstream's headers that a caller may see, under our names."""
        headers = self._headers
        relayed = {
            name: value for name, value in headers.items() if name.startswith(RELAYED_PREFIX)
        }
        if request_id := request_id_in(headers):
            relayed["x-imagegate-upstream-request-id"] = request_id
        return relayed

    @property
    def _headers(self) -> Mapping[str, str]:
        return self.conversation.headers if self.conversation else {}

    def _state_after(self, error: ImageError) -> Literal["unsent", "refused", "unknown"]:
        if error.fault == "ambiguous":
            return "unknown"
        was_sent = self.conversation is not None and self.conversation.headers
        return "refused" if was_sent else "unsent"


def request_id_in(headers: Mapping[str, str]) -> str:
    """Return the upstream's own id of a request by its answer's headers, `""` for none."""
    for name in REQUEST_ID_HEADERS:
        if name in headers:
            return headers[name]
    return ""


def without_bytes(call: ImageCall) -> ImageCall:
    """Return the call with its inputs named but empty: a replay sends nothing again."""
    has_files = call.images or call.mask or call.markup
    if not has_files and call.operation != "responses":
        return call
    return msgspec.structs.replace(
        call,
        images=tuple(
            _emptied(image) if isinstance(image, Blob) else image for image in call.images
        ),
        mask=_emptied(call.mask) if isinstance(call.mask, Blob) else call.mask,
        markup=_emptied(call.markup) if call.markup else None,
        extra={} if call.operation == "responses" else call.extra,
    )


def answer_of(call: ImageCall, result: ImageResult, warnings: Sequence[str] = ()) -> str | None:
    """Return what is written to give the same answer again; a relayed response never is."""
    return None if call.operation == "responses" else write_brought(result, warnings)


def usage_json(result: ImageResult) -> str | None:
    """Return the upstream's usage as JSON, None where it gave none."""
    usage = result.raw_usage or result.usage
    return msgspec.json.encode(usage).decode() if usage else None


def at_price(model: Model | None, snapshot: str) -> Model | None:
    """Return the model at the price of an admission, which is also that of its settlement.

    None where it had no price and is none that the catalogue knows.
    """
    found = msgspec.json.decode(snapshot)
    if found.get("price") is None:
        return model
    row = model or Model(id=found["model"], operations=(), source="", checked=datetime.date.min)
    return msgspec.structs.replace(row, price=msgspec.convert(found["price"], Price))


def _emptied(blob: Blob) -> Blob:
    return msgspec.structs.replace(blob, source=b"", offset=0, length=0, encoding="raw")


def _price_snapshot(plan: Plan) -> str:
    model = plan.deployment.charged_as
    if model is None or model.price is None:
        return "{}"
    source = "configuration" if model.price.is_own else f"catalogue, {model.checked}"
    snapshot = {"model": model.id, "source": source, "price": model.price}
    return msgspec.json.encode(snapshot).decode()


def internal_error(bug: Exception) -> UpstreamFailedError:
    """Return what a caller is told of a defect of ours: an image may be made by then."""
    return UpstreamFailedError(
        f"A defect of imagegate ended this call ({type(bug).__name__}); the image may have been "
        "made and billed. The log has the details: please report them.",
        code="internal_error",
        http_status=500,
    )
