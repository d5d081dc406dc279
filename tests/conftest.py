"""Shared set-up: eight fake CPU devices, deterministic property tests, and where real videos are."""

from __future__ import annotations

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from absl import flags
from hypothesis import settings

jax.config.update("jax_num_cpu_devices", 8)
settings.register_profile("default", max_examples=25, deadline=None, derandomize=True)
settings.load_profile("default")
flags.FLAGS.mark_as_parsed()  # grain reads absl flags; under pytest nobody parses them

REPO = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """The folder of real videos (`CVRL_JAX_REAL_DATA`, or `../shared/data`), or a skip."""
    folder = pathlib.Path(os.environ.get("CVRL_JAX_REAL_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real videos at {folder}")
    return folder
