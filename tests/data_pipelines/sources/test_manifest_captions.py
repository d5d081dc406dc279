"""Sentences in the columns of one's own list."""

import dataclasses
import json
import pathlib
from typing import Any

import pytest

from data_pipelines.captions import CaptionFile
from data_pipelines.errors import UserError
from data_pipelines.sources.files import FileSource
from data_pipelines.sources.manifest import read_manifest
from data_pipelines.video import Caption


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "a.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nfrom the file\n")
    return tmp_path


def from_csv(folder: pathlib.Path, *lines: str, **options: Any) -> FileSource:
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    (source,) = read_manifest(folder / "list.csv", **options).values()
    return source


def from_jsonl(folder: pathlib.Path, *rows: dict) -> FileSource:
    (folder / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (source,) = read_manifest(folder / "list.jsonl", format="jsonl").values()
    return source


def test_the_sentences_of_a_film_in_one_row(folder: pathlib.Path) -> None:
    captions = [Caption(f"line {index}", index, index + 1) for index in range(5000)]
    text = json.dumps([dataclasses.asdict(caption) for caption in captions])
    assert len(text) > 131_072  # what Python's csv takes unless told otherwise
    quoted = text.replace('"', '""')
    source = from_csv(folder, "path,captions", f'a.mp4,"{quoted}"')
    assert list(source.info(0).captions) == captions


def test_a_sentence_about_the_video(folder: pathlib.Path) -> None:
    source = from_csv(
        folder, "path,caption,start,end", "a.mp4, a dog ,,", "b.mp4,,,", "c.mp4,x,3,4"
    )
    assert source.info(0).captions == (Caption("a dog"),)
    assert source.info(1).captions == ()
    assert source.info(2).captions == (Caption("x"),)  # about the segment, all of it
    source = from_csv(folder, "path,text", "a.mp4,a dog", caption_column="text")
    assert source.info(0).captions == (Caption("a dog"),)


def test_several_with_times(folder: pathlib.Path) -> None:
    said = [{"text": "one", "start": 0, "end": 2}, {"text": "two", "start": 5, "end": 6}]
    expected = (Caption("one", 0.0, 2.0), Caption("two", 5.0, 6.0))
    source = from_jsonl(
        folder,
        {"path": "a.mp4", "captions": said},
        {"path": "b.mp4", "captions": ["one", "two"]},
        {"path": "c.mp4", "captions": said, "start": 1.0, "end": 4.0},
    )
    assert source.info(0).captions == expected
    assert source.info(1).captions == (Caption("one"), Caption("two"))
    assert source.info(2).captions == (Caption("one", -1.0, 1.0),)  # what overlaps the segment
    quoted = json.dumps(said).replace('"', '""')
    source = from_csv(folder, "path,captions", f'a.mp4,"{quoted}"')
    assert source.info(0).captions == expected


def test_a_file_is_read_later(folder: pathlib.Path) -> None:
    source = from_csv(folder, "path,captions_file,start", "a.mp4,a.srt,", "b.mp4,a.srt,0.5")
    assert isinstance(source.info(0).captions, CaptionFile)
    assert tuple(source.info(0).captions) == (Caption("from the file", 1.0, 2.0),)
    assert tuple(source.info(1).captions) == (Caption("from the file", 0.5, 1.5),)


@pytest.mark.parametrize(
    ("columns", "values", "message"),
    [
        ("captions", '"{"', "line 2: captions: Expecting"),
        ("captions", "7", "line 2: captions: sentences must be a text"),
        ("captions", '"[{""text"": ""a"", ""start"": ""x""}]"', "the time of a sentence is 'x'"),
        ("captions_file", "none.srt", r"line 2: captions_file .*none\.srt does not exist"),
        ("captions_file", "../a.srt", "leads out of"),
        ("caption,captions_file", "x,a.srt", "in one column, not in caption and captions_file"),
    ],
)
def test_what_will_not_do(columns: str, values: str, message: str, folder: pathlib.Path) -> None:
    with pytest.raises(UserError, match=message):
        from_csv(folder, f"path,{columns}", f"a.mp4,{values}")


def test_a_wanted_column_must_exist(folder: pathlib.Path) -> None:
    with pytest.raises(UserError, match="no column 'sentence'"):
        from_csv(folder, "path,caption", "a.mp4,x", caption_column="sentence")
    with pytest.raises(UserError, match=r"line 1: captions: .*differ in length"):
        from_jsonl(folder, {"path": "a.mp4", "captions": {"text": ["a"], "start": []}})
