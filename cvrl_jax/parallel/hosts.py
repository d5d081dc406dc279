"""Several processes as one run: how they find each other, agree, and end together.

JAX itself knows its cluster on a TPU slice, under SLURM and Open MPI and in Kubernetes; flags are
for everywhere else. Nothing here starts a process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from cvrl_jax.stopped import Stopped
from data_pipelines.errors import UserError, first_line

GONE = 75
"""Exit status where another process of the run is gone (EX_TEMPFAIL: the same command goes on)."""

_CONNECT_S = 300
_SILENCE_S = 30  # after which a process that sends no sign of life is given up
_LAST_S = 1  # by which the first leaves after the others: what tells JAX of losses ends with it
_PORT_FLAG = "--coordinator=HOST:PORT"
# What of a message says that the connection broke, and not the program.
_LOSSES = ("Gloo", "Connection reset", "Connection closed", "UNAVAILABLE", "oordination service")


@contextlib.contextmanager
def joined(coordinator: str | None, processes: int | None, process: int | None) -> Iterator[None]:
    """Joins the other processes of this run, if there are any; before JAX looks for devices.

    Within, an error ends this process at once, without waiting for the others as JAX does at a
    normal end: they may be waiting for this one.

    Args:
      coordinator: HOST:PORT at which process 0 can be reached; None = as the environment says.
      processes: how many there are; None likewise, 1 alone = this one, whatever it says.
      process: number of this one, from 0; None likewise.

    Raises:
      UserError: the flags do not belong together, or others are expected and cannot be found.
    """
    if _connect(coordinator, processes, process):
        print(f"process {jax.process_index()} of {jax.process_count()}", file=sys.stderr)
    if jax.process_count() == 1:
        yield
        return
    if not is_first():
        for package in ("cvrl_jax", "data_pipelines"):  # the first one tells how the run goes
            logging.getLogger(package).setLevel(logging.WARNING)
    with ends_with_others():
        try:
            yield
        except KeyboardInterrupt:
            _leave("interrupted; the same command goes on from the last checkpoint", 130)
        except Stopped:  # all of them were
            raise
        except UserError as error:
            _leave(f"error: {error}", 1)
        except Exception as error:
            if is_loss(error):
                raise
            _leave(traceback.format_exc(), 1)


def _connect(coordinator: str | None, processes: int | None, process: int | None) -> bool:
    given = {_PORT_FLAG: coordinator, "--processes=N": processes, "--process=I": process}
    missing = [flag for flag, value in given.items() if value is None]
    if len(missing) < len(given):
        if processes == 1 and len(missing) == 2:
            return False
        _check(coordinator, processes, process, missing)
    elif _is_lone_pod():
        return False
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            initialization_timeout=_CONNECT_S,
            heartbeat_timeout_seconds=_SILENCE_S,
        )
    except ValueError as error:
        if missing and "should be defined" in str(error) and not _is_indexed_pod():
            return False  # no cluster that JAX knows
        raise UserError(
            f"the other processes cannot be found from the environment ({error}); say "
            f"{' '.join(given)}, or --processes=1 for a run of this process alone"
        ) from error
    except RuntimeError as error:
        raise UserError(
            f"the other processes cannot be reached ({first_line(error)}); see that all of them "
            f"are started, and that process 0 can be reached at {coordinator or 'its address'}"
        ) from error
    return True


def _check(
    coordinator: str | None, processes: int | None, process: int | None, missing: list[str]
) -> None:
    if missing or coordinator is None or processes is None or process is None:
        raise UserError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: a run of "
            f"several processes needs {_PORT_FLAG} --processes=N --process=I on each of them"
        )
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"--coordinator={coordinator}: must be HOST:PORT, e.g. 10.0.0.1:8476")
    if not 0 <= process < processes:
        raise UserError(
            f"--process={process}: with --processes={processes} it must lie between 0 and "
            f"{max(processes, 1) - 1}"
        )


def _is_lone_pod() -> bool:
    """In Kubernetes, but neither in an indexed Job nor on a TPU slice."""
    several = {"JOB_COMPLETION_INDEX", "TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES"}
    return "KUBERNETES_SERVICE_HOST" in os.environ and not several & os.environ.keys()


def _is_indexed_pod() -> bool:
    return {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= os.environ.keys()


@contextlib.contextmanager
def ends_with_others() -> Iterator[None]:
    """Ends this process with status `GONE` where a connection to another one breaks within.

    At once: whatever would be tidied up waits for the others, and nothing of it is needed to go on.
    """
    try:
        yield
    except Exception as error:
        if not is_loss(error):
            raise
        _leave(
            f"process {jax.process_index()} ends: another process of the run is gone "
            f"({first_line(error)[:200]}); start all of them again with the same command to go on "
            "from the last checkpoint",
            GONE,
        )


def is_loss(error: BaseException) -> bool:
    """Whether an error says that the connection to another process broke."""
    if jax.process_count() == 1:
        return False
    return not isinstance(error, UserError) and any(word in str(error) for word in _LOSSES)


def _leave(message: str, status: int) -> None:
    with contextlib.suppress(OSError):  # of a log on a full disk
        print(message, file=sys.stderr, flush=True)
        sys.stdout.flush()
    if is_first():
        time.sleep(_LAST_S)
    os._exit(status)


def is_first() -> bool:
    """Whether this is the process that writes files and speaks for the run."""
    return jax.process_index() == 0


def gather(value: Any) -> list[Any]:
    """What each process has to say, in the order of processes; all of them must call it.

    Args:
      value: JSON-like.
    """
    if jax.process_count() == 1:
        return [value]
    payload = json.dumps(value).encode()
    sizes = multihost_utils.process_allgather(np.array(len(payload), np.int32))
    width = 1 << int(sizes.max() - 1).bit_length()  # few widths: each is compiled once
    padded = np.zeros(width, np.uint8)
    padded[: len(payload)] = np.frombuffer(payload, np.uint8)
    rows = multihost_utils.process_allgather(padded)
    return [json.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)]


def speaker_of(share: tuple[int, int]) -> Callable[[Any], list[Any]] | None:
    """As `gather`, with one of the processes that have the same share; None where there is one.

    Args:
      share: (index, count) of this process, see `mesh.share`.
    """
    if jax.process_count() == 1:
        return None
    return lambda value: list(dict(gather([share[0], value])).values())


def gather_rows(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays [n, ...] of each process, one after the other: [processes * n, ...], bit for bit.

    Args:
      arrays: numbers, of equal shapes and types on all processes, which must all call it.
    """
    if jax.process_count() == 1:
        return arrays
    parts = {k: np.ascontiguousarray(v).reshape(-1).view(np.uint8) for k, v in arrays.items()}
    together = multihost_utils.process_allgather(np.concatenate(list(parts.values())))
    gathered, begin = {}, 0
    for name, part in parts.items():
        like = arrays[name]
        piece = np.ascontiguousarray(together[:, begin : begin + len(part)])
        gathered[name] = piece.view(like.dtype).reshape(-1, *like.shape[1:])
        begin += len(part)
    return gathered


def on_first(function: Callable[[], object]) -> None:
    """Calls `function` on the first process while the others wait.

    Raises:
      UserError: it did; on all processes.
    """
    if jax.process_count() == 1:
        function()
        return
    message = None
    if is_first():
        try:
            function()
        except UserError as error:
            message = str(error)
    message = gather(message)[0]
    if message is not None:
        raise UserError(message)
