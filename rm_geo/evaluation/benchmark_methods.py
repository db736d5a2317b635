"""Methods of a benchmark and their trained models."""

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
    """Method of a benchmark, one row of its table.

    Attributes
    ----------
    label : str
        Name in tables and figures.
    method : str
        Name in the registry.
    model_key : str or None
        Key of its trained model, among the default models and in ``--model KEY=NAME|FILE``.
    options : mapping
        Further parameters of the method.
    known_buildings : bool
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
    """Methods of a benchmark that are available, and reasons for the others.

    Attributes
    ----------
    estimators : dict of str to Estimator
        Available methods by label.
    absent : dict of str to str
        Reason why a method is not available, by label.
    labels : tuple of str
        All labels in the order of the table.
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
    """Create the methods of a benchmark.

    Parameters
    ----------
    methods : sequence of BenchmarkMethod
        All methods of the table.
    models : mapping of str to str or Path
        Trained models by key. The others are the default models.
    device : str
        Device of the networks, ``auto``, ``cpu`` or ``cuda``.
    only : sequence of str, optional
        Labels, method names or model keys of the methods to create. Default: all.

    Returns
    -------
    MethodSet

    Raises
    ------
    UsageError
        See :func:`select_methods`.
    ModelError
        If a model in ``models`` cannot be used.
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
    """Select methods by name and check the keys of the models.

    Parameters
    ----------
    methods : sequence of BenchmarkMethod
        All methods of the benchmark.
    models : iterable of str
        Keys of the models that are set explicitly.
    only : sequence of str or None
        Names of the methods to select; None for all.

    Returns
    -------
    list of BenchmarkMethod
        The selected methods, in the order of ``methods``.

    Raises
    ------
    UsageError
        If a key or a name is unknown, or a model is set for a method that is not selected.
    """
    keys = {c.model_key for c in methods if c.model_key}
    if unknown := sorted(set(models) - keys):
        raise UsageError(
            f"No method of this benchmark has the model key {', '.join(unknown)}.",
            hint=f"Keys: {', '.join(sorted(keys))}.",
        )
    if only is None:
        return list(methods)
    _require_known(only, methods)
    wanted = {name.lower() for name in only}
    chosen = [c for c in methods if _names(c) & wanted]
    if idle := sorted(set(models) - {c.model_key for c in chosen}):
        raise UsageError(
            f"No selected method uses the model {', '.join(idle)}.",
            hint=f"Add {', '.join(idle)} to `methods`, or omit that `model`.",
        )
    return chosen


def known_names(methods: Iterable[BenchmarkMethod]) -> set[str]:
    """Return the names by which methods can be selected, in lower case."""
    return {name for method in methods for name in _names(method)}


def _require_known(only: Iterable[str], methods: Sequence[BenchmarkMethod]) -> None:
    """Raise UsageError for unknown names, with the known ones as a hint."""
    if unknown := [name for name in only if name.lower() not in known_names(methods)]:
        known = dict.fromkeys(c.model_key or c.method for c in methods)
        raise UsageError(
            f"This benchmark has no method {', '.join(unknown)}.",
            hint=f"Methods: {', '.join(known)}.",
        )


class _AbsentError(Exception):
    """There is no trained model with a key."""


def _names(method: BenchmarkMethod) -> set[str]:
    """Return the names by which a method can be selected."""
    names = {method.label, method.model_key or method.method}
    return {name.lower() for name in names}


def _open(method: BenchmarkMethod, models: Mapping[str, str | Path], device: str) -> Estimator:
    """Create the estimator of a method."""
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
