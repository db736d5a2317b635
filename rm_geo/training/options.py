"""Configurations as people write them, turned into the dataclasses that trainings read."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from rm_geo.errors import ConfigError

T = TypeVar("T")


def make_options(cls: type[T], values: object, section: str) -> T:
    """Make a dataclass from a mapping; the first thing that cannot be meant is an error.

    Parameters
    ----------
    cls : type
        A dataclass whose fields are numbers, texts, truths, or pairs of numbers.
    values : object
        What the section holds: a mapping of keys to values.
    section : str
        Its name, for messages.

    Raises
    ------
    ConfigError
        If a key is unknown, or a value of the wrong type or out of its range; the message
        names section and key.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"Section {section!r} must be a mapping of keys to values.")
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    unknown = [str(key) for key in values if key not in known]
    if unknown:
        raise ConfigError(
            f"Unknown key in section {section!r}: {', '.join(sorted(unknown))}.",
            hint=f"Known: {', '.join(known)}.",
        )
    hints = typing.get_type_hints(cls)
    converted = {
        key: _converted(value, hints[key], f"{section}.{key}") for key, value in values.items()
    }
    try:
        return cls(**converted)
    except ConfigError as error:
        raise ConfigError(f"Section {section!r}: {error.message}", hint=error.hint) from error


def _converted(value: Any, hint: Any, name: str) -> Any:  # noqa: ANN401 - any value, any type
    """Hold a value to a type; whole numbers pass as decimal ones, lists as tuples."""
    origin = typing.get_origin(hint)
    if origin is tuple:
        parts = typing.get_args(hint)
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        if is_list and len(value) == len(parts):
            pairs = zip(value, parts, strict=True)
            return tuple(_converted(item, part, name) for item, part in pairs)
        raise ConfigError(f"{name} must be {len(parts)} values in a list, not {value!r}.")
    if origin in {types.UnionType, typing.Union}:
        choices = [part for part in typing.get_args(hint) if part is not type(None)]
        return None if value is None else _converted(value, choices[0], name)
    is_truth = isinstance(value, bool)
    is_finite = isinstance(value, int | float) and not is_truth and math.isfinite(value)
    if hint is float and isinstance(value, int | float) and not is_truth:
        if not is_finite:
            raise ConfigError(f"{name} must be finite, not {value}.")
        return float(value)
    if hint is int and is_finite and value == int(value):
        return int(value)
    if hint in {bool, str} and isinstance(value, hint):
        return value
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}
    raise ConfigError(f"{name} must be {words.get(hint, hint)}, not {value!r}.")


def require_range(name: str, bounds: tuple[float, float], low: float, high: float) -> None:
    """Refuse a pair that is not ``low <= first <= second <= high``, ``low`` itself excluded.

    Raises
    ------
    ConfigError
        If it is not.
    """
    first, second = bounds
    if not low < first <= second <= high:
        raise ConfigError(f"{name} must rise within {low:g}..{high:g}, not {list(bounds)}.")


def require_share(name: str, value: float) -> None:
    """Refuse a share outside 0..1.

    Raises
    ------
    ConfigError
        If it is outside.
    """
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name} must lie within 0..1, not {value:g}.")
