"""Every experiment can be read, and fits what it configures."""

from __future__ import annotations

import importlib

import pytest

from cvrl_jax.config import validate
from data_pipelines.errors import UserError

EXPERIMENTS = (
    "cvrl_r3d50", "cvrl_r3d18", "cvrl_vit_b16", "byol_r3d50", "simclr_r3d50", "supervised_r3d50",
    "videomae_b16", "vatt_bbs", "vatt_mbs", "vatt_lbs", "vatt_ma_medium", "vatt_video", "vatt_images",
)  # fmt: skip


@pytest.mark.parametrize("preset", ["", "tiny", "small"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_are_valid(name, preset):
    config = importlib.import_module(f"configs.{name}").get_config(preset)
    validate(config)
    assert config.name.startswith(name)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_unknown_preset_names_the_nearest(name):
    with pytest.raises(UserError, match="did you mean 'small'"):
        importlib.import_module(f"configs.{name}").get_config("smal")
