"""Searching what was embedded: by videos of the collection, and by other files."""

import json
import shutil

import numpy as np
import pytest

from cvrl_jax.downstream.embed import embed_checkpoint
from cvrl_jax.search.run import search_collection
from data_pipelines.errors import UserError


@pytest.fixture(scope="module")
def embedded(trained, tiny_config, write_video, tmp_path_factory):
    """(folder with tables of two classes of six videos, folder of the videos)."""
    root, out = tmp_path_factory.mktemp("videos"), tmp_path_factory.mktemp("embedded")
    for label in ("cats", "dogs"):
        for i in range(6):
            write_video(root / label / f"{i}.mp4", i + 10 * (label == "dogs"))
    config = tiny_config()
    config.data.update(source="folder", root=str(root), train_videos=0, test_videos=0, workers=0)
    embed_checkpoint(config, trained.workdir, out)
    return out, root


def test_videos_of_the_collection_find_others(embedded):
    out, _ = embedded
    result = search_collection(out, [], k=3)
    assert result["videos"] == 12
    for entry in result["queries"]:
        assert entry["query"]["split"] == "test"
        assert len(entry["neighbours"]) == 3
        assert entry["query"]["path"] not in [n["path"] for n in entry["neighbours"]]
        similarities = [n["similarity"] for n in entry["neighbours"]]
        assert similarities == sorted(similarities, reverse=True)
    page = (out / "neighbours.html").read_text()
    assert page.count("<img") == 4 * len(result["queries"])
    assert page.count('src="data:image/webp;base64,') == page.count("src=")
    assert "<script" not in page
    assert json.loads(json.dumps(result)) == result


def test_a_file_finds_itself_among_the_collection(embedded, tmp_path):
    out, root = embedded
    copy = shutil.copy(root / "dogs" / "3.mp4", tmp_path / "copy of a dog.mp4")
    (entry,) = search_collection(out, [str(copy)], k=2)["queries"]
    assert entry["query"] == {"path": str(copy)}
    assert entry["neighbours"][0]["path"].endswith("dogs/3.mp4")
    np.testing.assert_allclose(entry["neighbours"][0]["similarity"], 1, atol=1e-4)
    (own,) = search_collection(out, [str(root / "dogs" / "3.mp4")], k=2)["queries"]
    assert own["query"]["label"] == "dogs"  # it is one of the collection, and not its own neighbour
    assert not any(n["path"].endswith("dogs/3.mp4") for n in own["neighbours"])


def test_what_cannot_be_searched_is_one_line(embedded, tmp_path):
    out, _ = embedded
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    for folder, queries, k, says in (
        (tmp_path, [], 3, "no embedded videos in .* --mode=embed"),
        (out, ["none.mp4"], 3, "no such file, and no video of the collection"),
        (out, [str(tmp_path / "bad.mp4")], 3, "cannot be read"),
        (out, [], 0, "must be at least 1"),
    ):
        with pytest.raises(UserError, match=says) as caught:
            search_collection(folder, queries, k)
        assert "\n" not in str(caught.value)
    damaged = shutil.copytree(out, tmp_path / "damaged")
    table = damaged / "embeddings_train.parquet"
    table.write_bytes(table.read_bytes()[:-20])
    with pytest.raises(UserError, match="its tables cannot be read"):
        search_collection(damaged, [])
