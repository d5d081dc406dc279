import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.captions import captions_of, within
from data_pipelines.video import Caption


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a cat", [Caption("a cat")]),
        (["a", "b"], [Caption("a"), Caption("b")]),
        ([{"text": "a", "start": 1, "end": "2.5"}], [Caption("a", 1.0, 2.5)]),
        ([{"caption": "a"}, {"sentence": "b", "start": None}], [Caption("a"), Caption("b")]),
        ({"text": ["a", "b"], "start": [0, 1], "end": [1, 2]},
         [Caption("a", 0.0, 1.0), Caption("b", 1.0, 2.0)]),
        ({"text": ["a"], "start": [3]}, [Caption("a", 3.0)]),
        ({"text": "a", "end": 4}, [Caption("a", None, 4.0)]),
        ({"text": ["  two\n words "]}, [Caption("two words")]),
        ([{"text": 3}], [Caption("3")]),
        ([], []),
        ({"text": [], "start": [], "end": []}, []),
    ],
)  # fmt: skip
def test_the_usual_forms(value, expected) -> None:
    assert list(captions_of(value)) == expected


@pytest.mark.parametrize(
    "value",
    [
        ["", "  ", "\n"],
        [{"text": None}, {"text": float("nan")}],
        [{"text": "a", "start": 5, "end": 4}],
        [{"text": "a", "start": -2, "end": 4}],
        [{"text": "a", "end": -1}],
    ],
)
def test_what_is_empty_or_has_senseless_times_is_left_out(value) -> None:
    assert captions_of(value) == ()
    assert captions_of([*value, "kept"]) == (Caption("kept"),)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"text": ["a", "b"], "start": [1]}, "differ in length: 2 of text, 1 of start"),
        ({"text": ["a"], "start": 1.0}, "must all be lists"),
        ([{"text": "a", "start": "soon"}], "the time of a sentence is 'soon', not seconds"),
        ([{"text": "a", "start": True}], "is True, not seconds"),
        ([{"text": "a", "end": float("inf")}], "is inf, not seconds"),
        ([{"words": "a"}], "no field 'text'"),
        ([["a"]], "a text or an object"),
        (7, "a text, a list or an object, not 7"),
        (None, "not None"),
    ],
)
def test_other_forms_are_refused(value, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        captions_of(value)


times = st.none() | st.floats(0, 100)


@given(st.lists(st.builds(Caption, st.text(), times, times)), times, times)
def test_a_segment_keeps_what_overlaps_it_by_its_own_clock(captions, start, end) -> None:
    kept = within(captions, start, end)
    begin, limit = start or 0.0, float("inf") if end is None else end
    expected = [
        c
        for c in captions
        if (c.end is None or c.end > begin) and (c.start is None or c.start < limit)
    ]
    assert [c.text for c in kept] == [c.text for c in expected]
    for got, was in zip(kept, expected):
        assert got.start == (None if was.start is None else was.start - begin)
        assert got.end == (None if was.end is None else was.end - begin)
