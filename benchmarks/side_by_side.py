"""Our code and a rival's in one process, in turns: times that other load disturbs alike."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import pathlib
import platform
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

THREADS = int(os.environ.get("BENCH_THREADS", "2"))
"""Of either side. With one, whatever else runs on the machine disturbs least."""

Step = Callable[[], object]


_LARGE_PAGES = "glibc.malloc.hugetlb=1"


def pin() -> None:
    """Takes `THREADS` cores; to be called before JAX and PyTorch count them.

    Starts the program anew with memory in large pages, for either side, unless GLIBC_TUNABLES is
    set: page faults of the small ones take up to a third of a step.
    """
    if "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = _LARGE_PAGES
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    os.environ["JAX_PLATFORMS"] = "cpu"


def about(*packages: str) -> dict[str, object]:
    """The machine and the versions that figures belong to."""
    cpu = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.partition(":")[2].strip() for line in cpu.splitlines() if "model name" in line]
    model = names[0] if names else platform.processor()
    return {
        "machine": f"{platform.machine()} {model}, {THREADS} of {os.cpu_count()} cores",
        "malloc": os.environ.get("GLIBC_TUNABLES") or "as it comes",
        "versions": {name: _version(name) for name in ("jax", *packages)},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def seconds(steps: Sequence[Step], rounds: int) -> np.ndarray:
    """Wall seconds of each step in each round, [rounds, steps]; steps take turns.

    One round before the first is not counted.
    """
    for step in steps:
        step()
    taken = np.empty((rounds, len(steps)))
    for row in taken:
        for place, step in enumerate(steps):
            began = time.perf_counter()
            step()
            row[place] = time.perf_counter() - began
    return taken


def ratio(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Median over rounds of our time over theirs."""
    return float(np.median(ours / theirs))


def resident() -> int:
    """Bytes of memory that the process holds, after what is free went back to the system."""
    ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def peak_bytes(step: Step, before: int) -> int:
    """The most memory that the process holds while `step` runs, less what it held `before`.

    Args:
      step: to run once; warmed up, so that no compiler's memory counts.
      before: from `resident`.
    """
    ctypes.CDLL(None).malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak starts anew
    step()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    text = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(next(line for line in text.splitlines() if field in line).split()[1])
