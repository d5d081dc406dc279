"""How long a run takes to its first step, when it starts for the first and for the second time.

Command:
  python benchmarks/startup.py --json OUT.json

`main.py` trains two steps, twice, in an empty folder each: with an empty cache of compiled
programs, and with what that left in it. The first step is finished when its row is in
metrics.jsonl; whole processes, with their last evaluation, checkpoint and report, stand beside it.
The network is the config's own R3D-50 on small clips: what is compiled is as long, and what is
computed short. `--at_start` lets the run evaluate the untrained network first, as configs do.

Result: `second_vs_first` by the clock, to the first step; `..._cpu` in processor seconds, which
other load disturbs little; `..._whole` of whole processes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from side_by_side import about
from tables import print_table

REPO = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Start:
    """Seconds from the start of a process.

    Attributes:
      first_step: to its first row of a step, by the clock.
      first_step_cpu: the same, of the processors.
      whole: to its end, by the clock.
    """

    first_step: float
    first_step_cpu: float
    whole: float


def timed(flags: list[str], workdir: pathlib.Path, cache: pathlib.Path) -> Start:
    """Starts `main.py` and waits for its first step, and for its end."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PLATFORMS": "cpu"}
    began, first = time.perf_counter(), None
    command = [sys.executable, "main.py", f"--workdir={workdir}", *flags]
    with (workdir.parent / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=REPO, env=environment, stdout=log, stderr=log)
    while process.poll() is None:
        if first is None and has_a_step(workdir / "metrics.jsonl"):
            first = time.perf_counter() - began, cpu_seconds(process.pid)
        time.sleep(0.02)
    if process.returncode or first is None:
        sys.exit((workdir.parent / "log").read_text()[-3000:])
    return Start(*first, time.perf_counter() - began)


def has_a_step(log: pathlib.Path) -> bool:
    """Whether a row of a step is there; rows of evaluations have no loss."""
    return log.exists() and b'"loss"' in log.read_bytes()


def cpu_seconds(process: int) -> float:
    """That a running process has used, all its threads."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Parses the command line, measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures")
    parser.add_argument("--config", default="configs/cvrl_r3d50.py:tiny", help="of the run")
    parser.add_argument("--model", default="r3d50", help="config.model.name")
    parser.add_argument("--at_start", action="store_true", help="evaluate before the first step")
    arguments = parser.parse_args()
    flags = [
        *(f"--config={arguments.config}", f"--config.model.name={arguments.model}"),
        *("--config.steps=2", "--config.optimizer.warmup_steps=0", "--config.log.every=1"),
        *("--config.batch_size=4", "--config.data.frames=4", "--config.data.size=32"),
        *("--config.eval.protocols=('knn',)", f"--config.eval.at_start={arguments.at_start}"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        first, second = (timed(flags, root / name, root / "cache") for name in ("one", "two"))
    figures = {
        **about(),
        "config": arguments.config,
        "model": arguments.model,
        "at_start": arguments.at_start,
        "starts": [dataclasses.asdict(start) for start in (first, second)],
        "second_vs_first": second.first_step / first.first_step,
        "second_vs_first_cpu": second.first_step_cpu / first.first_step_cpu,
        "second_vs_first_whole": second.whole / first.whole,
    }
    rows = [
        (name, *(f"{value:.1f}" for value in dataclasses.astuple(start)))
        for name, start in (("first start", first), ("second start", second))
    ]
    print_table(rows, [arguments.model, "s to step 1", "of processors", "s to the end"])
    print(json.dumps({k: v for k, v in figures.items() if isinstance(v, float)}, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
