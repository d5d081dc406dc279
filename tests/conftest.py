"""Shared set-up: eight fake CPU devices, deterministic property tests, a tiny run, real videos."""

from __future__ import annotations

import atexit
import dataclasses
import gc
import importlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests compile longer than they compute; without any optimisation computing takes over. The newer
# emitters take twice as long as the others, which versions from 0.11 on no longer have.
if "XLA_FLAGS" not in os.environ:
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=1"
    if version("jaxlib").startswith("0.10."):
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"

# Many tests train the same tiny network: compile it once, for all processes of a session. The
# first of them makes the folder and is the last to end.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="cvrl_jax_compiled_")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import jax
import pytest
from absl import flags
from hypothesis import settings
from ml_collections import ConfigDict

# Tracing makes many objects and little garbage: looking for it so often took a tenth of the time.
gc.set_threshold(50_000, 20, 20)
jax.config.update("jax_num_cpu_devices", 8)
# On fewer cores than devices, two computations in flight could each wait for the other's threads.
jax.config.update("jax_cpu_enable_async_dispatch", False)
settings.register_profile("default", max_examples=25, deadline=None, derandomize=True)
settings.load_profile("default")
flags.FLAGS.mark_as_parsed()  # grain reads absl flags; under pytest nobody parses them

REPO = pathlib.Path(__file__).resolve().parents[1]


# The files that take longest come first, so that processes side by side end at about the same time.
LONGEST = (
    "tests/test_notebooks.py",
    "tests/test_main.py",
    "tests/test_processes.py",
    "tests/cvrl_jax/test_train.py",
    "tests/cvrl_jax/methods/test_methods.py",
    "tests/cvrl_jax/parallel/test_same_numbers.py",
    "tests/cvrl_jax/downstream/test_frozen.py",
    "tests/cvrl_jax/methods/test_vatt.py",
    "tests/cvrl_jax/downstream/test_evaluation_docs.py",
    "tests/cvrl_jax/downstream/test_finetune.py",
    "tests/cvrl_jax/export/test_write.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of LONGEST, in its order, before all others."""
    rank = {REPO / file: number for number, file in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """All tests of a file in one process, files in their order: what they share is made once."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled():
    """What one file compiles is of no use to the next, and there are gigabytes of it."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """The folder of real videos (`CVRL_JAX_REAL_DATA`, or `../shared/data`), or a skip."""
    folder = pathlib.Path(os.environ.get("CVRL_JAX_REAL_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real videos at {folder}")
    return folder


def tiny_config(method: str = "cvrl", **changes: object) -> ConfigDict:
    """A run of seconds; `changes` are dotted fields with `__` for the dot."""
    name = {"vatt": "vatt_mbs", "cvrl_vit": "cvrl_vit_b16"}.get(method, f"{method}_r3d50")
    module = importlib.import_module(f"configs.{name}")
    config = module.get_config("tiny")
    config.update(batch_size=8, steps=4)
    config.data.update(frames=4, stride=2.0, size=16, train_videos=16, test_videos=8)
    if method == "vatt":
        _shrink_vatt(config)
    else:
        config.head.update(hidden=8, layers=1, out=8)
        if method == "cvrl_vit":
            config.model.update(**SMALL_STACK, grid=(2, 2, 2), drop_token=0.5)
        else:
            config.model.update(width=0.0625)
    config.optimizer.update(warmup_steps=1)
    config.eval.update(every=0, clips=1, train_clips=1, batch_size=8, knn_k=3)
    config.eval.linear.update(epochs=1, batch_size=8)
    config.checkpoint.update(every=2)
    config.log.update(every=1, tensorboard=False)
    if method == "byol":
        config.method.update(predictor_hidden=8)
    for name, value in changes.items():
        *sections, field = name.split("__")
        section = config
        for part in sections:
            section = section[part]
        section.update({field: value})
    return config


SMALL_STACK = {"layers": 1, "width": 8, "mlp": 16, "heads": 2, "head_size": 4}


def _shrink_vatt(config: ConfigDict) -> None:
    for modality in ("video", "audio", "text"):
        config.model[modality].update(**SMALL_STACK)
    config.model.video.update(grid=(2, 2, 2), drop_token=0.5)
    config.model.audio.update(patch=32, grid=(8,), drop_token=0.5)
    config.data.audio.samples = 256
    config.data.text.update(sentences=2, tokens=4)
    config.head.update(va=8, vt=8)


@pytest.fixture(name="tiny_config", scope="session")
def _tiny_config() -> Callable[..., ConfigDict]:
    return tiny_config


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished training run."""

    config: ConfigDict
    workdir: pathlib.Path
    result: dict[str, Any]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An unbroken tiny run of CVRL; read-only, copy its workdir to change anything."""
    from cvrl_jax.train import train

    workdir = tmp_path_factory.mktemp("trained") / "run"
    config = tiny_config()
    return Run(config, workdir, train(config, workdir))


@pytest.fixture
def trained_copy(trained: Run, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the workdir of `trained`."""
    return pathlib.Path(shutil.copytree(trained.workdir, tmp_path / "copy"))
