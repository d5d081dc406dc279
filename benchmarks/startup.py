"""How long a run takes to its first step, when it starts for the first and for the second time.

Command:
  python benchmarks/startup.py --json OUT.json

`main.py` trains one step, twice, in an empty folder each: with an empty cache of compiled
programs, and with what that left in it. Whole processes, from their start to their end; the
same for `import` alone. Processor seconds stand beside those of the clock, because other load
disturbs them little.

Result: `second_vs_first`, by the clock, and `second_vs_first_cpu`.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from side_by_side import about
from tables import print_table

REPO = pathlib.Path(__file__).resolve().parents[1]


def timed(command: list[str], cache: pathlib.Path) -> tuple[float, float]:
    """(seconds by the clock, of the processors) that a command takes."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PLATFORMS": "cpu"}
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *command], cwd=REPO, env=environment, check=True, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, used


def main() -> None:
    """Parses the command line, measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures")
    parser.add_argument("--config", default="configs/cvrl_r3d50.py:tiny", help="of the run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        starts = [
            timed(
                [
                    "main.py",
                    f"--config={arguments.config}",
                    f"--workdir={root / str(number)}",
                    "--config.steps=1",
                    "--config.optimizer.warmup_steps=0",
                ],
                root / "cache",
            )
            for number in range(2)
        ]
        bare = timed(["-c", "import cvrl_jax.train"], root / "cache")
    first, second = starts
    figures = {
        **about(),
        "config": arguments.config,
        "starts": starts,
        "imports": bare,
        "second_vs_first": second[0] / first[0],
        "second_vs_first_cpu": second[1] / first[1],
    }
    rows = [("first start", *first), ("second start", *second), ("imports alone", *bare)]
    print_table(rows, [arguments.config, "seconds", "processor seconds"])
    print(json.dumps({k: v for k, v in figures.items() if isinstance(v, float)}, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
