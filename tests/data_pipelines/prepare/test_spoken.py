"""Sentences and several labels carry over into records."""

import dataclasses
import functools
import json
import pathlib

import numpy as np
import pytest

from data_pipelines.errors import UserError
from data_pipelines.pipeline import evaluation_batches
from data_pipelines.prepare.encode import Encoding
from data_pipelines.prepare.pipeline import prepare
from data_pipelines.prepare.plan import Job, plan_shards
from data_pipelines.sources.audioset import read_audioset
from data_pipelines.sources.manifest import read_manifest
from data_pipelines.sources.records import open_records
from data_pipelines.spec import AudioSpec, InputSpec, TextSpec
from data_pipelines.video import Caption

SPEC = InputSpec(
    clips=1, frames=2, stride=1, size=8, sampling="even", crop="center", audio=AudioSpec(8000, 100),
    text=TextSpec(2, 4),
)  # fmt: skip


@pytest.fixture
def listed(videos: pathlib.Path, tmp_path: pathlib.Path) -> functools.partial:
    """The videos of `videos` with sentences in all ways."""
    root = tmp_path / "listed"
    root.mkdir()
    for name, path in (("a", "train/a/vary.mkv"), ("b", "test/b/small.mkv")):
        (root / f"{name}.mkv").write_bytes((videos / path).read_bytes())
    (root / "b.json").write_text(json.dumps({"text": ["a red box"], "start": [0.1], "end": [0.5]}))
    (root / "bad.json").write_text("{")
    rows = [
        {"path": "a.mkv", "captions": [{"text": "a blue bar", "start": 0.5}, "here"], "start": 0.2},
        {"path": "b.mkv", "captions_file": "b.json"},
        {"path": "b.mkv", "end": 0.3, "captions_file": "b.json"},
        {"path": "b.mkv", "end": 0.4, "captions_file": "bad.json"},
        {"path": "a.mkv"},
    ]
    (root / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return functools.partial(read_manifest, root / "list.jsonl", format="jsonl")


def test_sentences_are_read_back(listed: functools.partial, tmp_path: pathlib.Path) -> None:
    job = Job(listed, str(tmp_path / "out"), Encoding(short_side=16), videos_per_shard=2)
    census = prepare(job, quiet=True)
    assert (census.written, census.bad) == (4, 1)
    (bad,) = map(json.loads, (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines())
    assert bad["id"] == "b.mkv#-0.4"
    assert "its sentences cannot be read" in bad["reason"]
    source = open_records(str(tmp_path / "out"))["all"]
    assert [tuple(source.info(index).captions) for index in range(4)] == [
        (Caption("a blue bar", 0.3, None), Caption("here")),
        (Caption("a red box", 0.1, 0.5),),
        (Caption("a red box", 0.1, 0.5),),
        (),
    ]
    given = [0, 1, 2, 4]
    (files,) = evaluation_batches(listed()["all"], SPEC, batch_size=5)
    (records,) = evaluation_batches(source, SPEC, batch_size=4)
    np.testing.assert_array_equal(records["text"], files["text"][given])
    np.testing.assert_array_equal(records["audio_valid"], files["audio_valid"][given])
    np.testing.assert_allclose(records["audio"], files["audio"][given], atol=1e-3)


@pytest.mark.parametrize("storage", ["jpeg", "h264"])
def test_records_of_records_sound_and_say_the_same(
    listed: functools.partial, tmp_path: pathlib.Path, storage: str
) -> None:
    once, again = str(tmp_path / "once"), str(tmp_path / "again")
    encoding = Encoding(storage=storage, short_side=32)
    prepare(Job(listed, once, encoding), quiet=True)
    small = Encoding(storage=storage, short_side=16)
    prepare(Job(functools.partial(open_records, once), again, small), quiet=True)
    first, second = open_records(once)["all"], open_records(again)["all"]
    (given,), (kept,) = (evaluation_batches(s, SPEC, batch_size=4) for s in (first, second))
    assert given["audio_valid"].any()
    for name in ("audio", "audio_valid", "text", "label"):
        np.testing.assert_array_equal(kept[name], given[name])
    assert second.index["sound"].to_pylist() == first.index["sound"].to_pylist()
    assert "flac" in second.index["sound"].to_pylist()
    assert {second.open(i).size[0] for i in range(4)} == {16}


def test_a_changed_file_of_sentences_is_another_input(listed, tmp_path: pathlib.Path) -> None:
    job = Job(listed, str(tmp_path / "out"), Encoding())
    before = plan_shards(listed(), job)
    assert plan_shards(listed(), job) == before
    (tmp_path / "listed" / "b.json").write_text("[]")
    assert plan_shards(listed(), job) != before
    prepare(job, quiet=True)
    (tmp_path / "listed" / "b.json").write_text('["longer than before"]')
    with pytest.raises(UserError, match="another list of videos, of files that have changed"):
        prepare(job, quiet=True)


def test_several_labels_are_read_back(videos: pathlib.Path, tmp_path: pathlib.Path) -> None:
    lists = tmp_path / "balanced_train_segments.csv"
    lists.write_text('# YTID\nsmall, 0.000, 0.500, "/m/1,/m/2"\nvary, 0.000, 1.000, "/m/2"\n')
    opened = functools.partial(read_audioset, videos, lists)
    prepare(Job(opened, str(tmp_path / "out"), Encoding(short_side=16)), quiet=True)
    source = open_records(str(tmp_path / "out"))["train"]
    assert source.classes == ("/m/1", "/m/2")
    assert [(source.info(i).label, source.info(i).labels) for i in range(2)] == [
        (-1, (0, 1)),
        (-1, (1,)),
    ]
    spec = dataclasses.replace(SPEC, audio=None, text=None)
    (batch,) = evaluation_batches(source, spec, batch_size=2)
    assert batch["label"].tolist() == [[1, 1], [0, 1]]
