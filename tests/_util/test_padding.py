import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rm_geo._util.padding import pad_window

SIZES = st.integers(1, 6)
CORNERS = st.tuples(st.integers(-9, 9), st.integers(-9, 9))


@given(SIZES, SIZES, SIZES, SIZES, CORNERS)
def test_padding_repeats_the_nearest_pixel(rows, cols, height, width, corner):
    image = np.arange(rows * cols).reshape(rows, cols)
    shown = pad_window(image, corner, (height, width))
    assert shown.shape == (height, width)
    for row in range(height):
        for col in range(width):
            nearest = (
                min(max(row + corner[0], 0), rows - 1),
                min(max(col + corner[1], 0), cols - 1),
            )
            assert shown[row, col] == image[nearest]


@given(SIZES, SIZES, CORNERS)
def test_padding_inside_the_image_keeps_its_pixels(rows, cols, corner):
    image = np.arange(rows * cols).reshape(rows, cols)
    larger = pad_window(image, (-9, -9), (rows + 18, cols + 18))
    there = pad_window(larger, corner, larger.shape)
    back = pad_window(there, (9 - corner[0], 9 - corner[1]), image.shape)
    np.testing.assert_array_equal(back, image)
