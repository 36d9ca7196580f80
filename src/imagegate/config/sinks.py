"""Who receives closing events: LiteLLM's callbacks and our `sinks`, as one kind of setting."""

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec
from msgspec import Struct

from imagegate.config.faults import Faults, Path
from imagegate.types import Json, Secret

if TYPE_CHECKING:
    from imagegate.config.schema import ConfigFile, SinkEntry

SinkKind: TypeAlias = Literal["otel", "langfuse", "prometheus", "webhook", "file", "s3", "python"]

OTLP_URL = "http://localhost:4318"
LANGFUSE_URL = "https://cloud.langfuse.com"
ENV_PREFIX = "os.environ/"
_NAMES: Mapping[str, SinkKind] = {
    "otel": "otel",
    "opentelemetry": "otel",
    "langfuse": "langfuse",
    "langfuse_otel": "langfuse",
    "prometheus": "prometheus",
    "s3": "s3",
    "s3_v2": "s3",
    "webhook": "webhook",
    "generic_api": "webhook",
}
_NEEDED: Mapping[SinkKind, tuple[str, ...]] = {
    "webhook": ("url",),
    "file": ("path",),
    "s3": ("bucket",),
    "python": ("target",),
}


class SinkSettings(Struct, frozen=True, kw_only=True):
    """One receiver of closing events.

    `url` is a webhook, an OTLP endpoint without `/v1/traces`, or an S3 server that is not Amazon's.
    `secret` signs webhooks or is the bucket's key. `target` is an import path, looked for in
    `folder` first.
    """

    kind: SinkKind
    name: str
    url: str = ""
    headers: Mapping[str, Secret] = {}
    secret: Secret = Secret("")
    key_id: str = ""
    path: str = ""
    bucket: str = ""
    region: str = ""
    service: str = ""
    target: str = ""
    folder: str = ""
    queue_max: int = 1000
    on_success: bool = True
    on_failure: bool = True


class SinkReader:
    """Reads a file's sinks; what LiteLLM calls by names that are not here lies in `not_here`."""

    def __init__(self, folder: str, env: Mapping[str, str], faults: Faults) -> None:
        self._folder = folder
        self._env = env
        self._faults = faults
        self.not_here: list[str] = []

    def read(self, config: "ConfigFile") -> tuple[SinkSettings, ...]:
        """Return all sinks, each with a name of its own; what is missing is noted as a fault."""
        found = [*self._callbacks(config), *map(self._native, enumerate(config.sinks))]
        names: dict[str, int] = {}
        named = []
        for one in found:
            names[one.name] = names.get(one.name, 0) + 1
            suffix = f"-{names[one.name]}" if names[one.name] > 1 else ""
            named.append(msgspec.structs.replace(one, name=one.name + suffix))
        return tuple(named)

    def _native(self, numbered: "tuple[int, SinkEntry]") -> SinkSettings:
        index, entry = numbered
        taken = {"calls", "kind", "name", "class_", "headers", "secret"}
        values = entry.model_dump(exclude=taken, exclude_none=True)
        if entry.kind == "file" and entry.path:
            values["path"] = str(FilePath(self._folder) / FilePath(entry.path).expanduser())
        settings = self._of_kind(
            entry.kind,
            name=entry.name or entry.kind,
            target=entry.class_ or "",
            headers={key: Secret(value) for key, value in (entry.headers or {}).items()},
            secret=Secret(entry.secret.get_secret_value() if entry.secret else ""),
            on_success=entry.calls != "failure",
            on_failure=entry.calls != "success",
            **values,
        )
        self._check(settings, ("sinks", index))
        return settings

    def _callbacks(self, config: "ConfigFile") -> Iterable[SinkSettings]:
        section = config.litellm_settings
        on_success = dict.fromkeys(("callbacks", "success_callback"), True)
        asked: dict[str, dict[str, bool]] = {}
        for key in ("callbacks", "success_callback", "failure_callback"):
            for name in getattr(section, key):
                ends = asked.setdefault(name, {"on_success": False, "on_failure": False})
                ends["on_success"] |= key in on_success
                ends["on_failure"] |= key != "success_callback"
        for name, ends in asked.items():
            if (settings := self._callback(name, ends, section.s3_callback_params)) is not None:
                self._check(settings, ("litellm_settings", "callbacks"))
                yield settings

    def _callback(
        self, name: str, ends: Mapping[str, bool], s3_params: Mapping[str, Json]
    ) -> SinkSettings | None:
        kind = _NAMES.get(name)
        if kind == "s3":
            return self._s3(s3_params, ends)
        if kind is not None:
            return self._of_kind(kind, name=kind, **ends)
        if "." in name:
            return self._of_kind("python", name=name, target=name, **ends)
        self.not_here.append(name)
        return None

    def _of_kind(self, kind: SinkKind, **values: Json) -> SinkSettings:
        """Return the settings with what the environment says where the file says nothing."""
        settings = SinkSettings(kind=kind, folder=self._folder, **values)
        match kind:
            case "otel":
                return self._otel(settings)
            case "langfuse":
                return self._langfuse(settings)
            case "webhook" if not settings.url:
                url = self._first("WEBHOOK_URL", "GENERIC_LOGGER_ENDPOINT")
                headers = _headers(self._first("GENERIC_LOGGER_HEADERS"))
                return msgspec.structs.replace(settings, url=url, headers=headers)
        return settings

    def _otel(self, settings: SinkSettings) -> SinkSettings:
        names = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_HEADERS")
        if "grpc" in self._first("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER"):
            self.not_here.append("otel over gRPC: it goes out over HTTP, mostly port 4318")
        url = self._first("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_ENDPOINT") or OTLP_URL
        return msgspec.structs.replace(
            settings,
            url=settings.url or url,
            headers=settings.headers or _headers(self._first(*names)),
            service=settings.service or self._first("OTEL_SERVICE_NAME"),
        )

    def _langfuse(self, settings: SinkSettings) -> SinkSettings:
        public, secret = self._first("LANGFUSE_PUBLIC_KEY"), self._first("LANGFUSE_SECRET_KEY")
        if not (public and secret) and not settings.headers:
            self._faults.add(
                ("litellm_settings", "callbacks"),
                "langfuse needs the variables LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY",
            )
        base = settings.url or self._first("LANGFUSE_HOST", "LANGFUSE_BASE_URL") or LANGFUSE_URL
        token = base64.b64encode(f"{public}:{secret}".encode()).decode()
        return msgspec.structs.replace(
            settings,
            url=f"{base.rstrip('/')}/api/public/otel",
            headers=settings.headers or {"authorization": Secret(f"Basic {token}")},
        )

    def _s3(self, params: Mapping[str, Json], ends: Mapping[str, bool]) -> SinkSettings:
        def text(name: str) -> str:
            return str(params.get(name) or "")

        return self._of_kind(
            "s3",
            name="s3",
            bucket=text("s3_bucket_name"),
            region=text("s3_region_name"),
            url=text("s3_endpoint_url"),
            path=text("s3_path"),
            key_id=text("s3_aws_access_key_id"),
            secret=Secret(text("s3_aws_secret_access_key")),
            **ends,
        )

    def _check(self, settings: SinkSettings, path: Path) -> None:
        for name in _NEEDED.get(settings.kind, ()):
            value = getattr(settings, name)
            if not value or value.startswith(ENV_PREFIX):
                told = "class" if name == "target" else name
                self._faults.add(path, f"the sink {settings.name!r} needs {told!r}")
        if settings.url and not settings.url.startswith(("http://", "https://")):
            self._faults.add(path, f"the sink {settings.name!r} needs an http or https url")

    def _first(self, *names: str) -> str:
        return next((self._env[name] for name in names if self._env.get(name)), "")


def _headers(text: str) -> dict[str, Secret]:
    """Return headers written as OpenTelemetry has them: `name=value,name=value`."""
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {name.strip().lower(): Secret(value.strip()) for name, _, value in pairs}
