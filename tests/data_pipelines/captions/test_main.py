import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.captions.__main__ import main, members
from data_pipelines.errors import UserError

words = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.recursive(
    words | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(
    words,
    st.lists(values, max_size=4) | st.dictionaries(words, values, max_size=4),
    max_size=4,
)


@given(objects, st.booleans(), st.none() | st.just(1))
def test_members_are_those_of_the_object(content, ascii_only, indent) -> None:
    text = json.dumps(content, ensure_ascii=ascii_only, indent=indent).encode()
    found = {name: json.loads(text[begin:end]) for name, begin, end in members(text, "x")}
    assert found == content


@pytest.mark.parametrize(
    "text", [b"[]", b'[{"a": {}}]', b'{"a": {}', b'{"a": {"b": ["c"]}', b'{"a": "b"}']
)
def test_what_is_no_such_object(text: bytes) -> None:
    with pytest.raises(UserError, match=r"x (holds a list|breaks off)"):
        list(members(text, "x"))


def test_files(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    spoken = {"-a_b": {"text": ['say "{"', "b"], "start": [0, 1], "end": [1, 2]}, "c": {"text": []}}
    (tmp_path / "caption.json").write_text(json.dumps(spoken))
    assert main([str(tmp_path / "caption.json"), str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == "2 videos\n"
    written = {p.stem: json.loads(p.read_text()) for p in (tmp_path / "out").iterdir()}
    assert written == spoken
    for name in ("../a", ".hidden", ""):
        (tmp_path / "caption.json").write_text(json.dumps({name: {}}))
        with pytest.raises(UserError, match="cannot be the name"):
            main([str(tmp_path / "caption.json"), str(tmp_path / "out")])
    with pytest.raises(UserError, match="does not exist"):
        main([str(tmp_path / "none.json"), str(tmp_path / "out")])
