"""State of the dependencies in rm_geo's metadata: installed, recent enough, importable."""

from __future__ import annotations

import csv
import importlib.util
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import PurePosixPath
from typing import Final

DISTRIBUTION: Final = "rm-geo"

_IMPORTER: Final = """
import importlib, json, sys
for name in sys.argv[1:]:
    print(json.dumps([name, "begin"]), flush=True)
    try:
        importlib.import_module(name)
        outcome = None
    except BaseException as error:
        lines = str(error).strip().splitlines() or [""]
        outcome = f"{type(error).__name__}: {lines[0]}"
    print(json.dumps([name, outcome]), flush=True)
"""


@dataclass(frozen=True)
class Dependency:
    """A dependency of rm_geo, and the state of its installation.

    Attributes
    ----------
    name : str
        Name of the distribution, in lower case with hyphens.
    specifier : str
        Supported versions, such as ``>=1.26``.
    extras : tuple of str
        Extras that require it; empty if it is always required.
    version : str or None
        Installed version; None if it is not installed.
    is_accepted : bool
        Whether the installed version satisfies the specifier.
    import_error : str or None
        Error of importing the installed package; None if the import succeeds.
    """

    name: str
    specifier: str
    extras: tuple[str, ...] = ()
    version: str | None = None
    is_accepted: bool = False
    import_error: str | None = None

    @property
    def is_usable(self) -> bool:
        """Whether it is installed, recent enough and importable.

        Returns
        -------
        bool
        """
        return self.version is not None and self.is_accepted and self.import_error is None

    def describe(self) -> str:
        """Describe the state in a few words.

        Returns
        -------
        str

        Examples
        --------
        >>> Dependency("numpy", ">=1.26", version="2.1.0", is_accepted=True).describe()
        '2.1.0 (>=1.26)'
        >>> Dependency("numpy", ">=1.26", version="1.20.0").describe()
        '1.20.0, but >=1.26 is needed'
        >>> Dependency("numpy", ">=1.26").describe()
        'not installed'
        """
        if self.version is None:
            return "not installed"
        if not self.is_accepted:
            return f"{self.version}, but {self.specifier} is needed"
        if self.import_error is not None:
            return f"{self.version}, but it cannot be imported ({self.import_error})"
        return f"{self.version} ({self.specifier})"


def find_dependencies(
    *, skip_imports_of: Iterable[str] = ("dev", "docs", "test")
) -> list[Dependency]:
    """Check all dependencies in the installed metadata of rm_geo.

    Parameters
    ----------
    skip_imports_of : iterable of str
        Extras whose packages are not imported, unless another extra requires them too.

    Returns
    -------
    list of Dependency
        Required ones first, each once, in the order of the metadata.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        If rm_geo runs from a folder and is not installed.

    Examples
    --------
    >>> [d.name for d in find_dependencies() if d.name == "numpy"]  # doctest: +SKIP
    ['numpy']
    """
    declared = declared_dependencies(
        metadata.requires(DISTRIBUTION) or (),
        metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or (),
    )
    skipped = set(skip_imports_of)
    installed = [_with_version(dependency) for dependency in declared]
    modules = {
        dependency.name: module_name(dependency.name)
        for dependency in installed
        if dependency.is_accepted and not (dependency.extras and skipped >= {*dependency.extras})
    }
    errors = import_errors([module for module in modules.values() if module])
    return [
        Dependency(
            **{**vars(dependency), "import_error": errors.get(modules.get(dependency.name) or "")}
        )
        for dependency in installed
    ]


def declared_dependencies(
    requirements: Iterable[str], extras: Iterable[str] = ()
) -> list[Dependency]:
    """Parse requirements of a distribution, for this platform and Python.

    Parameters
    ----------
    requirements : iterable of str
        As of :func:`importlib.metadata.requires`.
    extras : iterable of str
        Names of the extras.

    Returns
    -------
    list of Dependency
        Required ones first, each package once, without the state of the installation.

    Examples
    --------
    >>> declared_dependencies(["numpy>=1.26", "numba>=0.60; extra == 'simulate'"], ["simulate"])
    ... # doctest: +NORMALIZE_WHITESPACE
    [Dependency(name='numpy', specifier='>=1.26', extras=(), version=None, is_accepted=False,
                import_error=None),
     Dependency(name='numba', specifier='>=0.60', extras=('simulate',), version=None,
                is_accepted=False, import_error=None)]
    """
    from packaging.requirements import Requirement

    names = list(extras)
    required: dict[str, str] = {}
    optional: dict[str, tuple[str, tuple[str, ...]]] = {}
    for text in requirements:
        requirement = Requirement(text)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        specifier, marker = str(requirement.specifier), requirement.marker
        if name == DISTRIBUTION:
            continue
        if marker is None or marker.evaluate({"extra": ""}):
            required[name] = specifier
            continue
        users = tuple(extra for extra in names if marker.evaluate({"extra": extra}))
        if users:
            optional[name] = (specifier, (*optional.get(name, ("", ()))[1], *users))
    found = [Dependency(name, specifier) for name, specifier in required.items()]
    return found + [
        Dependency(name, specifier, users)
        for name, (specifier, users) in optional.items()
        if name not in required
    ]


def module_name(distribution: str) -> str | None:
    """Find the name by which an installed distribution is imported.

    Parameters
    ----------
    distribution : str
        Name of the distribution, in lower case with hyphens.

    Returns
    -------
    str or None
        Name of the module; None for a distribution without modules, such as type stubs.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        If the distribution is not installed.

    Examples
    --------
    >>> [module_name(name) for name in ("pyyaml", "scikit-learn", "odc-geo")]
    ['yaml', 'sklearn', 'odc.geo']
    """
    for candidate in (distribution.replace("-", "."), distribution.replace("-", "_")):
        try:
            if importlib.util.find_spec(candidate) is not None:
                return candidate
        except (ImportError, ValueError):
            continue
    names = _top_level_names(metadata.distribution(distribution))
    return next((n for n in names if n.isidentifier() and not n.startswith("_")), None)


def _top_level_names(distribution: metadata.Distribution) -> list[str]:
    """List what a distribution installs beside other packages, in the order of its metadata."""
    declared = distribution.read_text("top_level.txt")
    if declared:
        return declared.split()
    files = csv.reader((distribution.read_text("RECORD") or "").splitlines())
    first = (PurePosixPath(file).parts[0] for file, *_ in files)
    return [inspect.getmodulename(name) or name for name in first]


def import_errors(modules: Sequence[str]) -> dict[str, str]:
    """Import modules in a child process, and return the errors.

    A library that crashes the process is an error of that module; the others are still checked.

    Parameters
    ----------
    modules : sequence of str
        Full names.

    Returns
    -------
    dict of str to str
        Error messages by module; modules that can be imported are absent.

    Examples
    --------
    >>> import_errors(["json", "no_such_module"])
    {'no_such_module': "ModuleNotFoundError: No module named 'no_such_module'"}
    """
    errors: dict[str, str] = {}
    left = list(modules)
    while left:
        done = subprocess.run(
            [sys.executable, "-c", _IMPORTER, *left],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        begun: str | None = None
        for line in done.stdout.splitlines():
            try:
                name, outcome = json.loads(line)
            except ValueError:  # printed by the package itself
                continue
            if outcome == "begin":
                begun = name
                continue
            left.remove(name)
            begun = None
            if outcome is not None:
                errors[name] = outcome
        if begun is None:
            break
        left.remove(begun)
        errors[begun] = f"the process ended with status {done.returncode} during the import"
    return errors


def _with_version(dependency: Dependency) -> Dependency:
    """Look up the installed version."""
    from packaging.specifiers import SpecifierSet

    try:
        version = metadata.version(dependency.name)
    except metadata.PackageNotFoundError:
        return dependency
    accepted = SpecifierSet(dependency.specifier).contains(version, prereleases=True)
    return Dependency(
        dependency.name, dependency.specifier, dependency.extras, version, is_accepted=accepted
    )
