"""What is done with a checkpoint, on real files: one of the videos cannot be read."""

from __future__ import annotations

import os

import pyarrow.parquet as pq
import pytest

from cvrl_jax.downstream.embed import embed_checkpoint
from cvrl_jax.downstream.frozen import config_of, open_checkpoint
from cvrl_jax.train import train
from cvrl_jax.workdir import Workdir
from data_pipelines.bad_examples import read_bad_examples
from data_pipelines.errors import UserError


def on_folder(config, root, workers=0):
    config.data.update(source="folder", root=str(root), train_videos=0, test_videos=0)
    config.data.update(max_bad_fraction=0.5, workers=workers)
    return config


def test_embed_on_other_data_leaves_out_what_cannot_be_read(trained, tiny_config, folder, tmp_path):
    config = on_folder(tiny_config(), folder)
    summary = embed_checkpoint(config, trained.workdir, tmp_path)
    rows = sum(summary[split]["rows"] for split in ("train", "test"))
    assert rows == 13
    left_out = [entry for split in ("train", "test") for entry in summary[split]["left_out"]]
    assert [entry["path"].endswith("dogs/0.mp4") for entry in left_out] == [True]
    table = [pq.read_table(summary[split]["file"]) for split in ("train", "test")]
    assert sum(len(t) for t in table) == rows


def test_embed_of_the_checkpoints_own_config(trained, tmp_path):
    summary = embed_checkpoint(None, trained.workdir, tmp_path)
    assert (summary["train"]["rows"], summary["test"]["rows"]) == (16, 8)


def test_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match="no checkpoint in"):
        config_of(tmp_path)
    with pytest.raises(UserError, match="no checkpoint in"):
        open_checkpoint(None, tmp_path)


def test_a_partial_checkpoint_is_named_with_the_others(trained_copy):
    for file in (trained_copy / "checkpoints" / "4" / "state").rglob("*"):
        if file.is_file():
            os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(UserError, match=r"checkpoints/4 cannot be read .* there are \[2, 4\]") as e:
        open_checkpoint(None, trained_copy)
    assert "\n" not in str(e.value)


def test_a_run_with_a_bad_file_ends_and_lists_it(tiny_config, folder, tmp_path):
    config = on_folder(tiny_config(eval__protocols=("knn",)), folder, workers=2)
    result = train(config, tmp_path / "run")
    assert result["step"] == 4
    assert result["knn_top1"] is not None
    row = Workdir(tmp_path / "run").read_metrics()[0]
    assert (row["step"], row["eval_left_out"]) == (0, 1)
    # Training lists it where it is among the training videos, and it is for this seed.
    listed = read_bad_examples(tmp_path / "run" / "bad_examples.jsonl")
    assert [entry["path"].endswith("dogs/0.mp4") for entry in listed] == [True]


def test_unlabelled_videos_train_without_evaluation(tiny_config, write_video, tmp_path, caplog):
    for i in range(9):
        write_video(tmp_path / "flat" / f"{i}.mp4", i)
    with caplog.at_level("INFO"):
        result = train(on_folder(tiny_config(), tmp_path / "flat"), tmp_path / "run")
    assert "evaluations that need labels are off" in caplog.text
    assert result["knn_top1"] is result["linear_top1"] is result["chance"] is None
    assert isinstance(result["loss"], float)
    assert (tmp_path / "run" / "report.html").exists()


def test_too_many_bad_files_stop_the_run(tiny_config, write_video, tmp_path):
    for i in range(9):
        write_video(tmp_path / "flat" / f"{i}.mp4", i)
    for i in range(4):
        (tmp_path / "flat" / f"{i}.mp4").write_bytes(b"no video")
    config = on_folder(tiny_config(steps=10), tmp_path / "flat")
    config.data.max_bad_fraction = 0.1
    with pytest.raises(UserError, match=r"cannot be read, more than .*max_bad_fraction"):
        train(config, tmp_path / "run")
