"""What is done with a checkpoint, on real files: one of the videos cannot be read."""

from __future__ import annotations

import json

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from cvrl_jax.frozen import config_of, embed_checkpoint, evaluate_checkpoint
from cvrl_jax.train import train
from cvrl_jax.workdir import Workdir
from data_pipelines.bad_examples import read_bad_examples
from data_pipelines.errors import UserError


def write_video(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(
                rng.integers(0, 256, (32, 32, 3), np.uint8), format="rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of seven videos, one of which is no video."""
    root = tmp_path_factory.mktemp("videos")
    for label in ("cats", "dogs"):
        for i in range(7):
            write_video(root / label / f"{i}.mp4", i)
    (root / "dogs" / "0.mp4").write_bytes(b"no video")
    return root


def on_folder(config, root):
    config.data.update(source="folder", root=str(root), train_videos=0, test_videos=0)
    config.data.update(max_bad_fraction=0.5)
    return config


def test_eval_of_the_checkpoints_own_config_repeats_the_runs_numbers(trained, tmp_path):
    summary = evaluate_checkpoint(config_of(trained.workdir), trained.workdir, tmp_path / "out")
    assert summary["step"] == 4
    for name in ("knn_top1", "linear_top1", "chance"):
        assert summary[name] == pytest.approx(trained.result[name], abs=1e-6)
    written = json.loads((tmp_path / "out" / "eval_4.json").read_text())
    assert written == {k: v for k, v in summary.items() if k != "written"}


def test_eval_and_embed_on_other_data_leave_out_what_cannot_be_read(
    trained, tiny_config, folder, tmp_path
):
    config = on_folder(tiny_config(), folder)
    summary = evaluate_checkpoint(config, trained.workdir, tmp_path)
    assert summary["eval_left_out"] == 1
    assert summary["chance"] >= 0.5
    summary = embed_checkpoint(config, trained.workdir, tmp_path)
    rows = sum(summary[split]["rows"] for split in ("train", "test"))
    assert rows == 13
    left_out = [entry for split in ("train", "test") for entry in summary[split]["left_out"]]
    assert [entry["path"].endswith("dogs/0.mp4") for entry in left_out] == [True]
    table = [pq.read_table(summary[split]["file"]) for split in ("train", "test")]
    assert sum(len(t) for t in table) == rows


def test_embed_of_the_checkpoints_own_config(trained, tmp_path):
    summary = embed_checkpoint(config_of(trained.workdir), trained.workdir, tmp_path)
    assert (summary["train"]["rows"], summary["test"]["rows"]) == (16, 8)


def test_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match="no checkpoint in"):
        config_of(tmp_path)


def test_a_run_with_a_bad_file_ends_and_lists_it(tiny_config, folder, tmp_path):
    result = train(on_folder(tiny_config(), folder), tmp_path / "run")
    assert result["step"] == 4
    assert result["knn_top1"] is not None
    row = Workdir(tmp_path / "run").read_metrics()[0]
    assert (row["step"], row["eval_left_out"]) == (0, 1)
    # Training lists it where it is among the training videos, and it is for this seed.
    listed = read_bad_examples(tmp_path / "run" / "bad_examples.jsonl")
    assert [entry["path"].endswith("dogs/0.mp4") for entry in listed] == [True]


def test_unlabelled_videos_train_without_evaluation(tiny_config, folder, tmp_path, caplog):
    for i in range(9):
        write_video(tmp_path / "flat" / f"{i}.mp4", i)
    with caplog.at_level("INFO"):
        result = train(on_folder(tiny_config(), tmp_path / "flat"), tmp_path / "run")
    assert "evaluations that need labels are off" in caplog.text
    assert result["knn_top1"] is result["linear_top1"] is result["chance"] is None
    assert isinstance(result["loss"], float)
    assert (tmp_path / "run" / "report.html").exists()


def test_too_many_bad_files_stop_the_run(tiny_config, tmp_path):
    for i in range(9):
        write_video(tmp_path / "flat" / f"{i}.mp4", i)
    for i in range(4):
        (tmp_path / "flat" / f"{i}.mp4").write_bytes(b"no video")
    config = on_folder(tiny_config(steps=10), tmp_path / "flat")
    config.data.max_bad_fraction = 0.1
    with pytest.raises(UserError, match=r"cannot be read, more than .*max_bad_fraction"):
        train(config, tmp_path / "run")
