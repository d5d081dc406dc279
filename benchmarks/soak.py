"""Trains in several processes under a rain of faults, and compares with a run that had none.

Command:
  python benchmarks/soak.py --minutes=10 --seed=0 --json=soak.json

The run: CVRL with a tiny transformer on small video files, some of which are broken, in two
processes on this machine's CPU. First without faults; then again, each start with one fault at a
random moment: `kill -9` of a process, SIGTERM to one, a full disk, or one process that cannot
write any longer; between starts a newest checkpoint cut short and broken files dropped beside the
videos. After so many minutes it is left to finish. Parameters and log must then equal the
undisturbed run's, bit for bit. All randomness is from the seed; the moments are counted in steps.

The disk is a small one in memory (tmpfs), which only root may mount; for others this fault is left
out, and the program says so. A process that cannot write has RLIMIT_FSIZE set to nothing.

Results: `survived` by kind of fault, `slowest_end_s` (from a kill, or a disk that is full, to the
end of all processes), `equal`; the exit status is 1 where something differs or a process ended as
none may.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator

import av
import jax
import numpy as np
from tables import print_table

from cvrl_jax.checkpoint import find_checkpoint, load_variables
from data_pipelines.sources.moving_shapes import MovingShapes

REPO = pathlib.Path(__file__).resolve().parents[1]
LIMIT_S = 1200.0
FLAGS = (
    *("batch_size=8", "data.source=csv", "data.max_bad_fraction=0.5", "data.workers=0"),
    *("data.frames=4", "data.size=16", "eval.at_start=False", "eval.protocols=()"),
    *("model.layers=1", "model.width=8", "model.mlp=16", "model.heads=2", "model.head_size=4"),
    *("model.grid=(2,2,2)", "head.hidden=64", "head.layers=2", "head.out=128"),
    *("checkpoint.every=3", "log.every=1", "log.tensorboard=False", "optimizer.warmup_steps=1"),
)
# What a process may end with after each fault; see docs/scale.md.
GONE = {75, 134}
STATUSES = {
    "none": {0},
    "kill": {-signal.SIGKILL, *GONE},
    "term": {128 + signal.SIGTERM, 0},
    "full disk": {1, *GONE},
    "no writes": {1, *GONE},
}
DISK = "16m"


def make_videos(folder: pathlib.Path, count: int = 24, broken: int = 2) -> pathlib.Path:
    """Writes small videos, some of them no videos, and their list."""
    source = MovingShapes(videos=count, seed=0, frames=20)
    names = [f"{index}.mp4" for index in range(count)]
    for index, name in enumerate(names):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for picture in source.open(index).frames(range(20)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    for number in range(broken):
        names.append(f"broken{number}.mp4")
        (folder / names[-1]).write_bytes(b"no video")
    manifest = folder / "list.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([["path"], *([name] for name in names)])
    return manifest


class Run:
    """One run of several processes, started as often as needed."""

    def __init__(self, workdir: pathlib.Path, manifest: pathlib.Path, processes: int, steps: int):
        self.workdir, self.processes = workdir, processes
        self.filler = workdir / "filler"
        self._fields = (
            *FLAGS,
            f"data.manifest={manifest}",
            f"data.root={manifest.parent}",
            f"steps={steps}",
        )
        self.starts = 0

    def start(self) -> list[subprocess.Popen]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            coordinator = f"127.0.0.1:{free.getsockname()[1]}"
        self.starts += 1
        with self.log().open("w") as log:
            return [
                subprocess.Popen(
                    [
                        *(sys.executable, "main.py", "--config=configs/cvrl_vit_b16.py:tiny"),
                        *(f"--workdir={self.workdir}", f"--coordinator={coordinator}"),
                        *(f"--processes={self.processes}", f"--process={process}"),
                        *(f"--config.{field}" for field in self._fields),
                    ],
                    cwd=REPO,
                    env=os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"},
                    stdout=log,
                    stderr=log,
                )
                for process in range(self.processes)
            ]

    def log(self) -> pathlib.Path:
        """What the newest start says."""
        return self.workdir.parent / f"{self.workdir.name}_{self.starts}.log"

    def last_row(self) -> int:
        """The last step in the log, -1 where there is none."""
        file = self.workdir / "metrics.jsonl"
        lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
        return json.loads(lines[-1])["step"] if lines else -1

    def rows(self) -> list[dict]:
        """Its log, without what measures time."""
        lines = (self.workdir / "metrics.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]

    def damage_newest(self) -> bool:
        """Cuts the newest checkpoint short; False where it is the only one, or there is none."""
        folder = self.workdir / "checkpoints"
        there = [path for path in folder.glob("*") if path.name.isdigit()]
        if len(there) < 2:
            return False
        for file in (find_checkpoint(self.workdir) / "state").rglob("*"):
            if file.is_file():
                os.truncate(file, file.stat().st_size // 2)
        return True


def ended(processes: list[subprocess.Popen]) -> list[int]:
    """Waits for all; none is left behind."""
    until = time.monotonic() + LIMIT_S
    try:
        return [one.wait(max(0.1, until - time.monotonic())) for one in processes]
    finally:
        for one in processes:
            one.kill()


@contextlib.contextmanager
def small_disk(folder: pathlib.Path) -> Iterator[bool]:
    """Mounts a small file system in memory there; False where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    is_mounted = (
        shutil.which("mount") is not None
        and not subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode
    )
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", str(folder)], check=True)


def strike(fault: str, run: Run, victim: subprocess.Popen) -> None:
    """Does what is to be survived."""
    if fault == "kill":
        victim.send_signal(signal.SIGKILL)
    elif fault == "term":
        victim.send_signal(signal.SIGTERM)
    elif fault == "no writes":
        resource.prlimit(victim.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    else:
        with run.filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 12))


def disturbed(run: Run, fault: str, rng: random.Random) -> tuple[bool, list[int], float]:
    """Starts the run with one fault; (it came before the end, statuses, seconds to the end)."""
    running = run.start()
    began = time.monotonic()
    if fault != "none":
        first, wait, victim = run.last_row(), rng.randrange(1, 6), rng.choice(running)
        while run.last_row() < first + wait and all(one.poll() is None for one in running):
            time.sleep(0.01)
        came = all(one.poll() is None for one in running)
        began = time.monotonic()
        if came:
            strike(fault, run, victim)
    statuses = ended(running)
    seconds = time.monotonic() - began
    run.filler.unlink(missing_ok=True)
    came = any(status != 0 for status in statuses)
    return came, statuses, seconds


def same(a: Run, b: Run) -> bool:
    """Whether two runs ended with the same arrays and wrote the same log."""
    ours, theirs = (load_variables(find_checkpoint(run.workdir)) for run in (a, b))
    arrays = jax.tree.leaves(jax.tree.map(np.array_equal, ours[0], theirs[0]))
    return all(arrays) and a.rows() == b.rows() and ours[1]["bad"] == theirs[1]["bad"]


def main() -> None:
    """Runs, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="of faults")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--folder", type=pathlib.Path, help="keep everything there")
    parser.add_argument("--json", type=pathlib.Path, help="file to write")
    options = parser.parse_args()
    folder = options.folder or pathlib.Path(tempfile.mkdtemp(prefix="soak_"))
    videos = folder / "videos"
    videos.mkdir(parents=True)
    manifest = make_videos(videos)
    rng = random.Random(options.seed)
    print(f"seed {options.seed}, {options.processes} processes, {options.steps} steps, {folder}")
    calm, soaked = (
        Run(folder / name, manifest, options.processes, options.steps) for name in ("calm", "soak")
    )
    with small_disk(soaked.workdir) as has_disk:
        equal = soak(options, calm, soaked, videos, rng, has_disk)
    if not options.folder:
        shutil.rmtree(folder)
    sys.exit(0 if equal else 1)


def soak(
    options: argparse.Namespace,
    calm: Run,
    soaked: Run,
    videos: pathlib.Path,
    rng: random.Random,
    has_disk: bool,
) -> bool:
    """Both runs; whether they ended alike, and every process as it may."""
    if not has_disk:
        print("no small disk can be mounted here: a full disk is left out")
    statuses = ended(calm.start())
    if set(statuses) != {0}:
        sys.exit(f"the undisturbed run ended with {statuses}; see {calm.log()}")
    survived: Counter[str] = Counter()
    slowest, wrong, until = 0.0, [], time.monotonic() + 60 * options.minutes
    while True:
        faults = [name for name in STATUSES if name != "none" and (has_disk or name != "full disk")]
        fault = rng.choice(faults) if time.monotonic() < until else "none"
        came, statuses, seconds = disturbed(soaked, fault, rng)
        print(f"{fault}: statuses {statuses}, step {soaked.last_row()}, {seconds:.1f} s to the end")
        if not set(statuses) <= STATUSES[fault] | {0}:
            wrong.append({"fault": fault, "statuses": statuses, "start": soaked.starts})
        if fault == "full disk" and came and "free disk space" not in soaked.log().read_text():
            wrong.append({"fault": fault, "not said in": str(soaked.log())})
        if not came:
            break
        survived[fault] += 1
        if fault != "term":
            slowest = max(slowest, seconds)
        if rng.random() < 0.3 and soaked.damage_newest():
            survived["damaged checkpoint"] += 1
        if rng.random() < 0.5:
            (videos / f"dropped{soaked.starts}.mp4").write_bytes(rng.randbytes(1000))
            survived["broken file dropped"] += 1
    survived["broken files listed"] = len(
        (soaked.workdir / "bad_examples.jsonl").open().readlines()
    )
    equal = same(calm, soaked)
    print_table(sorted(survived.items()), ("fault", "survived"))
    print(f"equal to the undisturbed run: {equal}; slowest end after a fault {slowest:.1f} s")
    if options.json:
        found = {
            "seed": options.seed,
            "processes": options.processes,
            "steps": options.steps,
            "starts": soaked.starts,
            "survived": dict(survived),
            "slowest_end_s": round(slowest, 1),
            "wrong": wrong,
            "equal": equal,
        }
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return equal and not wrong


if __name__ == "__main__":
    main()
