"""What benchmarks measure with."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "benchmarks" / "side_by_side.py"


@pytest.fixture(scope="module")
def side_by_side():
    spec = importlib.util.spec_from_file_location("side_by_side", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_steps_take_turns_and_the_first_round_is_not_counted(side_by_side) -> None:
    calls = []
    taken = side_by_side.seconds([lambda: calls.append("a"), lambda: calls.append("b")], 2)
    assert "".join(calls) == "ababab"
    assert taken.shape == (2, 2)
    assert (taken >= 0).all()


def test_ratio_is_the_median_of_rounds(side_by_side) -> None:
    assert side_by_side.ratio(np.array([1.0, 6.0, 2.0]), np.array([2.0, 1.0, 2.0])) == 1.0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_is_what_a_step_held_though_it_is_free_again(side_by_side) -> None:
    before = side_by_side.resident()
    peak = side_by_side.peak_bytes(lambda: np.ones(64 << 20, np.uint8).sum(), before)
    assert 60 << 20 < peak < 90 << 20


def test_without_an_accelerator_none_is_measured(tmp_path) -> None:
    script, target = SCRIPT.with_name("accelerator.py"), tmp_path / "figures.json"
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(script), f"--json={target}"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.startswith("JAX finds no GPU or TPU here: nothing is measured")
    assert not target.exists()
