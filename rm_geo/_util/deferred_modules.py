"""Optional dependencies of libraries, imported when they are used and not before."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import version
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """Stand-in for a module: imports it when an attribute is asked for that it does not have."""

    def __init__(self, spec: ModuleSpec, attributes: Mapping[str, object]) -> None:
        super().__init__(spec.name)
        self.__spec__ = spec
        self.__file__ = spec.origin
        if spec.submodule_search_locations is not None:  # its parts can be imported
            self.__path__ = spec.submodule_search_locations
        self.__dict__.update(attributes)
        self._imported: ModuleType | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of a module
        if name == "__version__":  # of the distribution, without an import
            return version(self.__name__)
        if name == "__path__":  # import statements ask for it; a module has none
            raise AttributeError(f"{self.__name__} is not a package")
        if self._imported is None:
            self._imported = self._import()
        return getattr(self._imported, name)

    def _import(self) -> ModuleType:
        """Import the module, with the parts that were imported before it."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = importlib.import_module(self.__name__)
        for part, loaded in self.parts():
            module.__dict__.setdefault(part, loaded)
        return module

    def parts(self) -> list[tuple[str, ModuleType]]:
        """List the names and modules of the parts that are loaded."""
        start = f"{self.__name__}."
        return [
            (name.removeprefix(start), module)
            for name, module in list(sys.modules.items())
            if name.startswith(start) and "." not in name.removeprefix(start)
        ]


@contextmanager
def deferred_modules(*names: str, **attributes: object) -> Iterator[None]:
    """Import a library without the modules of which it only checks that they are installed.

    Parameters
    ----------
    *names : str
        Modules that a library imports, and that take long, packages before their parts. Inside
        the block a stand-in takes their place: it has the version, and imports the module when
        anything else is used. Modules that are loaded already, or not installed, are left alone.
        The stand-in of a package stays after the block if a part of the package was imported:
        what is imported from it then is the real one.
    **attributes : object
        Further attributes that the stand-ins have.

    Examples
    --------
    >>> with deferred_modules("wave"):
    ...     import wave
    >>> "wave" in sys.modules
    False
    >>> wave.Error.__name__, "wave" in sys.modules
    ('Error', True)
    """
    stand_ins: dict[str, _Deferred] = {}
    for name in names:
        if name in sys.modules or (spec := _spec(name)) is None:
            continue
        stand_ins[name] = sys.modules[name] = _Deferred(spec, attributes)
        package, _, part = name.rpartition(".")
        if package in sys.modules:  # its own lazy attributes find what is there
            vars(sys.modules[package]).setdefault(part, stand_ins[name])
    try:
        yield
    finally:
        for name, stand_in in reversed(stand_ins.items()):  # parts before their packages
            if sys.modules.get(name) is stand_in and not stand_in.parts():
                del sys.modules[name]


def deferred_function(module: str, name: str) -> Callable[..., Any]:
    """Make a stand-in for a function, which imports its module when it is called.

    Parameters
    ----------
    module, name : str
        Module and name of the function.

    Returns
    -------
    callable

    Examples
    --------
    >>> deferred_function("math", "hypot")(3.0, 4.0)
    5.0
    """

    def call(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - any function
        return getattr(importlib.import_module(module), name)(*args, **named)

    return call


def _spec(name: str) -> ModuleSpec | None:
    """Find a module without importing its package; None if either is not installed."""
    package = name.rpartition(".")[0]
    if not package:
        return importlib.util.find_spec(name)
    found = _spec(package)
    if found is None or found.submodule_search_locations is None:
        return None
    return PathFinder.find_spec(name, found.submodule_search_locations)
