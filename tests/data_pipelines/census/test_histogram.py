import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.census.histogram import histogram


@given(st.lists(st.floats(0, 1e5), max_size=60))
def test_everything_is_counted_once_in_a_few_bins(values):
    rows = histogram(values, "s")
    assert sum(count for _, count in rows) == len(values)
    assert len(rows) <= 14
    assert len({label for label, _ in rows}) == len(rows)


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        ([], []),
        ([10.0, 10.0], [("10–10.01 s", 2)]),
        ([1.0, 1.2, 3.4], [("1–1.2 s", 1), ("1.2–1.4 s", 1), ("1.4–1.6 s", 0)]),
    ],
)
def test_bins_are_round(values, rows):
    assert histogram(values, "s")[: len(rows)] == rows


def test_outliers_share_the_last_bin():
    rows = histogram([*range(100), 5000], "s")
    assert rows[-1] == ("100–5e+03 s", 1)
    assert len(rows) == 11
