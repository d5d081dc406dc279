"""Runs of main.py for the tables of docs/results.md: trained, evaluated, and told in Markdown.

A run that is already there is not repeated, so that a script can be stopped and started again.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def train(workdir: pathlib.Path, config: str, flags: Sequence[str]) -> dict[str, dict[str, float]]:
    """Trains unless the run is there.

    Args:
      workdir: of the run.
      config: FILE.py:preset within configs/.
      flags: further ones of main.py.

    Returns:
      The metrics at step 0 as "untrained" and all later ones as "trained", the newest of each.
    """
    if not (workdir / "report.html").exists():
        main(f"--config=configs/{config}", f"--workdir={workdir}", *flags)
    found: dict[str, dict[str, float]] = {"untrained": {}, "trained": {}}
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        metrics = json.loads(line)
        found["trained" if metrics["step"] else "untrained"].update(metrics)
    return found


def evaluate(
    checkpoint: pathlib.Path, config: str, target: pathlib.Path, flags: Iterable[str]
) -> dict[str, Any]:
    """What `main.py --mode=eval` says of a run; `target` is a folder for this evaluation alone."""
    if not [*target.glob("eval_*.json")]:
        main(
            *("--mode=eval", f"--config=configs/{config}", f"--checkpoint={checkpoint}"),
            *(f"--workdir={target}", *flags),
        )
    (result,) = target.glob("eval_*.json")
    return json.loads(result.read_text())


def main(*flags: str) -> None:
    """Runs main.py and shows what was run."""
    command = [sys.executable, "main.py", *flags]
    print(" ".join(command), file=sys.stderr)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def jhmdb_flags(manifest: str, fold: int, steps: int) -> list[str]:
    """Training on JHMDB without one source-disjoint fold, which is tested on; the seed is it."""
    return [
        *(f"--config.steps={steps}", f"--config.seed={fold}"),
        *("--config.data.source=csv", f"--config.data.manifest={manifest}"),
        *("--config.data.label_column=class", "--config.data.split_column=src_fold"),
        *(f"--config.data.test_split={fold}", "--config.data.stride=2"),
        *("--config.data.train_videos=0", "--config.data.test_videos=0"),
        *(f"--config.eval.every={max(1, steps // 4)}", "--config.eval.knn_k=10"),
    ]


def table(results: Sequence[tuple[str, Mapping[str, float]]], columns: Mapping[str, str]) -> str:
    """Markdown: a line per row, mean ± standard deviation over its runs."""
    lines = [
        f"| row | runs | {' | '.join(columns.values())} |",
        "|---|---|" + "---|" * len(columns),
    ]
    for row in dict.fromkeys(name for name, _ in results):
        runs = [
            metrics
            for name, metrics in results
            if name == row and any(column in metrics for column in columns)
        ]
        if not runs:
            continue
        cells = []
        for column in columns:
            values = [metrics[column] for metrics in runs if column in metrics]
            cells.append(f"{np.mean(values):.3f} ± {np.std(values):.3f}" if values else "—")
        lines.append(f"| {row} | {len(runs)} | {' | '.join(cells)} |")
    return "\n".join(lines)
