"""What the sections of the configuration are made of: checked values, two kinds of sections."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from imagegate.config.guards import GuardHit
from imagegate.telemetry import GuardMode


def not_bool(value: object) -> object:
    """Refuse true and false where a number is meant: pydantic takes them for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic reports ValueErrors
    return value


def yes_no(value: object) -> object:
    """Return `yes` or `no` for a bare word that YAML took for a truth value."""
    return {False: "no", True: "yes"}[value] if isinstance(value, bool) else value


def one_mapping(value: object) -> object:
    """Return one mapping for a list of mappings."""
    # LiteLLM writes one key each.
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return {key: groups for item in value for key, groups in item.items()}
    return value


Retries = Annotated[int, BeforeValidator(not_bool), Field(ge=0, le=10)]


def _lowered(value: object) -> object:
    return value.lower() if isinstance(value, str) else value  # LiteLLM has BLOCK and MASK


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(not_bool), Field(gt=0, le=7 * 24 * 3600)]
Retention = Annotated[float, BeforeValidator(not_bool), Field(ge=0, le=100 * 365 * 24 * 3600)]
Count = Annotated[int, BeforeValidator(not_bool), Field(gt=0)]
Port = Annotated[int, BeforeValidator(not_bool), Field(ge=0, le=65535)]
Text = Annotated[str, Field(min_length=1, max_length=4096)]
Names = Annotated[list[Text], BeforeValidator(_listed)]
Modes = Annotated[list[GuardMode], BeforeValidator(_listed), Field(min_length=1)]
Hit = Annotated[GuardHit, BeforeValidator(_lowered)]
Entity = Literal[
    "PRIVATE_KEY",
    "API_KEY",
    "JWT",
    "PASSWORD",
    "CREDIT_CARD",
    "IBAN",
    "US_SSN",
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
]


class Section(BaseModel):
    """A mapping of ours: unknown keys are refused, inputs are never quoted in errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )


class LiteLLMSection(Section):
    """A mapping of LiteLLM's: unknown keys are kept and looked at later."""

    model_config = ConfigDict(extra="allow")
