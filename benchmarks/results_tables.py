"""Runs the rows of docs/results.md and prints their tables, mean and standard deviation.

Commands:
  python benchmarks/results_tables.py shapes --steps=300 --out=runs/tables
  python benchmarks/results_tables.py jhmdb --manifest=JHMDB/meta.csv --steps=100 --out=runs/tables

Every row is a plain run of main.py with the preset :tiny; the flags that make it that row stand
below. A run that is already there is not repeated, so the script can be stopped and started again.
The row "untrained" is the evaluation of CVRL's network before its first step.
"""

from __future__ import annotations

import argparse
import json
import pathlib

import matplotlib.pyplot as plt
import numpy as np
import runs

from configs import base
from cvrl_jax.evaluation.linear_probe import LinearProbeSettings
from cvrl_jax.evaluation.temporal_probes import TemporalProbeSettings, temporal_probes
from data_pipelines.sources import create_sources

ROWS = {
    "CVRL": ("cvrl_r3d50", ()),
    # One clip per video, so twice the videos per step: as many clips seen.
    "with labels": ("supervised_r3d50", ("--config.data.frames=8", "--config.batch_size=64")),
    "per-frame augmentation": ("cvrl_r3d50", ("--config.augment.per_frame=True",)),
    "same clip twice": ("cvrl_r3d50", ("--config.data.sampling=same",)),
    "SimCLR on frames": (
        "simclr_r3d50",
        ("--config.augment.recipe=cvrl", "--config.model.temporal_kernels=(1,1,1,1)"),
    ),
}
ABLATIONS = ("per-frame augmentation", "same clip twice", "SimCLR on frames")


def run(name: str, row: str, flags: list[str], out: pathlib.Path) -> dict[str, dict[str, float]]:
    """Trains one row unless it is there; returns its metrics before and after training."""
    config, own_flags = ROWS[row]
    found = runs.train(out / name, f"{config}.py:tiny", [*flags, *own_flags])
    return {"untrained": found["untrained"], row: found["trained"]}


CAMERA = ("--config.data.label_column=cam_motion", "--config.eval.protocols=('linear',)")


def camera(name: str, out: pathlib.Path) -> float:
    """Linear top-1 on JHMDB's camera labels (moving or still) with the features of a run."""
    same = f"of_run.py:{out / name}"
    return runs.evaluate(out / name, same, out / f"{name}_camera", CAMERA)["linear_top1"]


def frame_differences(manifest: str, fold: int) -> dict[str, float]:
    """The temporal probes on seven numbers per clip: how much each frame differs from the next."""
    data = base.get_config().data
    data.update(source="csv", manifest=manifest, label_column="class", split_column="src_fold")
    data.test_split = str(fold)
    sources = create_sources(data, seed=fold)
    assert sources.test is not None

    def embed(clips_NxTxHxWx3: np.ndarray) -> np.ndarray:
        grey = clips_NxTxHxWx3.mean(-1) / 255
        change = np.abs(np.diff(grey, axis=1)).mean((2, 3))
        # The probe normalises features; the constant keeps their size.
        return np.concatenate([20 * change, np.ones((len(grey), 1))], axis=1).astype(np.float32)

    settings = TemporalProbeSettings(
        frames=8, stride=1, size=32, probe=LinearProbeSettings(batch_size=128)
    )
    return temporal_probes(embed, sources.train, sources.test, settings, seed=fold)


def draw_curves(out: pathlib.Path, rows: dict[str, list[str]], target: pathlib.Path) -> None:
    """Loss and kNN top-1 by step: a line per row, the mean over its runs."""
    figure, (loss, knn) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for row, names in rows.items():
        for axis, field in ((loss, "loss"), (knn, "knn_top1")):
            values: dict[int, list[float]] = {}
            for name in names:
                for line in (out / name / "metrics.jsonl").read_text().splitlines():
                    metrics = json.loads(line)
                    if field in metrics:
                        values.setdefault(metrics["step"], []).append(metrics[field])
            steps = sorted(values)
            axis.plot(steps, [np.mean(values[step]) for step in steps], label=row)
    loss.set(xlabel="step", ylabel="loss")
    knn.set(xlabel="step", ylabel="kNN top-1")
    knn.legend(fontsize="small")
    figure.savefig(target, dpi=110)


def shapes(arguments: argparse.Namespace) -> None:
    """All rows on the built-in videos, by seed."""
    results = []
    for seed in range(arguments.seeds):
        for row in ROWS:
            flags = [
                *(f"--config.steps={arguments.steps}", f"--config.seed={seed}"),
                *("--config.eval.every=0", "--config.data.train_videos=768"),
            ]
            name = f"shapes_{row.replace(' ', '_')}_{seed}"
            found = run(name, row, flags, arguments.out)
            results += [item for item in found.items() if item[0] == row or row == "CVRL"]
    columns = {
        "knn_top1": "kNN",
        "linear_top1": "linear",
        "linear_top1_shape": "linear, shape",
        "linear_top1_motion": "linear, motion",
    }
    print(runs.table(results, columns))


def jhmdb(arguments: argparse.Namespace) -> None:
    """Actions by source-disjoint fold, and what the same networks know of time."""
    results = []
    names: dict[str, list[str]] = {}

    def flags(fold: int) -> list[str]:
        found = runs.jhmdb_flags(arguments.manifest, fold, arguments.steps)
        if fold < arguments.seeds:  # the questions about time are asked in these folds only
            found.append("--config.eval.protocols=('knn','linear','temporal_probes')")
        return found

    def add(row: str, fold: int) -> None:
        name = f"jhmdb_{row.replace(' ', '_')}_{fold}"
        found = run(name, row, flags(fold), arguments.out)
        names.setdefault(row, []).append(name)
        if fold < arguments.seeds:
            found[row]["camera"] = camera(name, arguments.out)
            if row == "CVRL":  # one step more is taken and not looked at
                one_step = [
                    *flags(fold),
                    *CAMERA,
                    "--config.steps=1",
                    "--config.optimizer.warmup_steps=0",
                ]
                before = run(f"jhmdb_untrained_camera_{fold}", row, one_step, arguments.out)
                found["untrained"]["camera"] = before["untrained"]["linear_top1"]
        results.extend(item for item in found.items() if item[0] == row or row == "CVRL")

    for fold in range(arguments.folds):
        for row in ("CVRL", "with labels"):
            add(row, fold)
        start = f"--config.init_from={arguments.out / f'jhmdb_CVRL_{fold}'}"
        plain = [flag for flag in flags(fold) if "protocols" not in flag]
        name = f"jhmdb_fine-tuned_{fold}"
        names.setdefault("CVRL, fine-tuned", []).append(name)
        tuned = run(name, "with labels", [*plain, start], arguments.out)
        results.append(("CVRL, fine-tuned", tuned["with labels"]))
    for fold in range(arguments.seeds):
        for row in ABLATIONS:
            add(row, fold)
        floor = frame_differences(arguments.manifest, fold)
        results.append(("frame differences, no network", floor))
    actions = {
        "linear_top1": "linear",
        "knn_top1": "kNN (k = 10)",
        "classifier_top1": "own classifier",
    }
    time = {
        "probe_speed_top1": "speed (3 classes)",
        "probe_direction_top1": "direction",
        "probe_order_top1": "order",
        "probe_moment_top1": "moment",
        "camera": "camera moves",
    }
    print(runs.table(results, actions), runs.table(results, time), sep="\n\n")
    if arguments.figure:
        draw_curves(arguments.out, names, arguments.figure)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=["shapes", "jhmdb"])
    parser.add_argument("--manifest", default="", help="jhmdb: its meta.csv")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=2, help="runs of each ablation row")
    parser.add_argument("--folds", type=int, default=4, help="jhmdb: folds for the actions")
    parser.add_argument("--figure", type=pathlib.Path, help="jhmdb: where to draw its curves")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/tables"))
    arguments = parser.parse_args()
    {"shapes": shapes, "jhmdb": jhmdb}[arguments.data](arguments)


if __name__ == "__main__":
    main()
