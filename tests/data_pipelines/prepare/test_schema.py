import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.errors import UserError
from data_pipelines.prepare.schema import DatasetInfo, Record
from data_pipelines.video import Caption

RECORD = Record("id", 3, (Caption("a", 0.5),), (0.0, 0.1), 4, 6, (b"x", b"y"), b"", b"s", -0.02)
INFO = DatasetInfo("n", ("a",), {}, {"storage": "jpeg"}, {"all": 1}, {}, "0", {}, {})

packed = msgspec.msgpack.encode


def changed(**fields: object) -> bytes:
    """A stored record with other fields."""
    return packed(msgspec.structs.asdict(RECORD) | fields)


captions = st.builds(Caption, st.text(), st.none() | st.floats(0, 9), st.none() | st.floats(0, 9))


@given(st.text(), st.lists(captions), st.lists(st.floats(0, 1e6)), st.lists(st.binary()))
def test_a_record_is_read_back(name, spoken, times, jpegs):
    record = msgspec.structs.replace(
        RECORD, id=name, captions=tuple(spoken), times=tuple(times), jpegs=tuple(jpegs)
    )
    assert Record.from_bytes(record.to_bytes()) == record


def test_a_record_is_a_plain_map():
    fields = msgspec.msgpack.decode(RECORD.to_bytes())
    assert fields["jpegs"] == [b"x", b"y"]
    assert fields["captions"] == [{"text": "a", "start": 0.5, "end": None}]
    assert fields["version"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (packed([1]), "Expected `object`, got `array`"),
        (packed({"version": 2}), "version 2, not 1"),
        (packed({"version": "1"}), "Expected `int`, got `str` - at `$.version`"),
        (packed({"version": 1, "id": "x"}), "missing required field `label`"),
        (changed(extra=1), "unknown field `extra`"),
        (changed(height=-4), "Expected `int` >= 1 - at `$.height`"),
        (changed(width=1e300), "Expected `int`.* - at `$.width`"),
        (changed(label=-2), "Expected `int` >= -1 - at `$.label`"),
        (changed(jpegs=[1, None]), "Expected `bytes`, got `int` - at `$.jpegs[0]`"),
        (changed(times=["0"]), "Expected `float`, got `str` - at `$.times[0]`"),
        (changed(captions=[["a"]]), "got `array` - at `$.captions[0]`"),
        (b"\x91" * 100_000, "Expected `object`, got `array`"),
        (b"\x81\xa1a" + b"\x91" * 100_000, "recursion"),
        (b"", "truncated"),
        (RECORD.to_bytes()[:-3], "truncated"),
        (RECORD.to_bytes() + b"\0", "trailing"),
    ],
)
def test_strange_records_are_refused(content, message):
    with pytest.raises(ValueError, match=re.escape(message).replace(r"\.\*", ".*")):
        Record.from_bytes(content)


def test_the_description_is_read_back_or_refused():
    assert DatasetInfo.from_json(INFO.to_json(), "x") == INFO
    with pytest.raises(UserError, match=r"d\.json is of schema version 2, but"):
        DatasetInfo.from_json(msgspec.structs.replace(INFO, version=2).to_json(), "d.json")
    for damaged in ("{", "[]", "{}", '{"version": 1, "x": 2, "classes": []}'):
        with pytest.raises(UserError, match=r"d\.json is damaged"):
            DatasetInfo.from_json(damaged, "d.json")
