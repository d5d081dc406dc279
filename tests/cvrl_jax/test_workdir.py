from __future__ import annotations

import pytest

from cvrl_jax.workdir import Workdir
from data_pipelines.errors import UserError


def test_a_new_folder_and_the_same_config_again(tiny_config, tmp_path):
    folder = Workdir(tmp_path / "a" / "run")
    folder.prepare(tiny_config(), resume=False, overwrite=False)
    folder.prepare(tiny_config(data__workers=2, log__every=7), resume=False, overwrite=False)
    assert folder.read_config()["log"]["every"] == 7
    assert not folder.has_checkpoints()


def test_another_config_only_with_resume(tiny_config, tmp_path):
    folder = Workdir(tmp_path)
    folder.prepare(tiny_config(), resume=False, overwrite=False)
    folder.metrics.write_text('{"step": 0}\n')
    with pytest.raises(UserError, match=r"seed: 0 -> 1.*--resume.*--overwrite"):
        folder.prepare(tiny_config(seed=1), resume=False, overwrite=False)
    folder.prepare(tiny_config(seed=1), resume=True, overwrite=False)
    assert folder.read_config()["seed"] == 1


def test_a_run_that_failed_before_it_measured_anything_may_be_corrected(tiny_config, tmp_path):
    folder = Workdir(tmp_path)
    folder.prepare(tiny_config(), resume=False, overwrite=False)
    folder.checkpoints.mkdir()
    folder.prepare(tiny_config(seed=1), resume=False, overwrite=False)
    assert folder.read_config()["seed"] == 1


def test_overwrite_deletes_the_run_and_nothing_else(tiny_config, tmp_path):
    folder = Workdir(tmp_path)
    folder.prepare(tiny_config(), resume=False, overwrite=False)
    folder.metrics.write_text('{"step": 0}\n')
    (folder.checkpoints / "3").mkdir(parents=True)
    (tmp_path / "thesis.tex").write_text("mine")
    assert folder.has_checkpoints()
    folder.prepare(tiny_config(seed=1), resume=False, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "thesis.tex"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_folder_is_refused(tiny_config, tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="not empty and holds no run"):
        Workdir(tmp_path).prepare(tiny_config(), resume=False, overwrite=overwrite)
    with pytest.raises(UserError, match="is a file"):
        Workdir(tmp_path / "thesis.tex").prepare(tiny_config(), resume=False, overwrite=overwrite)


def test_a_damaged_config_says_what_to_do(tiny_config, tmp_path):
    (tmp_path / "config.json").write_text('{"seed"')
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n')
    with pytest.raises(UserError, match=r"not valid JSON .*--overwrite"):
        Workdir(tmp_path).prepare(tiny_config(), resume=False, overwrite=False)
