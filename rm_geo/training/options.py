"""Sections of a training configuration, validated as the dataclasses that trainings read."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, create_model, field_validator

from rm_geo.errors import ConfigError
from rm_geo.options import describe_problem

T = TypeVar("T")


class _Section(BaseModel):
    """Base of the models: strict, but whole decimals are integers and lists are tuples."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_yaml_means(cls, value: object, info: Any) -> object:  # noqa: ANN401 - pydantic's
        """Convert what YAML cannot tell apart."""
        hint = cls.model_fields[info.field_name].annotation
        if typing.get_origin(hint) is tuple and isinstance(value, Sequence):
            kinds = typing.get_args(hint)
            return value if isinstance(value, str) else tuple(_whole(v, kinds) for v in value)
        return _whole(value, (hint, *typing.get_args(hint)))


def _whole(value: object, kinds: Sequence[object]) -> object:
    """Give a whole decimal as an integer where an integer is meant."""
    if isinstance(value, float) and int in kinds and value.is_integer():
        return int(value)
    return value


def make_options(kind: type[T], values: object, section: str) -> T:
    """Make a dataclass from a section of a configuration.

    Parameters
    ----------
    kind : type
        A dataclass whose fields are numbers, strings, booleans, or pairs of numbers.
    values : object
        The section: a mapping of keys to values.
    section : str
        Its name, for messages.

    Returns
    -------
    object
        An instance of ``kind``.

    Raises
    ------
    ConfigError
        If a key is unknown, or a value of the wrong type or out of its range; the message
        names section and key.

    Examples
    --------
    >>> from rm_geo.training.loop import LoopOptions
    >>> make_options(LoopOptions, {"max_steps": 10}, "loop").max_steps
    10
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"Section {section!r} must be a mapping of keys to values.")
    hints = typing.get_type_hints(kind)
    known: dict[str, Any] = {
        field.name: (hints[field.name], ... if field.default is MISSING else field.default)
        for field in fields(kind)  # type: ignore[arg-type]
    }
    unknown = sorted(str(key) for key in values if key not in known)
    if unknown:
        raise ConfigError(
            f"Unknown key in section {section!r}: {', '.join(unknown)}.",
            hint=f"Known: {', '.join(known)}.",
        )
    model = create_model(kind.__name__, __base__=_Section, **known)
    try:
        checked = model.model_validate(dict(values))
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        raise ConfigError(f"{section}.{found['loc'][0]} {describe_problem(found)}.") from None
    try:
        return kind(**{name: getattr(checked, name) for name in values})
    except ConfigError as error:
        raise ConfigError(f"Section {section!r}: {error.message}", hint=error.hint) from error


def require_range(name: str, bounds: tuple[float, float], low: float, high: float) -> None:
    """Refuse a pair that is not ``low < first <= second <= high``.

    Parameters
    ----------
    name : str
        Key of the pair, for messages.
    bounds : tuple of float
        The pair.
    low, high : float
        Its range; ``low`` is excluded.

    Raises
    ------
    ConfigError
        If it is not.
    """
    first, second = bounds
    if not low < first <= second <= high:
        raise ConfigError(f"{name} must rise within {low:g}..{high:g}, not {list(bounds)}.")


def require_share(name: str, value: float) -> None:
    """Refuse a fraction outside 0..1.

    Parameters
    ----------
    name : str
        Its key, for messages.
    value : float
        The fraction.

    Raises
    ------
    ConfigError
        If it is outside.
    """
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name} must lie within 0..1, not {value:g}.")
