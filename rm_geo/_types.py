"""Array types, each with one dtype."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float32]
"""Levels, gains and probabilities: float32 from end to end."""

Float64Array: TypeAlias = NDArray[np.float64]
"""Coordinates, and sums that need the precision."""

BoolArray: TypeAlias = NDArray[np.bool_]
IntArray: TypeAlias = NDArray[np.integer[Any]]
IndexArray: TypeAlias = NDArray[np.int64]
"""Offsets into, and positions in, other arrays."""

PixelArray: TypeAlias = NDArray[np.int64]
"""Pixel numbers, ``row * columns + column``."""

Scalar = TypeVar("Scalar", bound=np.generic)
