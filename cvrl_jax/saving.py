"""What several processes agree on about a save: that there is room for it, and how it ended.

Orbax lets a process whose write failed wait for the others at its next barrier, and the others for
it at theirs, for twenty minutes. Here the failed one passes its barriers by, and all hear of it.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import errno
import math
import pathlib
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import jax
import orbax.checkpoint as orbax
from orbax.checkpoint import v1 as ocp

from cvrl_jax.parallel import hosts
from data_pipelines.errors import UserError, first_line

FREE_SPACE = "free disk space and run the same command again"

_SMALLEST_PART_BYTES = 1 << 20
_ROUND_S = 0.5
_BESIDE_ARRAYS_BYTES = 4 << 20  # metadata, position in the data, rows of the log until the next one
_FULL = (errno.ENOSPC, errno.EDQUOT)


def context(alone: bool = False) -> ocp.Context:
    """Orbax with the item `host` written as JSON (its default for a dict is an array store).

    Small arrays are written by one device: cut into parts for all that hold a copy, each part is a
    computation of its own. `alone`: what is done in it waits for no other process.
    """
    registry = ocp.handlers.local_registry()
    registry.add(ocp.handlers.JsonHandler, checkpointable_name="host")
    made = ocp.Context()
    made.checkpointables.registry = registry
    several = jax.process_count() > 1
    if several and alone:
        made.multiprocessing.active_processes = {jax.process_index()}
        made.multiprocessing.primary_host = jax.process_index()
    made.array.saving.min_slice_bytes_for_replica_parallel = _SMALLEST_PART_BYTES
    return ocp.Context(made, async_options=_AsyncOptions()) if several else made


class _AsyncOptions(ocp.options.AsyncOptions):
    """Orbax's own but for the barriers of its threads."""

    def v0(self) -> orbax.options.AsyncOptions:
        wait = orbax.multihost.get_barrier_sync_fn()

        def wait_unless_failed(*, key: str, timeout_ms: int) -> None:
            failure = sys.exc_info()[1]  # of the save; Orbax comes here while it is tidying up
            if failure is not None:
                raise failure
            wait(key=key, timeout_ms=timeout_ms)

        return dataclasses.replace(super().v0(), barrier_sync_fn=wait_unless_failed)


def settle(pending: Any) -> str | None:
    """Waits for the end of a save; all processes must call it together.

    Args:
      pending: Orbax's response.

    Returns:
      None, or in one line why it failed, on whichever process: the same on all.

    Raises:
      Exception: the connection to another process broke (see `hosts.is_loss`).
    """
    with _in_background(pending.result) as ending:
        while True:
            several = jax.process_count() > 1
            concurrent.futures.wait([ending], _ROUND_S if several else None)
            error = ending.exception() if ending.done() else None
            if error is not None and hosts.is_loss(error):
                raise error
            said = hosts.gather([ending.done(), error and kind_and_first_line(error)])
            failure = next((message for _, message in said if message), None)
            if failure or all(done for done, _ in said):
                return failure


@contextlib.contextmanager
def _in_background(function: Any) -> Iterator[concurrent.futures.Future]:
    pool = concurrent.futures.ThreadPoolExecutor(1)
    try:
        yield pool.submit(function)
    finally:
        pool.shutdown(wait=False)  # where another process failed, it does not end


def lacking(folder: pathlib.Path, state: Any) -> str | None:
    """Whether there is too little room for a save; all processes must call it together.

    Args:
      folder: of the checkpoints.
      state: pytree of arrays, or of their shapes and types.

    Returns:
      None, or in one line how much is missing: the same on all processes. Quotas are not seen.
    """
    sizes = [math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)]
    needed = sum(sizes) + _BESIDE_ARRAYS_BYTES
    seen = [free for free in hosts.gather(_free_bytes(folder)) if free is not None]
    if not seen or min(seen) >= needed:
        return None
    return f"it takes up to {needed / 1e6:,.1f} MB, and {min(seen) / 1e6:,.1f} MB are free"


def _free_bytes(folder: pathlib.Path) -> int | None:
    """None where the file system does not say."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free if usage.total else None


@contextlib.contextmanager
def full_disk_is_told() -> Iterator[None]:
    """Turns the failure of any write for lack of space into a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        where = f" ({error.filename})" if error.filename else ""
        raise UserError(f"the disk is full{where}: {error.strerror}; {FREE_SPACE}") from error


def kind_and_first_line(error: BaseException) -> str:
    """The kind of an error and the beginning of what it says."""
    kind = type(error).__name__
    return f"{kind}: {first_line(error)[:300]}" if str(error).strip() else kind
