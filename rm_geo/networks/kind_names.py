"""Kinds of networks, as model files name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    pass

FIELD_KIND: Final = "radiocycle-field"
"""The kind of network that ONNX Runtime computes as well."""
