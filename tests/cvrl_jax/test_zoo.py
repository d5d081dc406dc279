"""Published weights: fetched once, and only what was published."""

import hashlib
import importlib
import pathlib

import pytest

from cvrl_jax.models import MODELS
from cvrl_jax.zoo import ZOO, Weights, fetch
from data_pipelines.errors import UserError

REPO = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ZOO)
def test_every_entry_names_a_tower_and_its_recipe(name):
    weights = ZOO[name]
    assert weights.builder in MODELS
    config = importlib.import_module(weights.config.removesuffix(".py").replace("/", "."))
    assert config.get_config().model.name == weights.builder
    assert bool(weights.url) == bool(weights.sha256)


def test_a_file_is_fetched_once_and_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("CVRL_JAX_CACHE", str(tmp_path / "cache"))
    published = tmp_path / "published"
    published.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    zoo = {"x": Weights("r3d10", "", published.as_uri(), digest)}
    assert fetch("x", zoo).read_bytes() == b"weights"
    published.unlink()
    assert fetch("x", zoo).read_bytes() == b"weights"
    zoo = {"x": Weights("r3d10", "", published.as_uri(), "0" * 64)}
    with pytest.raises(UserError, match="cannot be downloaded"):
        fetch("x", zoo)
    published.write_bytes(b"other")
    with pytest.raises(UserError, match=r"has the sha256 .*, not 0000"):
        fetch("x", zoo)
    assert len(list((tmp_path / "cache").iterdir())) == 1
