"""Methods of a comparison by the names of its tables: opened where they can be, else absent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rm_geo.errors import DependencyError, ModelError, UsageError
from rm_geo.estimators.base import Estimator
from rm_geo.estimators.registry import get_method, method_info
from rm_geo.validation.known_buildings import KnownBuildingsEstimator
from rm_geo.zoo.catalog import default_model


@dataclass(frozen=True)
class BenchmarkMethod:
    """A line of a table.

    Attributes
    ----------
    label : str
        Name in tables and figures.
    method : str
        Name in the registry.
    model_key : str or None
        Key of its trained model: of the index's defaults, and of ``--model KEY=NAME|FILE``.
    options : mapping
        Further parameters of the method.
    told_walls : bool
        Whether known buildings are added by
        :class:`~rm_geo.validation.known_buildings.KnownBuildingsEstimator`, for methods that do not
        map buildings.
    """

    label: str
    method: str
    model_key: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    known_buildings: bool = False


@dataclass(frozen=True)
class MethodSet:
    """Who takes part.

    Attributes
    ----------
    estimators : dict of str to Estimator
        By label.
    absent : dict of str to str
        Why the others do not, by label.
    labels : tuple of str
        All of them, in the table's order.
    """

    estimators: dict[str, Estimator]
    absent: dict[str, str]
    labels: tuple[str, ...]


def load_methods(
    methods: Sequence[BenchmarkMethod],
    models: Mapping[str, str | Path],
    *,
    device: str = "auto",
    only: Sequence[str] | None = None,
) -> MethodSet:
    """Open the methods of a comparison.

    Parameters
    ----------
    methods : sequence of BenchmarkMethod
        All that the table has lines for.
    models : mapping of str to str or Path
        Trained models by key; others are the defaults that come with rm_geo.
    device : str
        Of the networks.
    only : sequence of str, optional
        Leave out all but these, by label, method or model key.

    Raises
    ------
    UsageError
        As :func:`select_methods` says.
    ModelError
        If a model that is given cannot be used.
    """
    chosen = select_methods(methods, models, only)
    method_set = MethodSet({}, {}, tuple(method.label for method in chosen))
    for method in chosen:
        try:
            method_set.estimators[method.label] = _open(method, models, device)
        except (_AbsentError, DependencyError) as why:
            method_set.absent[method.label] = str(why)
    return method_set


def select_methods(
    methods: Sequence[BenchmarkMethod], models: Iterable[str], only: Sequence[str] | None
) -> list[BenchmarkMethod]:
    """Select the methods that are asked for; check the keys of the models.

    Parameters
    ----------
    methods, only
        As for :func:`load_methods`.
    models : iterable of str
        Keys of the models that are given.

    Raises
    ------
    UsageError
        If a model is given for a key, or a method asked for, that no method has, or a model
        for one that is not asked for.
    """
    keys = {c.model_key for c in methods if c.model_key}
    if unknown := sorted(set(models) - keys):
        raise UsageError(
            f"No method here takes the model {', '.join(unknown)}.",
            hint=f"Keys: {', '.join(sorted(keys))}.",
        )
    if only is None:
        return list(methods)
    _require_known(only, methods)
    wanted = {name.lower() for name in only}
    chosen = [c for c in methods if _names(c) & wanted]
    if idle := sorted(set(models) - {c.model_key for c in chosen}):
        raise UsageError(
            f"The methods asked for leave out those of the model {', '.join(idle)}.",
            hint=f"Add {', '.join(idle)} to `methods`, or leave out that `model`.",
        )
    return chosen


def known_names(methods: Iterable[BenchmarkMethod]) -> set[str]:
    """Names by which methods can be selected, in lower case."""
    return {name for method in methods for name in _names(method)}


def _require_known(only: Iterable[str], methods: Sequence[BenchmarkMethod]) -> None:
    """Refuse unknown names; the error lists the known ones."""
    if unknown := [name for name in only if name.lower() not in known_names(methods)]:
        known = dict.fromkeys(c.model_key or c.method for c in methods)
        raise UsageError(
            f"There is no method {', '.join(unknown)} here.",
            hint=f"Methods: {', '.join(known)}.",
        )


class _AbsentError(Exception):
    """There is no trained model of that key."""


def _names(method: BenchmarkMethod) -> set[str]:
    """Names by which a method can be selected."""
    names = {method.label, method.model_key or method.method}
    return {name.lower() for name in names}


def _open(method: BenchmarkMethod, models: Mapping[str, str | Path], device: str) -> Estimator:
    """Make the estimator."""
    if not method_info(method.method).is_network:
        made = get_method(method.method, **method.options)
        return KnownBuildingsEstimator(made) if method.known_buildings else made
    key = method.model_key or method.method
    model = models.get(key)
    if model is None:
        try:
            model = default_model(key).name
        except ModelError as error:
            raise _AbsentError(f"no trained model {key}. {error.hint}") from error
    return get_method(method.method, model=model, device=device, **method.options)
