"""Fine-tuning, with all and with few labels, of a tiny run."""

from __future__ import annotations

import pathlib

import jax
import numpy as np
import pytest

from configs.eval import finetune as finetune_config_file
from configs.eval import semi_supervised
from cvrl_jax.checkpoint import find_checkpoint, load_variables
from cvrl_jax.downstream.evaluate import evaluate_checkpoint
from cvrl_jax.downstream.finetune import finetune_config
from cvrl_jax.downstream.frozen import open_checkpoint
from cvrl_jax.workdir import Workdir
from data_pipelines.errors import UserError


@pytest.fixture(scope="module")
def tuned(trained, tmp_path_factory):
    config = finetune_config_file.get_config("tiny")
    config.eval.finetune.update(epochs=1, batch_size=8, mixup=0.8, cutmix=1.0, dropout=0.5)
    config.eval.update(batch_size=8)
    workdir = tmp_path_factory.mktemp("tuned")
    return evaluate_checkpoint(config, trained.workdir, workdir), workdir, config


def test_a_run_of_its_own_starts_from_the_checkpoint_and_is_tested_on_all_views(tuned, trained):
    summary, workdir, _ = tuned
    folder = Workdir(workdir / "finetune")
    saved = folder.read_config()
    assert saved["init_from"] == str(find_checkpoint(trained.workdir))
    assert saved["method"]["name"] == "supervised"
    assert (saved["steps"], saved["batch_size"], saved["eval"]["clips"]) == (2, 8, 2)
    assert saved["optimizer"]["layer_decay"] == 0.9
    last = folder.read_metrics()[-1]
    for metric in ("top1", "top5", "ece"):
        assert summary[f"finetune_{metric}"] == last[f"classifier_{metric}"]
    assert pathlib.Path(summary["finetune_report"]).exists()
    page = pathlib.Path(summary["finetune_report"]).read_text()
    assert 'id="classes"' in page
    mine = load_variables(find_checkpoint(folder.path))[0]["params"]["tower"]
    theirs = load_variables(find_checkpoint(trained.workdir))[0]["params"]["tower"]
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), mine, theirs)
    assert 0 < max(jax.tree.leaves(moved)) < 0.1


def test_asked_again_it_is_finished_and_another_recipe_is_refused(tuned, trained):
    summary, workdir, config = tuned
    again = evaluate_checkpoint(config, trained.workdir, workdir)
    assert again["finetune_top1"] == summary["finetune_top1"]
    other = config.copy_and_resolve_references()
    other.eval.finetune.dropout = 0.25
    with pytest.raises(UserError, match=r"holds a run of another config \(method\.dropout"):
        evaluate_checkpoint(other, trained.workdir, workdir)


def test_few_labels_are_listed_and_the_same_for_probe_and_fine_tuning(trained, tmp_path):
    config = semi_supervised.get_config("tiny")
    config.eval.finetune.update(epochs=1, batch_size=8)
    config.eval.update(batch_size=8, clips=1, train_clips=1)
    config.eval.semi_supervised.shares = (0.5,)
    summary = evaluate_checkpoint(config, trained.workdir, tmp_path)
    assert summary["protocols"] == ["semi_supervised", "semi_supervised_finetune"]
    ids = pathlib.Path(summary["labelled_50pct"]).read_text().split()
    assert len(ids) == summary["semi_supervised_50pct_videos"] == 16  # one of each class at least
    for name in ("top1", "top5", "finetune_top1", "finetune_top5"):
        assert 0 <= summary[f"semi_supervised_50pct_{name}"] <= 1


def test_the_recipe_fits_the_videos_there_are(trained):
    opened = open_checkpoint(finetune_config_file.get_config(), trained.workdir)
    config = finetune_config(opened.config, opened.path, videos=1000)
    assert (config.batch_size, config.steps, config.optimizer.warmup_steps) == (128, 700, 35)
    assert config.optimizer.learning_rate == pytest.approx(1e-3 * 128 / 256)
    assert config.eval.protocols == ()
    few = finetune_config(opened.config, opened.path, videos=20)  # on eight devices
    assert few.batch_size == 16
    with pytest.raises(UserError, match="7 videos cannot be fine-tuned on by 8 devices"):
        finetune_config(opened.config, opened.path, videos=7)
