"""Runs VATT's rows of docs/results.md on talking videos and prints their table.

Command:
  python benchmarks/results_vatt.py --manifest=AUDIO_VISUAL/meta.csv --steps=600 --out=runs/vatt

The videos are of the GRID corpus: one speaker, a sentence each, its own for every video; the list
has columns path, text and split. They are prepared once, 64 pixels high. Every row is a plain run
of main.py with a preset :tiny; the flags that make it that row stand below. A run that is there is
not repeated. Train steps are timed at the end on one batch, in turns, so that other load disturbs
all alike; memory is what the compiled step keeps beside state and batch.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

import jax
import numpy as np
import runs

from cvrl_jax.config import from_plain
from cvrl_jax.downstream.overlay import complete
from cvrl_jax.evaluation.suite import sources_of
from cvrl_jax.methods import create_method
from cvrl_jax.optim import create_optimizer
from cvrl_jax.parallel.mesh import make_mesh, put_batch
from cvrl_jax.state import create_state, make_train_step
from cvrl_jax.workdir import Workdir
from data_pipelines.pipeline import TrainBatches

ROWS = {
    "own towers, DropToken 0 %": ("vatt_mbs", 0.0),
    "own towers, DropToken 50 %": ("vatt_mbs", 0.5),
    "own towers, DropToken 75 %": ("vatt_mbs", 0.75),
    "one shared tower, DropToken 50 %": ("vatt_ma_medium", 0.5),
}
# Of 3 s at 25 frames a second: 32 frames, every second one, and their 2.56 s of sound at 8 kHz.
DATA = (
    "--config.data.source=records",
    *("--config.data.frames=32", "--config.data.stride=2", "--config.data.size=48"),
    *("--config.data.crop_area=(0.5,1.0)", "--config.data.text.sentences=1"),
    *("--config.data.audio.rate=8000", "--config.data.audio.samples=20480"),
    *("--config.data.train_videos=0", "--config.data.test_videos=0"),
    *("--config.model.video.patch=(4,8,8)", "--config.model.video.grid=(8,6,6)"),
    *("--config.model.audio.patch=128", "--config.model.audio.grid=(160,)"),
)
COLUMNS = {
    "text_to_video_r1": "text→video R@1",
    "text_to_video_r5": "R@5",
    "audio_to_video_r1": "audio→video R@1",
    "audio_to_video_r5": "R@5 ",
    "step_ms": "ms a step",
    "relative": "relative",
    "memory_mb": "MB",
}


def folder(row: str) -> str:
    """The name of a row's workdir, without its seed."""
    return row.replace(" ", "_").replace(",", "").replace("%", "")


def run(workdir: pathlib.Path, config: str, drop: float, flags: list[str]) -> dict[str, dict]:
    """Trains one row unless it is there; returns its metrics before and after training."""
    towers = (
        f"--config.model.video.drop_token={drop}",
        f"--config.model.audio.drop_token={drop}",
    )
    return runs.train(workdir, f"{config}.py:tiny", [*DATA, *flags, *towers])


def train_step(workdir: pathlib.Path) -> tuple[Callable[[], None], float]:
    """The train step of a run on one batch of its own, and the MB that it needs for itself."""
    config = complete(from_plain(Workdir(workdir).read_config()))
    method, mesh = create_method(config, classes=2), make_mesh(config.parallel.mesh)
    optimizer, schedule = create_optimizer(config.optimizer, config.steps, config.batch_size)
    batches = TrainBatches(
        sources_of(config).train, method.inputs, batch_size=config.batch_size, seed=0
    )
    batch = put_batch({k: v for k, v in next(batches).items() if k != "error"}, mesh)
    batches.close()
    state = create_state(method, optimizer, config.seed, mesh)
    step = make_train_step(method, optimizer, schedule, config.seed, mesh, steps=config.steps)
    memory = step.trace(state, batch).lower().compile().memory_analysis()

    def run() -> None:
        nonlocal state
        state, _ = jax.block_until_ready(step(state, batch))

    return run, memory.temp_size_in_bytes / 2**20


def step_costs(workdirs: list[pathlib.Path], rounds: int = 9) -> list[dict[str, float]]:
    """Median milliseconds, those relative to the first run's, and MB of each run's train step."""
    steps = [train_step(workdir) for workdir in workdirs]
    taken = np.empty((rounds, len(steps)))
    for row in (taken[0], *taken):  # once more than counted
        for place, (step, _) in enumerate(steps):
            began = time.perf_counter()
            step()
            row[place] = 1e3 * (time.perf_counter() - began)
    relative = np.median(taken / taken[:, :1], axis=0)
    return [
        {"step_ms": ms, "relative": ratio, "memory_mb": memory}
        for ms, ratio, (_, memory) in zip(np.median(taken, axis=0), relative, steps, strict=True)
    ]


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    words = arguments.out / "words.txt"
    vocabulary = [
        *(sys.executable, "-m", "data_pipelines.text", f"--input={arguments.manifest}"),
        *("--caption_column=text", f"--output={words}"),
    ]
    subprocess.run(vocabulary, check=True, stdout=subprocess.DEVNULL)
    records = arguments.out / "records"
    prepare = [
        *(sys.executable, "-m", "data_pipelines.prepare", f"--input={arguments.manifest}"),
        *("--caption_column=text", f"--output={records}", "--short_side=64"),
    ]
    subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL)
    results = []
    for seed in range(arguments.seeds):
        for row, (config, drop) in ROWS.items():
            flags = [
                *(f"--config.data.root={records}", f"--config.seed={seed}"),
                *(f"--config.steps={arguments.steps}", "--config.eval.every=0"),
                f"--config.data.text.tokenizer={words}",
            ]
            found = run(arguments.out / f"{folder(row)}_{seed}", config, drop, flags)
            results += [("untrained", found["untrained"])] if drop == 0 else []
            results.append((row, found["trained"]))
    costs = step_costs([arguments.out / f"{folder(row)}_0" for row in ROWS])
    for row, cost in zip(ROWS, costs, strict=True):
        next(metrics for name, metrics in results if name == row).update(cost)
    print(runs.table(results, COLUMNS))


if __name__ == "__main__":
    main()
