"""The train loop: what a run leaves behind, and that going on equals never having stopped."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest

from cvrl_jax import train as train_module
from cvrl_jax.checkpoint import find_checkpoint, load_variables
from cvrl_jax.downstream.embed import embed_checkpoint
from cvrl_jax.downstream.frozen import config_of
from cvrl_jax.observe import step_log
from cvrl_jax.stopped import Stopped
from cvrl_jax.train import train
from cvrl_jax.workdir import Workdir
from data_pipelines.errors import UserError


def rows(workdir: pathlib.Path) -> list[dict]:
    """The metrics without the keys that measure time."""
    return [
        {k: v for k, v in row.items() if not k.startswith("time/")}
        for row in Workdir(workdir).read_metrics()
    ]


def assert_same_run(a: pathlib.Path, b: pathlib.Path) -> None:
    assert rows(a) == rows(b)
    ours, theirs = (load_variables(find_checkpoint(path))[0] for path in (a, b))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_a_run_leaves_result_metrics_checkpoints_and_report(trained):
    assert trained.result["step"] == 4
    assert 0 <= trained.result["knn_top1"] <= 1
    assert set(trained.result) >= {"loss", "linear_top1", "untrained_knn_top1", "chance"}
    assert pathlib.Path(trained.result["report"]).stat().st_size > 1000
    assert [row["step"] for row in rows(trained.workdir)] == [0, 1, 2, 3, 4, 4]
    assert find_checkpoint(trained.workdir).name == "4"
    json.dumps(trained.result, allow_nan=False)


@pytest.fixture(scope="module")
def retrieving(tiny_config, tmp_path_factory):
    """A run of VATT with sound and text; (config, workdir, result)."""
    workdir = tmp_path_factory.mktemp("vatt") / "run"
    config = tiny_config("vatt", eval__retrieval_ways=4, eval__every=2)
    return config, workdir, train(config, workdir)


def test_a_run_that_retrieves_says_how_well_before_and_after(retrieving, trained):
    _, workdir, result = retrieving
    for name in ("text_to_video_r1", "audio_to_video_r1"):
        assert 0 <= result[name] <= 1
        assert 0 <= result[f"untrained_{name}"] <= 1
    assert result["chance_r1"] == 0.25
    assert set(trained.result) < set(result)
    json.dumps(result, allow_nan=False)
    measured = [row for row in rows(workdir) if "text_to_video_r1" in row]
    assert [row["step"] for row in measured] == [0, 2, 4]
    assert ["linear_top1" in row for row in measured] == [True, False, True]


def test_a_run_that_retrieves_embeds_all_its_modalities(retrieving, tmp_path):
    _, workdir, _ = retrieving
    summary = embed_checkpoint(config_of(workdir), workdir, tmp_path)
    table = pq.read_table(summary["test"]["file"])
    assert {"audio", "video_va", "audio_va", "video_vt", "text_vt"} <= set(table.column_names)
    norms = np.linalg.norm(np.array(table["video_vt"].to_pylist()), axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-5)
    assert {len(sentences) for sentences in table["text_vt"].to_pylist()} == {2}


@pytest.fixture
def without_report(monkeypatch):
    """For runs that end like others, or whose numbers alone are looked at."""
    monkeypatch.setattr("cvrl_jax.reports.run.write", lambda *_: None)


@pytest.mark.usefixtures("without_report")
def test_cvrl_trains_on_a_video_transformer(tiny_config, tmp_path):
    result = train(tiny_config("cvrl_vit", steps=3, eval__protocols=("knn",)), tmp_path / "run")
    assert result["step"] == 3
    losses = [row["loss"] for row in rows(tmp_path / "run") if "loss" in row]
    assert len(losses) == 3
    assert np.isfinite(losses).all()
    assert 0 <= result["knn_top1"] <= 1


@pytest.mark.usefixtures("without_report")
def test_the_last_short_batch_of_an_epoch_may_be_padded(tiny_config, tmp_path, monkeypatch):
    """12 videos in batches of 8: every second step has four, also after a stop in between."""
    config = tiny_config(data__train_videos=12, data__last_batch="pad", eval__protocols=())
    put, seen = train_module.put_batch, []

    def put_and_note(batch, mesh):
        seen.append(batch["index"])
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return put(batch, mesh)

    monkeypatch.setattr(train_module, "put_batch", put_and_note)
    with pytest.raises(Stopped, match="at step 3"):
        train(config, tmp_path / "run")
    train(config, tmp_path / "run")
    for epoch in np.concatenate(seen).reshape(2, 16):
        assert sorted(epoch) == [-1] * 4 + list(range(12))
    steps = [row for row in rows(tmp_path / "run") if "loss" in row]
    assert [row["invalid_examples"] for row in steps] == [0] * 4
    assert [row["bad_videos"] for row in steps] == [0] * 4
    assert all(np.isfinite(row["loss"]) and row["feature_std"] > 0 for row in steps)
    assert not (tmp_path / "run" / "bad_examples.jsonl").exists()


def test_a_finished_run_says_the_same_again_and_writes_no_row_twice(trained, trained_copy):
    before = rows(trained_copy)
    again = train(trained.config, trained_copy)
    assert again | {"report": ""} == trained.result | {"report": ""}
    assert rows(trained_copy) == before


@pytest.mark.usefixtures("without_report")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(trained, tmp_path, monkeypatch, number):
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    put = train_module.put_batch
    steps = iter(range(10))

    def put_and_signal(batch, mesh):
        if next(steps) == 2:
            os.kill(os.getpid(), number)
        return put(batch, mesh)

    monkeypatch.setattr(train_module, "put_batch", put_and_signal)
    with pytest.raises(Stopped, match=r"at step 3, saved in .*same command") as stopped:
        train(trained.config, tmp_path / "run")
    assert stopped.value.signal == number
    assert "\n" not in str(stopped.value)
    assert find_checkpoint(tmp_path / "run").name == "3"
    assert {s: signal.getsignal(s) for s in before} == before
    train(trained.config, tmp_path / "run")
    assert_same_run(trained.workdir, tmp_path / "run")


@pytest.mark.usefixtures("without_report")
def test_a_run_killed_before_its_first_checkpoint_starts_again_without_double_rows(
    trained, tmp_path, monkeypatch
):
    class Killed(Exception):
        pass

    def kill(*args):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(train_module, "put_batch", kill)
        with pytest.raises(Killed):  # after the evaluation of step 0
            train(trained.config, tmp_path / "run")
    assert [row["step"] for row in rows(tmp_path / "run")] == [0]
    train(trained.config, tmp_path / "run")
    assert rows(tmp_path / "run") == rows(trained.workdir)


def test_a_shorter_run_than_the_checkpoint_is_refused(trained, trained_copy, tiny_config):
    before = (trained_copy / "config.json").read_text()
    with pytest.raises(UserError, match=r"at step 4 already, beyond config\.steps = 3"):
        train(tiny_config(steps=3), trained_copy, resume=True)
    assert (trained_copy / "config.json").read_text() == before


def test_another_config_is_refused_before_anything_is_touched(trained, trained_copy, tiny_config):
    other = tiny_config(optimizer__learning_rate=0.5, seed=7)
    before = (trained_copy / "config.json").read_text()
    with pytest.raises(UserError, match=r"optimizer\.learning_rate: .* -> 0\.5; seed: 0 -> 7") as e:
        train(other, trained_copy)
    assert "--resume" in str(e.value)
    assert "--overwrite" in str(e.value)
    assert (trained_copy / "config.json").read_text() == before


def test_resuming_with_another_network_names_the_cause_and_keeps_the_checkpoints(
    trained_copy, tiny_config
):
    with pytest.raises(UserError, match="another network or optimizer"):
        train(tiny_config(head__hidden=16), trained_copy, resume=True)
    assert find_checkpoint(trained_copy).name == "4"
    assert not list(trained_copy.glob("damaged*"))


@pytest.mark.usefixtures("without_report")
def test_a_damaged_newest_checkpoint_is_passed_over_and_the_run_ends_the_same(
    trained, trained_copy, caplog
):
    for file in (trained_copy / "checkpoints" / "4" / "state").rglob("*"):
        if file.is_file():
            os.truncate(file, file.stat().st_size // 2)
    train(trained.config, trained_copy)
    assert str(trained_copy / "checkpoints" / "4") in caplog.text
    assert_same_run(trained.workdir, trained_copy)


def test_a_diverged_state_is_never_saved_even_between_rows_of_the_log(
    tiny_config, tmp_path, monkeypatch
):
    def diverged(step, metrics):
        raise UserError(f"step {step} is not finite")

    monkeypatch.setattr(step_log, "check_finite", diverged)
    with pytest.raises(UserError, match="step 2 is not finite"):
        train(tiny_config(log__every=100, eval__protocols=()), tmp_path / "run")
    assert not Workdir(tmp_path / "run").has_checkpoints()


@pytest.mark.usefixtures("without_report")
def test_init_from_takes_the_tower_refuses_another_and_is_not_needed_to_go_on(
    trained_copy, tiny_config, tmp_path
):
    config = tiny_config("supervised", init_from=str(trained_copy), steps=2, eval__protocols=())
    config.optimizer.update(learning_rate=0.0)
    first = train(config, tmp_path / "run")
    old, new = (
        load_variables(find_checkpoint(path))[0] for path in (trained_copy, tmp_path / "run")
    )
    jax.tree.map(np.testing.assert_array_equal, old["params"]["tower"], new["params"]["tower"])
    config.model.update(width=0.125)
    with pytest.raises(UserError, match=r"r3d10 \(width=0.0625\) of cvrl, has other param"):
        train(config, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    config.model.update(width=0.0625)
    shutil.rmtree(trained_copy)
    assert train(config, tmp_path / "run") == first
