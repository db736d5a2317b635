"""Columns of Arrow as numpy arrays, by hand: the same as pyarrow's own conversion."""

import numpy as np
import pyarrow as pa
import pytest

from rm_geo.io.tables.arrow_numpy import from_numpy, joined, to_numpy

COLUMNS = [
    pa.array([1.5, -2.0, float("nan")]),
    pa.array([1, 2, 3], pa.int32()).slice(1),
    pa.array([True, False, True] * 5).slice(3, 7),
    pa.array([], pa.float64()),
    pa.chunked_array([], pa.int64()),
    pa.chunked_array([[1, 2], [], [3]]),
]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: str(column.type))
def test_values_are_those_of_pyarrow(column) -> None:
    own = joined(column)
    expected = own.to_numpy(zero_copy_only=False)
    found = to_numpy(column)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("values", "null"), [([1.0, None, 3.0], np.nan), ([None, 5], 7), ([True, None, False], False)]
)
def test_null_rows_have_the_given_value(values, null) -> None:
    column = pa.array([None, *values]).slice(1)
    expected = [null if value is None else value for value in values]
    np.testing.assert_array_equal(to_numpy(column, null=null), expected)
    with pytest.raises(ValueError, match=f"1 of {len(values)}"):
        to_numpy(column)


@pytest.mark.parametrize("values", [np.arange(10.0)[::2], np.arange(3), np.zeros(0, np.int32)])
def test_arrays_come_back(values) -> None:
    column = from_numpy(values)
    assert column.null_count == 0
    np.testing.assert_array_equal(to_numpy(column), values)
    assert to_numpy(column).dtype == values.dtype
