"""Parameter counts of whole experiments: those of VATT's paper, and nothing allocated."""

from __future__ import annotations

import importlib

import pytest

from cvrl_jax.describe import describe
from data_pipelines.errors import UserError


@pytest.mark.parametrize(
    ("name", "paper"),
    [("vatt_bbs", 197), ("vatt_mbs", 264), ("vatt_lbs", 415), ("vatt_ma_medium", 155)],
)
def test_vatts_combinations_count_as_published(name, paper):
    """Within 6 %: published counts are rounded, and leave out words and the projections of MA."""
    said = describe(importlib.import_module(f"configs.{name}").get_config())
    parts = said["parameters"]
    towers = {"video_tower", "audio_tower", "text_tower", "heads", "total"}
    assert set(parts) == towers | ({"encoder"} if name == "vatt_ma_medium" else set())
    assert (parts["total"] - said["word_tables"]) / 1e6 == pytest.approx(paper, rel=0.06)
    assert said["word_tables"] == 65_536 * (300 if name == "vatt_ma_medium" else 512)
    assert said["statistics"] > 0
    # Parameters, Adam's two memories of them, and little else; half of it split in VATT's largest.
    assert said["state_bytes"] == pytest.approx(12 * parts["total"], rel=0.01)
    share = said["state_bytes_per_device"] / said["state_bytes"]
    assert share == (pytest.approx(1 / 8, rel=0.05) if name == "vatt_lbs" else 1.0)


def test_a_teacher_is_counted_apart(tiny_config):
    said = describe(tiny_config("byol"))
    assert said["statistics"] > said["parameters"]["tower"]
    assert said["word_tables"] == 0


def test_a_wrong_config_is_refused(tiny_config):
    with pytest.raises(UserError, match="did you mean"):
        describe(tiny_config(model__name="r3d51"))
