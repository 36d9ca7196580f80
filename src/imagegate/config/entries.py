"""`model_list` -> what is wanted, what is skipped: an entry that makes no images is no fault."""

from collections.abc import Mapping

from imagegate.catalogue.model import Catalogue
from imagegate.config.deployment import (
    read_settings,
    setting_names,
    split_model,
    unknown_provider,
)
from imagegate.config.faults import Faults, Path, nearest
from imagegate.config.litellm import (
    IMAGE_MODES,
    PARAM_PREFIXES_NOT_HERE,
    PARAMS_NOT_HERE,
    PROVIDERS_NOT_HERE,
    RESPONSES_MODE,
    policy_of,
)
from imagegate.config.patterns import MARK
from imagegate.config.prices import PRICE_NAMES, prices_among
from imagegate.config.resolve import ENV_PREFIX, WantedAt
from imagegate.config.routing import routing_of
from imagegate.config.schema import ConfigFile, DeploymentParams, ModelEntry
from imagegate.config.settings import Note, Skipped
from imagegate.config.validate import secret, validate
from imagegate.config.wanted import TOKEN_LIMITS, Wanted
from imagegate.config.wildcards import why_not
from imagegate.providers import PROVIDERS, provider_for
from imagegate.types import ImageCall, Json

_IMAGE_WORDS = ("image", "banana", "dall-e", "flux", "diffusion", "sdxl", "seedream", "cogview")
_NOT_PARAMS = frozenset(("id", "operation", "model", "prompt", "images", "mask", "markup", "extra"))
IMAGE_PARAMS = frozenset(ImageCall.__struct_fields__) - _NOT_PARAMS
_ALSO_READ = frozenset(("headers", "image", "mask", "prompt"))


class Entries:
    """Reads the entries of one file; what it finds lies in `served`, `skipped` and `notes`."""

    def __init__(
        self, config: ConfigFile, unset: Mapping[Path, str], catalogue: Catalogue, faults: Faults
    ) -> None:
        self._config = config
        self._unset = unset
        self._catalogue = catalogue
        self._faults = faults
        self._not_here: dict[str, int] = {}
        self.served: list[WantedAt] = []
        self.skipped: list[Skipped] = []
        self.notes: list[Note] = []

    def read(self) -> None:
        """Read every entry; tell LiteLLM's keys that are not acted on once."""
        for index, raw in enumerate(self._config.model_list):
            self._read_entry(raw, ("model_list", index))
        if self._not_here:
            names = ", ".join(sorted(self._not_here))
            line = min(self._not_here.values())
            self.notes.append(Note("litellm_params", line, f"not acted on here: {names}"))

    def _read_entry(self, raw: Mapping[str, Json], path: Path) -> None:
        spelling = "params" if "params" in raw else "litellm_params"
        if "params" in raw and "litellm_params" in raw:
            self._faults.add(path, "params and litellm_params are one thing; keep one of them")
            return
        params = self._with_credential(raw.get(spelling), (*path, spelling))
        reason = self._why_skipped(raw, params, is_native=spelling == "params")
        if reason:
            self._skip(raw, path, reason)
            return
        self._note_unset(path)
        entry = {key: value for key, value in raw.items() if key != spelling}
        renamed = {"litellm_params": spelling}
        checked = validate(
            ModelEntry, entry | {"litellm_params": params}, path, self._faults, self._unset, renamed
        )
        if checked is not None:
            self._note_unknown(checked, path)
            self._serve(checked, (*path, spelling))

    def _with_credential(self, params: Json, path: Path) -> Json:
        name = params.get("litellm_credential_name") if isinstance(params, dict) else None
        if name is None:
            return params
        for index, entry in enumerate(self._config.credential_list):
            if entry.credential_name == name:
                self._note_unset(("credential_list", index, "credential_values"))
                return entry.credential_values | params
        self._faults.add(
            (*path, "litellm_credential_name"), f"credential_list has no entry named {name!r}"
        )
        return params

    def _skip(self, raw: Mapping[str, Json], path: Path, reason: str) -> None:
        unset = {name for at, name in self._unset.items() if at[: len(path)] == path}
        name = str(raw.get("model_name", ""))
        line = self._faults.line_of(path)
        self.skipped.append(Skipped(name, line, reason, tuple(sorted(unset))))

    def _note_unset(self, path: Path) -> None:
        for at, name in self._unset.items():
            if at[: len(path)] == path:
                self._faults.add(
                    at, f"the variable {name} is not set; set it, or leave the key out"
                )

    # --- is it an image model? -----------------------------------------------------------------

    def _why_skipped(self, raw: Mapping[str, Json], params: Json, *, is_native: bool) -> str | None:
        info = raw.get("model_info")
        info = info if isinstance(info, dict) else {}
        if not isinstance(params, dict) or not isinstance(params.get("model"), str):
            return None  # validation has more to say about it
        mode = str(info.get("mode") or "")
        reason = why_not(str(raw.get("model_name")), params["model"], params, mode)
        if reason:
            return reason
        if mode == RESPONSES_MODE:
            return self._why_not_served(params, "", is_told=True)
        if mode and mode not in IMAGE_MODES:
            return f"its mode is {mode!r}, and only images are served here"
        base_model = str(params.get("base_model") or info.get("base_model") or "")
        is_told = bool(mode) or is_native
        return self._why_not_served(params, base_model, is_told=is_told)

    def _why_not_served(
        self, params: Mapping[str, Json], base: str, *, is_told: bool
    ) -> str | None:
        model: str = params["model"]
        prefix, name = split_model(model, params.get("custom_llm_provider"))
        if model.startswith(ENV_PREFIX):
            variable = model.removeprefix(ENV_PREFIX)
            return None if is_told else f"its model is in {variable}, which is not set"
        if model == MARK:
            return None
        if provider_for(prefix) is None:
            is_typo = nearest(prefix, tuple(provider.name for provider in PROVIDERS)) is not None
            is_fault = prefix not in PROVIDERS_NOT_HERE and (is_told or is_typo)
            return None if is_fault else unknown_provider(prefix)
        if is_told or MARK in name or self._looks_like_images(prefix, name, base):
            return None
        return "its name is no image model's; with model_info.mode: image_generation it is served"

    def _looks_like_images(self, prefix: str, name: str, base: str) -> bool:
        if any(word in f"{name} {base}".lower() for word in _IMAGE_WORDS):
            return True
        return any(self._catalogue.find(model_id) for model_id in (f"{prefix}/{name}", base))

    # --- into what is wanted -------------------------------------------------------------------

    def _note_unknown(self, entry: ModelEntry, path: Path) -> None:
        for key in entry.model_extra or {}:
            meant = nearest(key, tuple(ModelEntry.model_fields))
            if meant:
                self._faults.add((*path, key), f"unknown key; did you mean {meant!r}?")
            else:
                self._not_here.setdefault(key, self._faults.line_of((*path, key)))

    def _serve(self, entry: ModelEntry, path: Path) -> None:
        params, info = entry.litellm_params, entry.model_info
        provider = provider_for(split_model(params.model, params.custom_llm_provider)[0])
        settings = read_settings(provider, params.model_extra or {}) if provider else {}
        taken = PRICE_NAMES | (setting_names((provider,)) if provider else frozenset())
        if info.mode == RESPONSES_MODE:
            taken |= {*TOKEN_LIMITS}
        said = {**(info.model_extra or {}), **(params.model_extra or {})}
        extra = self._extra(params, taken, path)
        headers = {**(params.extra_headers or {}), **_texts(extra.pop("headers", None))}
        wanted = Wanted(
            group=entry.model_name,
            model=params.model,
            id=info.id or "",
            custom_llm_provider=params.custom_llm_provider or "",
            api_base=params.api_base or params.base_url or str(settings.pop("api_base", "")),
            api_key=secret(params.api_key),
            api_version=params.api_version or "",
            base_model=params.base_model or info.base_model or "",
            organization=params.organization or "",
            project=params.project or "",
            azure_ad_token=secret(params.azure_ad_token),
            tenant_id=params.tenant_id or "",
            client_id=params.client_id or "",
            client_secret=secret(params.client_secret),
            azure_scope=params.azure_scope or "",
            azure_credential=params.azure_credential or "",
            is_token_refreshed=self._config.litellm_settings.enable_azure_ad_token_refresh,
            timeout_s=params.timeout or self._timeout_s(),
            extra_headers=headers,
            settings=settings,
            defaults={**extra, **(params.extra_body or {})},
            variations=params.variations,
            adjust=policy_of(params.drop_params),
            routing=routing_of(params, self._config),
            serves="responses" if info.mode == RESPONSES_MODE else "images",
            prices=prices_among(said),
            token_limits={name: said[name] for name in TOKEN_LIMITS if said.get(name) is not None},
        )
        self.served.append(WantedAt(wanted, path))

    def _timeout_s(self) -> float:
        config = self._config
        return config.router_settings.timeout or config.litellm_settings.request_timeout or 0.0

    def _extra(
        self, params: DeploymentParams, taken: frozenset[str], path: Path
    ) -> dict[str, Json]:
        """Return the image parameters and unknown fields; near misses of known keys are faults.

        `taken` are prices and the settings of the provider, which are read elsewhere.
        """
        kept: dict[str, Json] = {}
        for key, value in (params.model_extra or {}).items():
            if key in taken:
                continue
            if key in PARAMS_NOT_HERE or key.startswith(PARAM_PREFIXES_NOT_HERE):
                self._not_here.setdefault(key, self._faults.line_of((*path, key)))
            elif key in IMAGE_PARAMS or key in _ALSO_READ or not self._is_typo(key, path):
                kept[key] = value
        unknown = sorted(kept.keys() - IMAGE_PARAMS - _ALSO_READ)
        if unknown:
            line = self._faults.line_of(path)
            text = f"unknown here, sent upstream as fields of the request: {', '.join(unknown)}"
            self.notes.append(Note(params.model, line, text))
        return kept

    def _is_typo(self, key: str, path: Path) -> bool:
        known = frozenset(DeploymentParams.model_fields) | IMAGE_PARAMS
        meant = nearest(key, known)
        if meant:
            self._faults.add((*path, key), f"unknown key; did you mean {meant!r}?")
        return meant is not None


def _texts(value: Json) -> dict[str, str]:
    return {str(key): str(text) for key, text in value.items()} if isinstance(value, dict) else {}
