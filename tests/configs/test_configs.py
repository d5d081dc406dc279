"""Every experiment can be read, and fits what it configures."""

from __future__ import annotations

import importlib
import pathlib

import pytest

from configs import cvrl_r3d50, vatt_mbs
from cvrl_jax.config import validate, validate_evaluation
from cvrl_jax.downstream.overlay import on_run
from data_pipelines.errors import UserError
from data_pipelines.spec import InputSpec

EXPERIMENTS = (
    "cvrl_r3d50", "cvrl_r3d18", "cvrl_vit_b16", "byol_r3d50", "simclr_r3d50", "supervised_r3d50",
    "videomae_b16", "vatt_bbs", "vatt_mbs", "vatt_lbs", "vatt_ma_medium", "vatt_video",
    "vatt_images",
)  # fmt: skip


@pytest.mark.parametrize("preset", ["", "tiny", "small"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_are_valid(name, preset):
    config = importlib.import_module(f"configs.{name}").get_config(preset)
    validate(config)
    assert config.name.startswith(name)


@pytest.mark.parametrize("towers", ["spectrogram", "linear_text", "tiny,spectrogram,linear_text"])
def test_vatt_takes_other_towers_by_name(towers):
    for name in ("vatt_bbs", "vatt_mbs", "vatt_lbs"):
        config = importlib.import_module(f"configs.{name}").get_config(towers)
        validate(config)
        assert (config.model.audio.name == "spt_base") == ("spectrogram" in towers)
        assert (config.model.text.name == "text_linear") == ("linear_text" in towers)


def test_the_tower_of_a_shared_transformer_can_be_fine_tuned():
    config = importlib.import_module("configs.vatt_video").get_config()
    shared = importlib.import_module("configs.vatt_ma_medium").get_config().model.video
    config.model.update(
        pre_projection=shared.pre_projection, post_projection=shared.post_projection
    )
    validate(config)


EVALUATIONS = (
    "knn", "linear", "retrieval", "attentive", "few_shot", "semi_supervised", "finetune", "cka",
)  # fmt: skip


@pytest.mark.parametrize("preset", ["", "tiny"])
@pytest.mark.parametrize("name", EVALUATIONS)
def test_evaluations_leave_model_and_data_to_the_run(name, preset):
    config = importlib.import_module(f"configs.eval.{name}").get_config(preset)
    assert config.name.partition(":")[0] == name
    assert not {"model", "head", "method"} & set(config)
    given = {field for field, value in config.data.items() if value not in (None, {})}
    assert given <= {"parts", "crop_area", "crop_aspect"}
    whole = on_run(cvrl_r3d50.get_config(), config, pathlib.Path("x"))
    validate_evaluation(whole, InputSpec(clips=2, frames=16, stride=2, size=224))


@pytest.mark.parametrize("recipe", EVALUATIONS)
@pytest.mark.parametrize("name", ["ucf101", "hmdb51", "jhmdb", "kinetics"])
def test_any_evaluation_runs_on_any_standard_dataset(name, recipe):
    config = importlib.import_module(f"configs.eval.{name}").get_config(f"{recipe}:tiny")
    assert config.data.source == name
    assert config.name == f"{name}:{recipe}:tiny"
    assert config.eval.repeat.over == (() if name == "kinetics" else (1, 2, 3))


def test_an_unknown_recipe_or_preset_of_an_evaluation_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'tiny'"):
        importlib.import_module("configs.eval.knn").get_config("tny")
    with pytest.raises(UserError, match="did you mean 'linear'"):
        importlib.import_module("configs.eval.ucf101").get_config("liner")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_unknown_preset_names_the_nearest(name):
    with pytest.raises(UserError, match="did you mean 'small'"):
        importlib.import_module(f"configs.{name}").get_config("smal")


def test_towers_are_offered_where_a_word_is_unknown():
    with pytest.raises(UserError, match=r"unknown word 'spectogram'.*did you mean 'spectrogram'"):
        vatt_mbs.get_config("tiny,spectogram")
