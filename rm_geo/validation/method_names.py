"""Methods by the names that the protocols know: what is done with a method is part of its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rm_geo.errors import UsageError
from rm_geo.estimators.base import Estimator
from rm_geo.estimators.registry import get_method, method_info, require_accepts_buildings
from rm_geo.validation.corrected_estimator import SUFFIX, AssimilatedEstimator
from rm_geo.validation.known_buildings import WITH_BUILDINGS
from rm_geo.validation.pipeline_estimator import (
    IDW_BASELINE,
    PIPELINE_PREFIX,
    IdwBaselineEstimator,
    PipelineEstimator,
)


def named_estimators(
    names: Sequence[str], parameters: Mapping[str, object], *, needed: bool = False
) -> dict[str, Estimator]:
    """Make several estimators.

    Parameters
    ----------
    names : sequence of str
        ``NAME``, ``NAME+assimilate``, ``pipeline:NAME``, each also with ``+buildings`` behind the
        name, or ``idw-baseline``.
    parameters : mapping
        Of the networks among them, such as ``model``, ``device`` and ``symmetries``.
    needed : bool
        Whether parameters that concern no method here are a mistake.

    Returns
    -------
    dict of str to Estimator
        By the names.

    Raises
    ------
    UsageError
        If there is no such method or parameter, a method does not read buildings that it is to
        be told, or parameters are needed and there is no network.
    ModelError
        If a model cannot be used.
    """
    if needed and not any(_is_network(name) for name in names):
        raise UsageError(
            f"There is no network among {', '.join(names)}, whose parameters could be set.",
            hint="Name one, such as radiocycle, or leave the parameters out.",
        )
    return {name: named_estimator(name, parameters) for name in names}


def named_estimator(name: str, parameters: Mapping[str, object]) -> Estimator:
    """Make one of :func:`named_estimators`.

    Parameters
    ----------
    name : str
        As for :func:`named_estimators`.
    parameters : mapping
        Parameters of a network.

    Returns
    -------
    Estimator

    Examples
    --------
    >>> named_estimator("knn+assimilate", {}).name
    'knn+assimilate'
    """
    if _method(name) == IDW_BASELINE and name != IDW_BASELINE:
        raise UsageError(f"There is no {name!r}.", hint=f"{IDW_BASELINE} stands alone.")
    if WITH_BUILDINGS in name:
        name = name.replace(WITH_BUILDINGS, "", 1)
        require_accepts_buildings(_method(name))
    if name == IDW_BASELINE:
        return IdwBaselineEstimator()
    if name.startswith(PIPELINE_PREFIX):
        return PipelineEstimator(named_estimator(name.removeprefix(PIPELINE_PREFIX), parameters))
    if name.endswith(SUFFIX):
        return AssimilatedEstimator(named_estimator(name.removesuffix(SUFFIX), parameters))
    return get_method(name, **parameters) if method_info(name).is_network else get_method(name)


def _is_network(name: str) -> bool:
    """Whether a method is one that parameters are meant for."""
    return _method(name) != IDW_BASELINE and method_info(_method(name)).is_network


def _method(name: str) -> str:
    """Give the method alone."""
    return name.replace(WITH_BUILDINGS, "", 1).removeprefix(PIPELINE_PREFIX).removesuffix(SUFFIX)
