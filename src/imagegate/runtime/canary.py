"""The only question of `doctor` that costs: the smallest image that a deployment makes (P7)."""

import msgspec

from imagegate import clock
from imagegate.assets.blobs import read_bytes
from imagegate.call_options import CallOptions
from imagegate.catalogue.price import format_usd
from imagegate.config.settings import Deployment, Settings
from imagegate.diagnosis.checkup import Step
from imagegate.diagnosis.our_errors import finding_for, today_of
from imagegate.errors import ImageError
from imagegate.plan import plan
from imagegate.running import Outcome, RunningCall
from imagegate.runtime.assemble import open_runtime
from imagegate.types import ImageCall

PROMPT = "a red circle"
SIZE = "1024x1024"
CANARY_S_MAX = 300.0
_TITLE = "smallest image"


def smallest_call(deployment: Deployment, like: Deployment | None = None) -> ImageCall:
    """Return the cheapest call that is known for the deployment's model, or for that of `like`."""
    model = (like or deployment).model
    call = ImageCall(
        id=clock.new_id("call"), operation="generate", model=deployment.group, prompt=PROMPT
    )
    if model is None:
        return call
    is_sized = model.sizes in ("flexible", "any") or SIZE in model.sizes
    return msgspec.structs.replace(
        call,
        quality="low" if "low" in model.qualities else None,
        size=SIZE if is_sized else None,
    )


def price_text(deployment: Deployment, like: Deployment | None = None) -> str:
    """Return what the smallest image may cost, in USD; `unknown` where nobody knows."""
    call = smallest_call(deployment, like)
    try:
        planned = plan(call, deployment, policy="nearest", on_retired="send", today=today_of())
    except ImageError:
        return "unknown"
    if planned.price is None:
        return "unknown"
    return f"{format_usd(planned.price.expected_e10)} USD"


async def buy_smallest(
    settings: Settings, deployment: Deployment, like: Deployment | None = None
) -> tuple[Step, bytes]:
    """Buy one image; return what it proved, and the image, `b""` where none came."""
    alone = msgspec.structs.replace(settings, deployments=(deployment,), aliases={})
    runtime = await open_runtime(alone, embedded=True)
    started_s = clock.monotonic_s()
    try:
        call = smallest_call(deployment, like)
        spool = runtime.spool.open_call(call.id)
        running = await runtime.pipeline.start(call, spool, CallOptions(timeout_s=CANARY_S_MAX))
        outcome, image = await _take(running)
    except ImageError as error:
        return _failed(error, clock.monotonic_s() - started_s), b""
    finally:
        await runtime.aclose()
    cost = "unknown" if outcome.cost_e10 is None else f"{format_usd(outcome.cost_e10)} USD"
    text = f"It made {SIZE if call.size else 'an image'}, {len(image)} bytes, for {cost}."
    elapsed_s = clock.monotonic_s() - started_s
    return Step(
        probe="P7", title=_TITLE, state="ok", text=text, elapsed_s=round(elapsed_s, 3)
    ), image


async def _take(running: RunningCall) -> tuple[Outcome, bytes]:
    try:
        outcome = await running.wait()
        blob = outcome.result.images[0].blob
        return outcome, read_bytes(blob) if blob else b""
    finally:
        running.release()


def _failed(error: ImageError, elapsed_s: float) -> Step:
    finding = finding_for(error)
    return Step(
        probe="P7",
        title=_TITLE,
        state="fault",
        text=finding.cause if finding.is_decided else error.message,
        next=finding.next,
        owner=finding.owner,
        exit_code=finding.exit_code,
        elapsed_s=round(elapsed_s, 3),
        finding=finding,
    )
