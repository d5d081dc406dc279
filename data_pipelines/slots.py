"""Memory for the large arrays of examples, written by one process and read by another."""

from __future__ import annotations

import functools
import math
import mmap
import os
import tempfile

import numpy as np

from data_pipelines.spec import InputSpec


class Slots:
    """The large arrays of `count` examples, in memory that other processes map too, by a path.

    An anonymous file rather than /dev/shm, which containers limit to 64 MB; where the system has
    none, a temporary file.

    Attributes:
      path: what `opened_slots` opens.
      arrays: each of `spec.arrays` as [count, *shape].
    """

    def __init__(self, spec: InputSpec, count: int) -> None:
        if hasattr(os, "memfd_create"):
            self._file = os.fdopen(os.memfd_create("clips"), "r+b")
            self.path = f"/proc/{os.getpid()}/fd/{self._file.fileno()}"
        else:
            self._file = tempfile.NamedTemporaryFile()  # noqa: SIM115 (closed by `close`)
            self.path = self._file.name
        self._file.truncate(_places(spec, count)[1])
        self.arrays = _map(self._file.fileno(), spec, count)

    def close(self) -> None:
        """Lets go of the file; the memory stays as long as somebody has it mapped."""
        self._file.close()


@functools.cache
def opened_slots(path: str, spec: InputSpec, count: int) -> dict[str, np.ndarray]:
    """The arrays of `Slots(spec, count)` in another process."""
    with open(path, "r+b") as file:
        return _map(file.fileno(), spec, count)


def _map(descriptor: int, spec: InputSpec, count: int) -> dict[str, np.ndarray]:
    places, size = _places(spec, count)
    memory = mmap.mmap(descriptor, size)
    return {
        name: np.frombuffer(memory, kind, count * math.prod(shape), places[name]).reshape(
            count, *shape
        )
        for name, (shape, kind) in spec.arrays.items()
    }


def _places(spec: InputSpec, count: int) -> tuple[dict[str, int], int]:
    """Returns where each array begins, and the size of all, in bytes."""
    places, end = {}, 0
    for name, (shape, kind) in spec.arrays.items():
        places[name] = end
        size = count * math.prod(shape) * np.dtype(kind).itemsize
        end += -(-size // 64) * 64  # numbers of several bytes must not lie astride
    return places, end
