"""An operator's own check: a class or an object by import path, with `check(subject)`.

`check` may be async; one that is not runs in a thread, `THREADS_MAX` of them at once. It returns
None to allow, an action by its name, or a `Ruling`. `sees_images = False` on it: edits by file id
need not be refused.
"""

import inspect
from typing import Any

from imagegate.aside import Aside
from imagegate.config.guards import GuardrailSettings
from imagegate.config.load_object import load_object
from imagegate.errors import UpstreamFailedError
from imagegate.guardrails.subject import ALLOWED, Ruling, Subject

THREADS_MAX = 8


class PythonCheck:
    """Calls the operator's object."""

    def __init__(self, settings: GuardrailSettings) -> None:
        found = load_object(settings.target, settings.folder)
        self._object: Any = found() if inspect.isclass(found) else found
        self._threads = Aside(f"guardrail {settings.name}", THREADS_MAX)
        self.sees_images: bool = getattr(self._object, "sees_images", True)

    async def rule(self, subject: Subject) -> Ruling:
        """Return what it says. Raises `UpstreamFailedError` where it says nothing we know."""
        check = self._object.check
        if inspect.iscoroutinefunction(check):
            answer = await check(subject)
        else:
            answer = await self._threads.run(check, subject)
        match answer:
            case None | "allow":
                return ALLOWED
            case Ruling():
                return answer
            case "blur" | "hold" | "deny":
                return Ruling(action=answer)
        raise UpstreamFailedError("the guardrail's check returned something else than a ruling")
