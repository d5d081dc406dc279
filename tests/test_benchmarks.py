"""Benchmarks beside PyTorch run, on sizes too small to say anything."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parents[1]

pytest.importorskip("torch")


def figures(folder: pathlib.Path, script: str, *flags: str) -> dict:
    target = folder / "figures.json"
    subprocess.run(
        [sys.executable, f"benchmarks/{script}.py", f"--json={target}", "--rounds=1", *flags],
        cwd=REPO,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        check=True,
        capture_output=True,
    )
    return json.loads(target.read_text())


def test_losses(tmp_path: pathlib.Path) -> None:
    found = figures(tmp_path, "losses", "--smallest=64", "--largest=64", "--topology=")
    ours = found["sweep"]["64x128"]["info_nce, ring"]
    assert ours["ms"] > 0
    assert found["ring_line"]["off_by"] < 0.05


def test_step(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("pytorchvideo")
    found = figures(tmp_path, "step", "--only=r3d18", "--batch=1", "--frames=4", "--size=32")
    assert found["r3d18_vs_torch"] > 0
    assert {side["weights"] for side in (found["r3d18"]["ours"], found["r3d18"]["contiguous"])} == {
        33_371_472 - 205_200
    }
