"""A finished run judged: on its own data and on files, with what goes wrong on the way."""

from __future__ import annotations

import csv
import importlib
import json
import pathlib

import numpy as np
import pytest

from cvrl_jax.downstream.evaluate import evaluate_checkpoint
from cvrl_jax.downstream.results_table import COLUMNS, read_rows
from data_pipelines.errors import UserError


def config_of(name, **data):
    file, _, preset = name.partition(":")
    config = importlib.import_module(f"configs.eval.{file}").get_config(preset)
    config.data.update(**data)
    return config


def on_files(name, root, **data):
    return config_of(name, source="folder", root=str(root), workers=0, **data)


@pytest.fixture(scope="module")
def own(trained, tmp_path_factory):
    """Three protocols at once, on the data of the run itself."""
    config = config_of("few_shot:tiny")
    config.eval.update(protocols=("knn", "linear", "clip_retrieval"), clips=1, train_clips=1)
    config.eval.update(knn_k=3, batch_size=8)
    config.eval.linear.update(epochs=1, batch_size=8)
    workdir = tmp_path_factory.mktemp("own") / "out"
    return evaluate_checkpoint(config, trained.workdir, workdir, "python main.py"), workdir


def test_model_and_data_come_from_the_run_and_repeat_its_numbers(own, trained):
    summary, _ = own
    assert summary["step"] == 4
    for name in ("knn_top1", "linear_top1", "chance"):
        assert summary[name] == pytest.approx(trained.result[name], abs=1e-6)
    assert summary["census"] == {
        "source": "moving_shapes", "train_videos": 16, "test_videos": 8, "classes": 16,
        "listed_without_file": 0,
    }  # fmt: skip
    assert {f"clip_retrieval_r{k}" for k in (1, 5, 10, 20, 50)} < set(summary)


def test_the_result_is_a_json_file_a_report_and_a_row_for_each_protocol(own):
    summary, workdir = own
    written = json.loads(pathlib.Path(summary["written"]).read_text())
    assert written == {k: v for k, v in summary.items() if k != "written"}
    page = pathlib.Path(summary["report"]).read_text()
    for part in ('id="confusion"', 'id="classes"', "Calibration", "Hardest confusions"):
        assert part in page
    assert 'id="curves"' not in page
    rows = read_rows(workdir / "results.csv")
    assert [row["protocol"] for row in rows] == ["knn", "linear", "clip_retrieval"]
    assert tuple(rows[0]) == COLUMNS
    assert float(rows[1]["value"]) == pytest.approx(summary["linear_top1"])
    assert json.loads(rows[1]["metrics"])["linear_top5"] == summary["linear_top5"]
    assert "jax" in json.loads(rows[0]["versions"])
    assert {row["checkpoint"] for row in rows} == {summary["checkpoint"]}


def test_without_a_config_the_run_says_what_is_done(trained, tmp_path):
    summary = evaluate_checkpoint(None, trained.workdir, tmp_path)
    assert summary["protocols"] == ["knn", "linear"]
    assert summary["knn_top1"] == pytest.approx(trained.result["knn_top1"], abs=1e-6)
    evaluate_checkpoint(None, trained.workdir, tmp_path)  # rows are appended, files replaced
    assert len(read_rows(tmp_path / "results.csv")) == 4
    assert len(list(tmp_path.glob("eval_*.json"))) == 1


def test_an_unreadable_video_is_reported_and_never_replaced(trained, folder, tmp_path):
    config = on_files("knn:tiny", folder)
    summary = evaluate_checkpoint(config, trained.workdir, tmp_path)
    (entry,) = summary["left_out"]
    assert entry["path"].endswith("dogs/0.mp4")
    assert summary["eval_left_out"] == 1
    assert summary["census"]["train_videos"] + summary["census"]["test_videos"] == 14
    assert entry["path"] in pathlib.Path(summary["report"]).read_text()
    assert read_rows(tmp_path / "results.csv")[0]["left_out"] == "1"


def test_three_official_splits_are_averaged(trained, folder, tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 cats\n2 dogs\n")
    for split in (1, 2, 3):
        names = {True: [], False: []}
        for label, kind in ((1, "cats"), (2, "dogs")):
            for i in range(7):
                names[i % 3 == split - 1].append((f"{kind}/{i}.mp4", label))
        train = "".join(f"{path} {label}\n" for path, label in names[False])
        (lists / f"trainlist0{split}.txt").write_text(train)
        (lists / f"testlist0{split}.txt").write_text("".join(f"{p}\n" for p, _ in names[True]))
    config = config_of("ucf101:knn:tiny", root=str(folder), lists=str(lists), workers=0)
    summary = evaluate_checkpoint(config, trained.workdir, tmp_path / "out")
    each = [summary["repeated"][split]["knn_top1"] for split in ("1", "2", "3")]
    assert summary["knn_top1"] == pytest.approx(np.mean(each))
    assert summary["knn_top1_std"] == pytest.approx(np.std(each, ddof=1))
    assert [entry["path"].endswith("dogs/0.mp4") for entry in summary["left_out"]] == [True]
    (row,) = read_rows(tmp_path / "out" / "results.csv")
    assert float(row["value"]) == pytest.approx(summary["knn_top1"])


def says(config, checkpoint, workdir, match):
    with pytest.raises(UserError, match=match) as error:
        evaluate_checkpoint(config, checkpoint, workdir)
    assert "\n" not in str(error.value)
    assert not list(workdir.glob("eval_*")), "nothing half-written is left"


def test_zero_readable_videos(trained, tmp_path):
    for i in range(4):
        (tmp_path / "bad" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "bad" / "ab"[i % 2] / f"{i}.mp4").write_bytes(b"no video")
    config = on_files("knn:tiny", tmp_path / "bad", eval_fraction=0.5)
    says(config, trained.workdir, tmp_path / "out", "no labelled video of bad can be read")


def test_labels_that_do_not_fit_the_videos(trained, folder, tmp_path):
    table = tmp_path / "list.csv"

    def listed(rows):
        with table.open("w", newline="") as file:
            csv.writer(file).writerows([("path", "label", "split"), *rows])
        return config_of("knn:tiny", source="csv", manifest=str(table), root=str(folder), workers=0)

    rows = [(f"cats/{i}.mp4", "cat", "train") for i in range(3)]
    absent = [(f"gone/{i}.mp4", "cat", "test") for i in range(3)]
    config = listed(rows + absent)
    says(config, trained.workdir, tmp_path, "3 of 3 listed videos do not exist")
    config = listed([*rows, ("dogs/1.mp4", "dog", "test"), ("cats/4.mp4", "cat", "test")])
    says(config, trained.workdir, tmp_path, r"no training video of 1 of .* \(dog\)")
    config = listed([(path, "", split) for path, _, split in rows])
    says(config, trained.workdir, tmp_path, "have no labels")


def test_fewer_videos_than_shots(trained, tmp_path):
    config = config_of("few_shot:tiny")
    says(config, trained.workdir, tmp_path, "shots has 5, but class '.*' has 1 readable")


def test_another_network_than_the_checkpoints_is_named_with_it(trained, tiny_config, tmp_path):
    for config in (tiny_config("byol"), tiny_config(model__name="r3d18")):
        match = "method '.*' with tower r3d.* is method 'cvrl' with tower r3d10"
        says(config, trained.workdir, tmp_path, match)


def test_what_a_network_does_not_know_or_a_section_that_is_missing(trained, tmp_path):
    config = config_of("knn:tiny")
    config.eval.protocols = ("cross_modal_retrieval",)
    says(config, trained.workdir, tmp_path, "method 'cvrl' knows no sound and no text")
    config.eval.protocols = ("finetune",)
    says(config, trained.workdir, tmp_path, r"use --config=configs/eval/finetune\.py")
    config.eval.protocols = ("knn",)
    config.eval.repeat.update(field="data.list_splt", over=(1, 2))
    says(config, trained.workdir, tmp_path, "'data.list_splt' is no field")
