"""A tiny step compiled for devices that are here and for some that are not."""

from __future__ import annotations

import importlib
import importlib.util
import json

import jax
import pytest

from cvrl_jax.plan.chips import parse_topology
from cvrl_jax.plan.compiled import Figures
from cvrl_jax.plan.devices import prepare_environment
from cvrl_jax.plan.page import summary
from cvrl_jax.plan.plan import plan
from data_pipelines.errors import UserError


def planned(config, topology, tmp_path):
    target = tmp_path / "plan.json"
    result = plan(config, parse_topology(topology), target)
    assert json.loads(target.read_text(encoding="utf-8")) == result
    page = (tmp_path / "plan.html").read_text(encoding="utf-8")
    assert topology in page
    assert "memory per chip" in page
    assert result["fits"]
    assert result["bytes_per_chip"] == sum(result["bytes_by_kind"].values())
    assert 0.9 < result["flops_per_chip"] / result["model_flops_per_chip"] < 4
    assert result["collectives"]["all-reduce"]["bytes"] > 0
    assert f"fits: {'yes'}" in summary(result)
    return result


@pytest.fixture
def config(tiny_config):
    return tiny_config("cvrl_vit", augment__recipe="none").lock()  # as the command line has it


def test_for_cpus(config, tmp_path):
    result = planned(config, "cpu:8", tmp_path)
    assert result["mesh"] == {"replica": 1, "data": 8, "model": 1}
    assert result["hbm_bytes"] is None
    assert result["roofline"] is None
    assert result["tried"] == []


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="pip install -e '.[plan]'")
def test_for_tpus_that_are_not_here(config, tmp_path, monkeypatch):
    import os

    monkeypatch.delenv("XLA_FLAGS", raising=False)  # libtpu refuses those that it does not know
    with monkeypatch.context() as environment:
        environment.setattr(os, "environ", os.environ.copy())
        prepare_environment(parse_topology("v5e:2x2"))
        assert os.environ["JAX_ENABLE_COMPILATION_CACHE"] == "false"  # it could not be read again
    result = planned(config, "v5e:2x2", tmp_path)
    assert result["devices"] == 4
    assert result["bytes_per_chip"] < result["hbm_bytes"] == 16 << 30
    bound = result["roofline"]
    assert bound["seconds"] == max(bound["arithmetic"], bound["memory"], bound["links"])


def test_devices_that_are_not_here_are_refused(config, tmp_path):
    with pytest.raises(UserError, match="there are 8 devices here; write cpu:8"):
        plan(config, parse_topology("cpu:9"), tmp_path / "plan.json")
    with pytest.raises(UserError, match="JAX finds no gpu here"):
        plan(config, parse_topology("gpu"), tmp_path / "plan.json")


def test_a_change_that_brings_nothing_is_taken_back(tiny_config, tmp_path, monkeypatch):
    module = importlib.import_module("cvrl_jax.plan.plan")

    def compile_step(config, devices, memory):
        """Memory goes by the batch and its type alone."""
        used = config.batch_size * (2 if config.model.dtype == "bfloat16" else 4) << 30
        state = {"parameters": 0, "statistics": 0, "optimizer": 0}
        return Figures(used <= memory, state | {"temporaries": used})

    monkeypatch.setattr(module, "compile_step", compile_step)
    monkeypatch.setattr(module, "devices_of", lambda topology: jax.devices()[:4])
    config = tiny_config("cvrl", batch_size=16).lock()
    result = plan(config, parse_topology("v5e:2x2"), tmp_path / "plan.json")
    bf16, remat, chunks, batch = result["tried"]
    assert bf16["changes"] == ["config.model.dtype = bfloat16"]
    assert remat["changes"] == [*bf16["changes"], "config.model.remat = block"]
    assert chunks["changes"] == [*bf16["changes"], "config.parallel.chunks = 2"]
    assert batch["changes"] == [*bf16["changes"], "config.batch_size = 8"]
    assert [t["fits"] for t in result["tried"]] == [False, False, False, True]
    # Half the examples, and a quarter of the comparisons between them.
    assert 0.25 < batch["model_flops_per_chip"] / result["model_flops_per_chip"] < 0.5
