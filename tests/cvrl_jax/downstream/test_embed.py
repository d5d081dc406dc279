"""Embedding of collections: stopped anywhere, it goes on and ends with the same rows."""

import json

import pyarrow.parquet as pq
import pytest

from cvrl_jax.downstream import embed
from cvrl_jax.downstream.frozen import config_of
from data_pipelines.errors import UserError


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of one batch of eight videos, and a list of those that the network saw."""
    seen = []
    features_of = embed.features_of

    def watched(network, source, batches):
        features = features_of(network, source, batches)
        seen.append(len(features.valid_N))
        return features

    monkeypatch.setattr(embed, "_BATCHES", 1)
    monkeypatch.setattr(embed, "features_of", watched)
    return seen


def stop_at(monkeypatch, part):
    add = embed.Parts.add
    calls = iter(range(100))

    def stopping(self, *arguments):
        if next(calls) == part:
            raise KeyboardInterrupt
        add(self, *arguments)

    monkeypatch.setattr(embed.Parts, "add", stopping)
    return add


def tables(folder):
    return [pq.read_table(folder / f"embeddings_{name}.parquet") for name in ("train", "test")]


def test_a_stopped_embedding_goes_on_and_ends_with_the_same_rows(
    trained, small_parts, tmp_path, monkeypatch
):
    config = config_of(trained.workdir)
    summary = embed.embed_checkpoint(config, trained.workdir, tmp_path / "whole")
    assert (summary["train"]["rows"], summary["test"]["rows"]) == (16, 8)
    assert small_parts == [8, 8, 8]
    add = stop_at(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        embed.embed_checkpoint(config, trained.workdir, tmp_path / "broken")
    folder = tmp_path / "broken" / "embeddings.unfinished"
    assert sorted(path.name for path in folder.rglob("*.parquet")) == ["00000.parquet"]
    assert not list((tmp_path / "broken").glob("*.parquet"))
    (folder / "train" / "00001.parquet.unfinished").write_bytes(b"PAR1")  # as a kill leaves it
    monkeypatch.setattr(embed.Parts, "add", add)
    del small_parts[:]
    again = embed.embed_checkpoint(config, trained.workdir, tmp_path / "broken")
    assert small_parts == [8, 8]  # the first part was not done again
    assert again["train"] | {"file": ""} == summary["train"] | {"file": ""}
    for broken, whole in zip(tables(tmp_path / "broken"), tables(tmp_path / "whole")):
        assert broken.equals(whole)
    names = sorted(path.name for path in (tmp_path / "broken").iterdir())
    assert names == ["embeddings.json", "embeddings_test.parquet", "embeddings_train.parquet"]
    assert json.loads((tmp_path / "broken" / "embeddings.json").read_text())["step"] == 4


def test_parts_of_something_else_are_kept_and_named(trained, small_parts, tmp_path, monkeypatch):
    config = config_of(trained.workdir)
    add = stop_at(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        embed.embed_checkpoint(config, trained.workdir, tmp_path)
    monkeypatch.setattr(embed.Parts, "add", add)
    config.eval.size = 24
    with pytest.raises(UserError, match=r"eval\.size: 0 -> 24\); put that back to go on") as caught:
        embed.embed_checkpoint(config, trained.workdir, tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.rglob("00000.parquet"))
