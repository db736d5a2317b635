"""Docstrings are complete: numpydoc's own validation, of the public API and of the rooms."""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import rm_geo

validate = pytest.importorskip("numpydoc.validate").validate
NumpyDocString = pytest.importorskip("numpydoc.docscrape").NumpyDocString

SECTIONS = {"GL08", "PR02", "PR03", "RT01", "YD01"}
"""No docstring, parameters that are unknown or in another order, nothing on the result."""
API_SECTIONS = SECTIONS | {"PR04", "PR07", "RT03"}
"""In the public API, parameters and results also have types and descriptions."""


@dataclass(frozen=True)
class Documented:
    """A class, function or method, by the name that numpydoc imports."""

    name: str
    value: Any
    owner: type | None = None

    @property
    def parameters(self) -> set[str]:
        """Names that a caller passes; those with an underscore are there for the form only."""
        names = inspect.signature(self.value).parameters
        # Protocols and pydantic's models take what their fields, which are documented, say.
        formal = {"self", "cls", "args", "kwargs"} if inspect.isclass(self.value) else {"self"}
        return {name for name in names if not name.startswith("_")} - formal

    @property
    def is_override(self) -> bool:
        """Whether a class below documents the method."""
        method = self.name.rpartition(".")[2]
        return self.owner is not None and any(
            method in vars(base) for base in self.owner.__mro__[1:]
        )

    @property
    def documented(self) -> set[str]:
        """Names in the sections ``Parameters`` and ``Attributes``, of a class with its bases'."""
        classes = self.value.__mro__[:-1] if inspect.isclass(self.value) else (self.value,)
        names: set[str] = set()
        for each in classes:
            if each.__module__.startswith("rm_geo") and each.__doc__:
                sections = NumpyDocString(inspect.cleandoc(each.__doc__))
                for row in (*sections["Parameters"], *sections["Attributes"]):
                    names |= {name.strip().lstrip("*") for name in row.name.split(",")}
        return names

    def faults(self, codes: set[str]) -> list[str]:
        """What numpydoc finds, and the parameters that no section describes.

        numpydoc does not accept the attributes of a value class as its parameters.
        """
        found = [
            f"{self.name}: {text}"
            for code, text in validated(self.name)
            if code in codes and not (inspect.isclass(self.value) and code in {"PR02", "PR03"})
        ]
        if missing := sorted(self.parameters - self.documented):
            found.append(f"{self.name}: not documented: {', '.join(missing)}")
        return found


@functools.cache
def validated(name: str) -> list[tuple[str, str]]:
    """Codes and texts of numpydoc's findings."""
    return validate(name)["errors"]


def public_api() -> Iterator[Documented]:
    """What ``rm_geo.__all__`` lists, and its public methods."""
    for name in rm_geo.__all__:
        value = getattr(rm_geo, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            yield Documented(f"{value.__module__}.{name}", value)
        if inspect.isclass(value):
            yield from methods(value)


def methods(owner: type) -> Iterator[Documented]:
    """Public methods that a class defines."""
    for name, value in vars(owner).items():
        is_method = isinstance(value, (classmethod, staticmethod)) or inspect.isfunction(value)
        if is_method and not name.startswith("_"):
            full_name = f"{owner.__module__}.{owner.__qualname__}.{name}"
            yield Documented(full_name, getattr(owner, name), owner)


JOBS = {"rm_geo.worker.jobs", "rm_geo.worker.planning"}
"""Functions of one form, which the first of the modules documents."""


def rooms() -> Iterator[Documented]:
    """Public functions and methods of all modules that need no underscore to be imported."""
    for module in pkgutil.walk_packages(rm_geo.__path__, "rm_geo."):
        if module.name in JOBS or any(part.startswith("_") for part in module.name.split(".")):
            continue
        try:
            values = vars(importlib.import_module(module.name))
        except ImportError:  # an extra that is not installed
            continue
        for name, value in values.items():
            if name.startswith("_") or getattr(value, "__module__", None) != module.name:
                continue
            if inspect.isfunction(value):
                yield Documented(f"{module.name}.{name}", value)
            elif inspect.isclass(value):
                yield from methods(value)


def test_the_public_api_is_documented():
    faults = [fault for each in public_api() for fault in each.faults(API_SECTIONS)]
    assert not faults, "\n".join(faults)


def test_public_names_have_an_example():
    faults = [
        fault for each in public_api() if each.owner is None for fault in each.faults({"EX01"})
    ]
    assert not faults, "\n".join(faults)


def test_functions_of_the_rooms_describe_their_parameters_and_result():
    faults = [
        fault
        for each in rooms()
        if len(each.parameters) > 1 and not each.is_override
        for fault in each.faults(SECTIONS)
    ]
    assert not faults, "\n".join(faults)
