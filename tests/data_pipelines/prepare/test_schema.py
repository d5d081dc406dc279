import dataclasses

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.errors import UserError
from data_pipelines.prepare.schema import DatasetInfo, Record
from data_pipelines.video import Caption

RECORD = Record("id", 3, (Caption("a", 0.5),), (0.0, 0.1), 4, 6, (b"x", b"y"), b"", b"s", -0.02)
INFO = DatasetInfo("n", ("a",), {}, {"storage": "jpeg"}, {"all": 1}, {}, "0", {}, {})

captions = st.builds(Caption, st.text(), st.none() | st.floats(0, 9), st.none() | st.floats(0, 9))


@given(st.text(), st.lists(captions), st.lists(st.floats(0, 1e6)), st.lists(st.binary()))
def test_a_record_is_read_back(name, spoken, times, jpegs):
    record = dataclasses.replace(
        RECORD, id=name, captions=tuple(spoken), times=tuple(times), jpegs=tuple(jpegs)
    )
    assert Record.from_bytes(record.to_bytes()) == record


def test_a_record_is_a_plain_map():
    fields = msgpack.unpackb(RECORD.to_bytes())
    assert fields["jpegs"] == [b"x", b"y"]
    assert fields["captions"] == [["a", 0.5, None]]
    assert fields["version"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (msgpack.packb([1]), "must be a msgpack map"),
        (msgpack.packb({"version": 2}), "version 2, not 1"),
        (msgpack.packb({"version": 1, "id": "x"}), "missing or unknown"),
        (RECORD.to_bytes()[:-3], "incomplete"),
        (RECORD.to_bytes() + b"\0", "extra data"),
    ],
)
def test_strange_records_are_refused(content, message):
    with pytest.raises(ValueError, match=message):
        Record.from_bytes(content)


def test_the_description_is_read_back_or_refused():
    assert DatasetInfo.from_json(INFO.to_json(), "x") == INFO
    with pytest.raises(UserError, match=r"d\.json is of schema version 2, but"):
        DatasetInfo.from_json(dataclasses.replace(INFO, version=2).to_json(), "d.json")
    for damaged in ("{", "[]", "{}", '{"version": 1, "x": 2, "classes": []}'):
        with pytest.raises(UserError, match=r"d\.json is damaged"):
            DatasetInfo.from_json(damaged, "d.json")
