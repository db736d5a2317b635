"""Method names of the evaluations: prefixes and suffixes select correction and buildings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rm_geo.errors import UsageError
from rm_geo.estimators.base import Estimator
from rm_geo.estimators.registry import get_method, method_info, require_accepts_buildings
from rm_geo.validation.corrected_estimator import SUFFIX, AssimilatedEstimator
from rm_geo.validation.known_buildings import WITH_BUILDINGS
from rm_geo.validation.pipeline_estimator import (
    CLASSICAL_BASELINE,
    PIPELINE_PREFIX,
    ClassicalBaselineEstimator,
    PipelineEstimator,
)


def named_estimators(
    names: Sequence[str], parameters: Mapping[str, object], *, needed: bool = False
) -> dict[str, Estimator]:
    """Make estimators by name.

    Parameters
    ----------
    names : sequence of str
        ``NAME``, ``NAME+assimilate`` or ``pipeline:NAME``, each also as ``NAME+buildings``, or
        ``classical-baseline``.
    parameters : mapping
        Parameters of the networks, such as ``model``, ``device`` and ``symmetries``.
    needed : bool
        Whether at least one method must be a network, because parameters were set.

    Returns
    -------
    dict of str to Estimator
        Estimators by name.

    Raises
    ------
    UsageError
        If a method or a parameter does not exist, a method with ``+buildings`` does not read
        buildings, or ``needed`` is set and no method is a network.
    ModelError
        If a model cannot be used.
    """
    if needed and not any(_is_network(name) for name in names):
        raise UsageError(
            f"None of the methods {', '.join(names)} is a network with parameters.",
            hint="Name one, such as radiocycle, or leave the parameters out.",
        )
    return {name: named_estimator(name, parameters) for name in names}


def named_estimator(name: str, parameters: Mapping[str, object]) -> Estimator:
    """Make an estimator by name.

    Parameters
    ----------
    name : str
        As for :func:`named_estimators`.
    parameters : mapping
        Parameters of a network.

    Returns
    -------
    Estimator

    Raises
    ------
    UsageError, ModelError
        As for :func:`named_estimators`.

    Examples
    --------
    >>> named_estimator("knn+assimilate", {}).name
    'knn+assimilate'
    """
    if _method(name) == CLASSICAL_BASELINE and name != CLASSICAL_BASELINE:
        raise UsageError(
            f"There is no {name!r}.", hint=f"{CLASSICAL_BASELINE} has no prefix and no suffix."
        )
    if WITH_BUILDINGS in name:
        name = name.replace(WITH_BUILDINGS, "", 1)
        require_accepts_buildings(_method(name))
    if name == CLASSICAL_BASELINE:
        return ClassicalBaselineEstimator()
    if name.startswith(PIPELINE_PREFIX):
        return PipelineEstimator(named_estimator(name.removeprefix(PIPELINE_PREFIX), parameters))
    if name.endswith(SUFFIX):
        return AssimilatedEstimator(named_estimator(name.removesuffix(SUFFIX), parameters))
    return get_method(name, **parameters) if method_info(name).is_network else get_method(name)


def _is_network(name: str) -> bool:
    """Check whether a method is a network, which takes parameters."""
    return _method(name) != CLASSICAL_BASELINE and method_info(_method(name)).is_network


def _method(name: str) -> str:
    """Return the name of the method without prefix and suffixes."""
    return name.replace(WITH_BUILDINGS, "", 1).removeprefix(PIPELINE_PREFIX).removesuffix(SUFFIX)
