"""Views of frames of any shape."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.video.preprocess import Box, View, resize

sides = st.integers(1, 4000)
fractions = st.floats(0.001, 1)
views = st.builds(View, fractions, fractions, st.floats(0, 1), st.floats(0, 1), st.booleans())


def frame(height: int, width: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """A frame that takes no memory."""
    return np.broadcast_to(np.zeros(3, dtype=np.uint8), (height, width, 3))


@given(sides, sides)
def test_the_middle_is_inside_the_frame_centred_and_of_a_shape_that_models_know(height: int, width: int) -> None:
    box = Box.middle(height, width)
    rows, columns = box.bottom - box.top, box.right - box.left
    assert 0 <= box.top < box.bottom <= height
    assert 0 <= box.left < box.right <= width
    assert abs(box.top - (height - box.bottom)) <= 1
    assert abs(box.left - (width - box.right)) <= 1
    assert rows == height or columns == width, "one side is kept whole"
    assert rows <= columns + 1
    assert columns <= rows * 4 / 3 + 1


@given(views, st.integers(1, 300), st.integers(1, 300))
def test_a_view_stays_inside_the_part_that_serving_sees(view: View, height: int, width: int) -> None:
    sight = view.of(frame(height, width))
    part = sight.box
    served = Box.middle(height, width)
    assert sight.frame.shape == (height, width, 3)
    assert served.top <= part.top < part.bottom <= served.bottom
    assert served.left <= part.left < part.right <= served.right


@given(st.integers(1, 80), st.integers(1, 80), st.integers(1, 80), st.integers(0, 255))
def test_a_plain_frame_stays_plain_at_any_size(height: int, width: int, size: int, level: int) -> None:
    plain = np.full((height, width, 3), level, dtype=np.uint8)
    resized = resize(plain, Box(0, height, 0, width), size)
    assert resized.shape == (size, size, 3)
    assert (resized == level).all()
