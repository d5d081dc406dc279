"""What delivering clips costs, beside other libraries: raw files, prepared records, the pipeline.

Command:
  python benchmarks/data.py --root DIR [DIR ...] --json OUT.json

The work: a CVRL pair (two clips of 16 frames, stride 2, random resized crop) of every video of an
evenly spaced sample below each DIR, written to a batch of 8. All readers are asked for the same
frames and, from raw files, the same crops, decoded on one thread; rounds alternate, and the median
counts. Times are CPU seconds of the process, so that other load disturbs them little. Rivals:
pip install -e '.[bench]'.

Results, as ratios: `raw_vs_best_rival`, `records_jpeg_vs_best_rival`,
`records_jpeg_original_vs_best_rival`, `records_gop_vs_best_rival` (times the best rival reading the
raw files); `overhead` (CPU time of a training pipeline over that of the bare reading, less 1);
`workers_2_vs_1` (pairs per second of wall time); `memory_growth` of a worker over 5,000 clips.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import dataclasses
import functools
import importlib.metadata
import itertools
import json
import multiprocessing
import os
import pathlib
import platform
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import cv2
import data_rivals
import numpy as np
from tables import print_table

from data_pipelines.crops import random_resized_crop_box
from data_pipelines.errors import BadVideo
from data_pipelines.examples import clip_plan, load_example
from data_pipelines.order import TrainOrder
from data_pipelines.pipeline import TrainBatches
from data_pipelines.sources.folder import scan_folder
from data_pipelines.sources.records import open_records
from data_pipelines.sources.subset import Subset, subset
from data_pipelines.spec import InputSpec
from data_pipelines.video import Source, Video

BATCH = 8
CLIPS_FOR_MEMORY = 5000
STORAGES = {
    "records_jpeg": ("--storage=jpeg", "--short_side=128"),
    "records_gop": ("--storage=h264", "--short_side=128"),
    "records_jpeg_original": ("--storage=jpeg", "--short_side=0"),
}


@dataclasses.dataclass(frozen=True)
class Job:
    """One pair to read: from `path` or by `open`."""

    path: str
    open: Callable[[], Video]
    positions_CxT: np.ndarray
    boxes: list[tuple[int, int, int, int]]


def pair_spec(size: int) -> InputSpec:
    """The work."""
    return InputSpec(clips=2, frames=16, stride=2, size=size)


def readable_sample(roots: list[pathlib.Path], videos: int) -> tuple[Source, list[str]]:
    """As many evenly spaced videos below each root, and those of them that cannot be read."""
    samples, bad = [], []
    for root in roots:
        source, chosen = scan_folder(root), []
        for index in np.linspace(0, len(source) - 1, -(-videos // len(roots))).astype(int):
            try:
                with contextlib.closing(source.open(int(index))) as video:
                    video.frames([len(video.times) - 1])
                chosen.append(int(index))
            except BadVideo as error:
                bad.append(str(error))
        samples.append(subset(source, np.unique(chosen)))
    return Subset.join(samples), bad


def jobs(source: Source, spec: InputSpec) -> list[Job]:
    """The same frames of the same videos for every reader; boxes by each video's size."""
    made = []
    for index in range(len(source)):
        rng = np.random.default_rng(index)
        open_it = functools.partial(source.open, index)
        with contextlib.closing(open_it()) as video:
            plan_CxT = clip_plan(video.times, spec, rng)
            boxes = [random_resized_crop_box(rng, *video.size) for _ in range(spec.clips)]
        made.append(Job(source.info(index).path, open_it, plan_CxT, boxes))
    return made


def ours(job: Job, out: np.ndarray) -> None:
    """What a worker does with a video, once plan and boxes are drawn."""
    with contextlib.closing(job.open()) as video:
        places = [(int(i), b) for row_T, b in zip(job.positions_CxT, job.boxes) for i in row_T]
        video.crops(places, out.shape[2], out.reshape(-1, *out.shape[2:]))


def deliver(read: Callable[[Job, np.ndarray], None], wanted: list[Job], size: int) -> None:
    """Reads all pairs, batch by batch, into arrays that are used again."""
    batch = np.empty((BATCH, 2, 16, size, size, 3), np.uint8)
    for number, job in enumerate(wanted):
        read(job, batch[number % BATCH])


def race(readers: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each, in alternating rounds after one that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for counted in [False] + [True] * rounds:
        for name, read in readers.items():
            began = time.process_time()
            read()
            if counted:
                seconds[name].append(time.process_time() - began)
    return {name: float(np.median(taken)) for name, taken in seconds.items()}


def compare(
    root: pathlib.Path,
    source: Source,
    rivals: dict[str, data_rivals.Read],
    size: int,
    rounds: int,
) -> dict[str, float]:
    """Milliseconds of CPU per pair, by reader."""
    spec = pair_spec(size)
    raw = jobs(source, spec)
    readers: dict[str, Callable[[], object]] = {"ours, raw": lambda: deliver(ours, raw, size)}
    for name, read in rivals.items():

        def rival(job: Job, out: np.ndarray, read: data_rivals.Read = read) -> None:
            read(job.path, job.positions_CxT, job.boxes, out)

        readers[name] = functools.partial(deliver, rival, raw, size)
    for name in STORAGES:
        (records,) = open_records(str(root / name)).values()
        stored = jobs(records, spec)
        readers[name] = functools.partial(deliver, ours, stored, size)
    return {name: 1e3 * s / len(raw) for name, s in race(readers, rounds).items()}


def prepare(source: Source, out: pathlib.Path) -> dict[str, float]:
    """Stores the sample in every form; megabytes on disk of each."""
    manifest = out / "sample.csv"
    rows = [source.info(index).path for index in range(len(source))]
    manifest.write_text("path\n" + "".join(f'"{os.path.abspath(row)}"\n' for row in rows))
    root = os.path.commonpath([os.path.abspath(row) for row in rows])
    sizes = {"raw": sum(os.path.getsize(row) for row in rows) / 1e6}
    for name, options in STORAGES.items():
        command = [
            *(sys.executable, "-m", "data_pipelines.prepare", f"--input={manifest}"),
            *(f"--root={root}", f"--output={out / name}", *options),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        files = [file for file in (out / name).rglob("*") if file.is_file()]
        sizes[name] = sum(file.stat().st_size for file in files) / 1e6
    return sizes


def profile(source: Source, size: int) -> dict[str, float]:
    """Where the milliseconds of a pair from raw files go, by the calls that use them."""
    raw = jobs(source, pair_spec(size))
    recorder = cProfile.Profile()
    with recorder:
        deliver(ours, raw, size)
    stages = {
        "open": ("core.open",),
        "packet times": ("demux", "packets"),
        "decode": ("decode' of",),
        "to RGB": ("reformat", "to_ndarray"),
        "crop and resize": ("<resize>",),
    }
    found = dict.fromkeys([*stages, "everything else"], 0.0)
    for (file, _, function), (_, _, own, _, _) in pstats.Stats(recorder).stats.items():  # type: ignore[attr-defined]
        place = f"{function} {file}"
        names = [stage for stage, marks in stages.items() if any(m in place for m in marks)]
        found[names[0] if names else "everything else"] += 1e3 * own / len(raw)
    return found


def cpu_seconds() -> float:
    """Of this process and of its running workers (Linux)."""
    ticks = 0
    for worker in multiprocessing.active_children():
        fields = pathlib.Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def pipeline(source: Source, size: int, pairs: int, rounds: int) -> dict[str, float]:
    """Overhead of the training pipeline, its scaling, and the time to the first batch."""
    spec = pair_spec(size)
    batches = max(2, pairs // BATCH)

    def bare() -> float:
        """CPU seconds of reading the same examples, and nothing else."""
        tickets = TrainOrder(source, BATCH, 0, (0, 1)).tickets(1)
        wanted = list(itertools.islice(tickets, batches * BATCH))
        began = time.process_time()
        for ticket in wanted:
            load_example(source, spec, ticket.index, ticket.rng())
        return time.process_time() - began

    def run(workers: int) -> tuple[float, float, float]:
        """Seconds of CPU, of wall time, and to the first batch, which the others leave out."""
        began = time.perf_counter()
        with contextlib.closing(
            TrainBatches(source, spec, batch_size=BATCH, seed=0, workers=workers)
        ) as stream:
            next(stream)
            cpu, wall = cpu_seconds(), time.perf_counter()
            for _ in range(batches):
                next(stream)
            return cpu_seconds() - cpu, time.perf_counter() - wall, wall - began

    measured = [(bare(), run(1), run(2), run(0)) for _ in range(rounds)]
    alone, one, two, threads = (np.median([m[k] for m in measured], axis=0) for k in range(4))
    return {
        "overhead": float(one[0] / alone - 1),
        "workers_2_vs_1": float(one[1] / two[1]),
        "pairs_per_s_1_worker": float(batches * BATCH / one[1]),
        "pairs_per_s_2_workers": float(batches * BATCH / two[1]),
        "first_batch_s_0_workers": float(threads[2]),
        "first_batch_s_1_worker": float(one[2]),
        "first_batch_s_2_workers": float(two[2]),
    }


MEMORY = """
import sys, pathlib, numpy as np
sys.path.insert(0, sys.argv[3])
from data import pair_spec, resident_mb
from data_pipelines.errors import BadVideo
from data_pipelines.examples import load_example
from data_pipelines.sources.folder import scan_folder
source = scan_folder(sys.argv[1])
for number in range(int(sys.argv[2]) // 2 + 1):
    load_example(source, pair_spec(112), number % len(source), np.random.default_rng(number))
    if number % 250 == 0:
        print(2 * number, round(resident_mb(), 1), flush=True)
"""


def resident_mb() -> float:
    """Resident memory of this process (Linux)."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(root: pathlib.Path, clips: int) -> list[tuple[int, float]]:
    """Resident megabytes of a fresh process after so many clips."""
    here = str(pathlib.Path(__file__).parent)
    command = [sys.executable, "-c", MEMORY, str(root), str(clips), here]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [(int(n), float(mb)) for n, mb in (line.split() for line in lines.splitlines())]


def main() -> None:
    """Parses the command line, measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--root", type=pathlib.Path, nargs="+", required=True, help="folders of videos"
    )
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures")
    parser.add_argument("--videos", type=int, default=48, help="sample size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[112, 224])
    parser.add_argument("--clips", type=int, default=CLIPS_FOR_MEMORY, help="of the memory curve")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    data_rivals.load_torchvision()
    rivals = data_rivals.installed()
    source, bad = readable_sample(arguments.root, arguments.videos)
    for reason in bad:
        print("left out:", reason)
    figures: dict[str, object] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("av", "opencv-python-headless", *rivals)
            if name not in ("opencv", "pyav")
        },
        "videos": len(source),
        "left_out": bad,
    }
    with tempfile.TemporaryDirectory() as folder:
        figures["megabytes"] = prepare(source, pathlib.Path(folder))
        for size in arguments.sizes:
            taken = compare(pathlib.Path(folder), source, rivals, size, arguments.rounds)
            best = min(taken[name] for name in rivals)
            rows = [(name, ms, 1e3 / ms, best / ms) for name, ms in taken.items()]
            print(f"\nA pair of 16 x {size} x {size}, {len(source)} videos")
            head = ["reader", "CPU ms per pair", "pairs per CPU s", "times the best rival"]
            print_table(rows, head)
            figures[f"cpu_ms_per_pair_{size}"] = taken
            suffix = "" if size == arguments.sizes[0] else f"_{size}"
            figures[f"raw_vs_best_rival{suffix}"] = best / taken["ours, raw"]
            for name in STORAGES:
                figures[f"{name}_vs_best_rival{suffix}"] = best / taken[name]
    size = arguments.sizes[0]
    figures["profile_ms_per_pair"] = stages = profile(source, size)
    print("\nOne pair from raw files (under the profiler)")
    print_table(stages.items(), ["stage", "ms"])
    everything = Subset.join([scan_folder(root) for root in arguments.root])
    figures |= pipeline(everything, size, 8 * len(source), max(1, arguments.rounds // 2))
    figures["bytes_to_device_per_clip"] = 16 * size * size * 3
    figures["memory_mb"] = curve = memory(arguments.root[0], arguments.clips)
    settled = [mb for clips, mb in curve if clips >= 500] or [curve[-1][1]]
    figures["memory_growth"] = settled[-1] / settled[0] - 1
    print_table(curve, ["clips read", "resident MB"], digits=1)
    print("\n" + json.dumps({k: v for k, v in figures.items() if isinstance(v, float)}, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
