"""Names of the methods, and how to make each; nothing heavy is imported before it is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from rm_geo.errors import UsageError
from rm_geo.estimators.base import Estimator

TRAINED_MODEL: Final = "trained model"
"""What the networks need."""


@dataclass(frozen=True)
class MethodInfo:
    """What a person choosing a method wants to know.

    Attributes
    ----------
    name : str
        Name for ``--method`` and :func:`get_method`.
    summary : str
        One line.
    maps_buildings : bool
        Whether it gives building probabilities.
    needs : tuple of str
        What must be there besides rm-geo itself: an extra to install, a trained model, or
        knowledge of the transmitter. Empty for nothing.
    accepts_buildings : bool
        Whether it reads known buildings (``TileBatch.buildings``).
    """

    name: str
    summary: str
    maps_buildings: bool = False
    needs: tuple[str, ...] = ()
    accepts_buildings: bool = False

    @property
    def is_network(self) -> bool:
        """Whether a trained model is needed, and the options of networks are understood."""
        return TRAINED_MODEL in self.needs


@dataclass(frozen=True)
class _Entry:
    """A method and the place of its class, ``module:Class``."""

    info: MethodInfo
    target: str


_TRANSMITTER = "transmitter position (estimated from the strongest samples where unknown)"

_LATTICE = (TRAINED_MODEL, "measurements on a regular lattice")

_ENTRIES: Final[tuple[_Entry, ...]] = (
    _Entry(
        MethodInfo(
            "radiocycle",
            "RadioCycle: networks for signal and buildings together, or among known buildings",
            maps_buildings=True,
            needs=(TRAINED_MODEL,),
            accepts_buildings=True,
        ),
        "rm_geo.estimators.radiocycle:RadioCycleEstimator",
    ),
    _Entry(
        MethodInfo(
            "mars",
            "MARS: super-resolution of measurements on a regular lattice",
            needs=_LATTICE,
        ),
        "rm_geo.estimators.mars:MarsEstimator",
    ),
    _Entry(
        MethodInfo(
            "srresnet",
            "SRResNet: super-resolution, a baseline of MARS",
            needs=_LATTICE,
        ),
        "rm_geo.estimators.srresnet:SRResNetEstimator",
    ),
    _Entry(
        MethodInfo(
            "supreme",
            "Supreme: super-resolution, a baseline of MARS",
            needs=_LATTICE,
        ),
        "rm_geo.estimators.supreme:SupremeEstimator",
    ),
    _Entry(
        MethodInfo(
            "interpolation-net",
            "InterpolationNet: one U-Net from samples to the radio map",
            needs=(TRAINED_MODEL,),
        ),
        "rm_geo.estimators.interpolation_net:InterpolationNetEstimator",
    ),
    _Entry(
        MethodInfo("knn", "Distance-weighted mean of the nearest samples"),
        "rm_geo.estimators.knn:KnnEstimator",
    ),
    _Entry(
        MethodInfo("idw", "Inverse distance weighting"),
        "rm_geo.estimators.idw:IdwEstimator",
    ),
    _Entry(
        MethodInfo("nearest", "Value of the nearest sample"),
        "rm_geo.estimators.nearest:NearestEstimator",
    ),
    _Entry(
        MethodInfo("linear", "Bilinear on a lattice, else linear on Delaunay triangles"),
        "rm_geo.estimators.linear:LinearEstimator",
    ),
    _Entry(
        MethodInfo("rbf", "Thin plate splines through the nearest samples"),
        "rm_geo.estimators.rbf:RbfEstimator",
    ),
    _Entry(
        MethodInfo(
            "ordinary-kriging",
            "Best linear unbiased estimate, with its standard deviation",
            needs=("rm-geo[geostat]",),
        ),
        "rm_geo.estimators.ordinary_kriging:OrdinaryKrigingEstimator",
    ),
    _Entry(
        MethodInfo("random-forest", "Regression trees on coordinates and distances"),
        "rm_geo.estimators.random_forest:RandomForestEstimator",
    ),
    _Entry(
        MethodInfo(
            "street-ensemble",
            "Kriging and regression trees along the streets, around a log-distance law",
        ),
        "rm_geo.estimators.street_ensemble:StreetEnsembleEstimator",
    ),
    _Entry(
        MethodInfo("matrix-completion", "The map as a matrix of low rank (soft-impute)"),
        "rm_geo.estimators.matrix_completion:MatrixCompletionEstimator",
    ),
    _Entry(
        MethodInfo(
            "cost231-hata",
            "COST-231 Hata with its level fitted to the samples",
            needs=(_TRANSMITTER,),
        ),
        "rm_geo.estimators.cost231_hata:Cost231HataEstimator",
    ),
    _Entry(
        MethodInfo(
            "spm",
            "Standard Propagation Model, K1 and K2 fitted to the samples",
            needs=(_TRANSMITTER,),
        ),
        "rm_geo.estimators.spm:SpmEstimator",
    ),
)


def list_methods() -> list[MethodInfo]:
    """List all methods, networks first.

    Returns
    -------
    list of MethodInfo
        Name, summary, and what each method needs.

    Examples
    --------
    >>> [method.name for method in list_methods() if method.maps_buildings]
    ['radiocycle']
    """
    return [entry.info for entry in _ENTRIES]


def method_info(name: str) -> MethodInfo:
    """Describe one method.

    Parameters
    ----------
    name : str
        Name of a method; upper case and ``_`` for ``-`` are accepted.

    Returns
    -------
    MethodInfo

    Raises
    ------
    UsageError
        If there is no such method.

    Examples
    --------
    >>> method_info("idw").summary
    'Inverse distance weighting'
    """
    return _find(name).info


def require_accepts_buildings(name: str) -> None:
    """Refuse known buildings for a method that does not read them.

    Parameters
    ----------
    name : str
        Name of a method.

    Raises
    ------
    UsageError
        If the method does not read known buildings, or there is no such method.

    Examples
    --------
    >>> require_accepts_buildings("radiocycle")
    """
    if not method_info(name).accepts_buildings:
        raise UsageError(
            f"The method {name!r} does not read buildings.",
            hint="Leave out the buildings, or use radiocycle.",
        )


def get_method(name: str, **options: object) -> Estimator:
    """Make an estimator by name.

    Parameters
    ----------
    name : str
        One of :func:`list_methods`; upper case and ``_`` for ``-`` are accepted.
    **options
        The constructor's parameters: ``neighbors=8`` for ``knn``, or ``model``, ``device``
        and ``precision`` for the networks.

    Returns
    -------
    Estimator
        Ready to run. Classical methods are also a :class:`~rm_geo.estimators.base.PointEstimator`.

    Raises
    ------
    UsageError
        If there is no such method, or it has no such option.
    DependencyError
        If the method needs an optional package that is not installed.

    Examples
    --------
    >>> get_method("knn", neighbors=8).provenance
    {'method': 'knn', 'neighbors': '8'}
    """
    return cast("Estimator", _factory(name, options)(**options))


def check_options(name: str, **options: object) -> None:
    """Refuse a method and options as :func:`get_method` would, opening no model.

    Parameters
    ----------
    name, **options
        As for :func:`get_method`.

    Raises
    ------
    UsageError
        If there is no such method, or it has no such option or value.
    DependencyError
        If the method needs an optional package that is not installed.

    Examples
    --------
    >>> check_options("knn", neighbors=8)
    """
    if not options:  # nothing to import for
        method_info(name)
        return
    factory = _factory(name, options)
    if not method_info(name).is_network:
        factory(**options)
    elif check := getattr(factory, "check_options", None):
        check(**options)


def _factory(name: str, options: dict[str, object]) -> Callable[..., object]:
    """Find what makes a method, and takes such options."""
    entry = _find(name)
    module, _, class_name = entry.target.partition(":")
    factory = getattr(importlib.import_module(module), class_name)
    _refuse_unknown_options(entry.info.name, factory, options)
    return cast("Callable[..., object]", factory)


def _find(name: str) -> _Entry:
    """Find an entry, or name the nearest ones."""
    wanted = name.strip().lower().replace("_", "-")
    entries = {entry.info.name: entry for entry in _ENTRIES}
    if wanted in entries:
        return entries[wanted]
    close = difflib.get_close_matches(wanted, entries, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(entries)}."
    raise UsageError(f"There is no method {name!r}.", hint=hint)


def _refuse_unknown_options(name: str, factory: object, options: dict[str, object]) -> None:
    """Name the options that a method does not have, before Python's own TypeError."""
    import inspect

    parameters = inspect.signature(cast("type", factory)).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    unknown = sorted(set(options) - set(parameters))
    if unknown:
        known = ", ".join(parameters) or "none"
        raise UsageError(
            f"Method {name!r} has no option {', '.join(unknown)}.", hint=f"Its options: {known}."
        )
