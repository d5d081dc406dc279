"""Runs VATT's rows of docs/results.md on talking videos and prints their table.

Command:
  python benchmarks/results_vatt.py --manifest=AUDIO_VISUAL/meta.csv --steps=600 --out=runs/vatt

The videos are of the GRID corpus: one speaker, a sentence each, its own for every video; the list
has columns path, text and split. They are prepared once, 64 pixels high. Every row is a plain run
of main.py with a preset :tiny; the flags that make it that row stand below. A run that is there is
not repeated. Step times leave out the wait for data; memory is the largest resident size of the
whole process.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
from results_tables import table

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
    "memory_gb": "GB",
}


def run(workdir: pathlib.Path, config: str, drop: float, flags: list[str]) -> dict[str, dict]:
    """Trains one row unless it is there; returns its metrics before and after training."""
    if not (workdir / "report.html").exists():
        command = [
            *(sys.executable, "main.py", f"--config=configs/{config}.py:tiny"),
            *(f"--workdir={workdir}", *DATA, *flags),
            f"--config.model.video.drop_token={drop}",
            f"--config.model.audio.drop_token={drop}",
        ]
        print(" ".join(command), file=sys.stderr)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"{workdir}: the run failed")
        (workdir / "memory_kb").write_text(str(usage.ru_maxrss))
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    first = {k: v for row in rows if row["step"] == 0 for k, v in row.items()}
    last = {k: v for row in rows if row["step"] > 0 for k, v in row.items()}
    timed = [row for row in rows if "time/steps_per_s" in row][1:]  # the first compiles
    steps = [
        1e3 / row["time/steps_per_s"] * (1 - row["time/data_wait_percent"] / 100) for row in timed
    ]
    memory = int((workdir / "memory_kb").read_text()) / 2**20
    return {
        "untrained": first,
        "trained": last | {"step_ms": float(np.median(steps)), "memory_gb": memory},
    }


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
            name = row.replace(" ", "_").replace(",", "").replace("%", "")
            found = run(arguments.out / f"{name}_{seed}", config, drop, flags)
            results += [("untrained", found["untrained"])] if drop == 0 else []
            results.append((row, found["trained"]))
    print(table(results, COLUMNS))


if __name__ == "__main__":
    main()
