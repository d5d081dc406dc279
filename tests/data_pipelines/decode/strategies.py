"""What property tests of decoding draw."""

from hypothesis import strategies as st

from data_pipelines.video import Box


@st.composite
def boxes(draw: st.DrawFn, largest: int) -> tuple[int, int, Box]:
    """A picture's height and width, up to `largest`, and a box inside it."""
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return height, width, (y, x, draw(st.integers(1, height - y)), draw(st.integers(1, width - x)))
