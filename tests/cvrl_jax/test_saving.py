"""Room for a save, and how its end is told; several processes are in tests/test_processes.py."""

from __future__ import annotations

import errno
import os
import shutil

import jax
import jax.numpy as jnp
import pytest

from cvrl_jax import saving
from cvrl_jax.checkpoint import Checkpoints, find_checkpoint
from data_pipelines.errors import UserError

STATE = {"variables": jnp.zeros((1 << 20,))}  # 4 MB


def disk(free, total=1 << 40):
    return lambda folder: shutil._ntuple_diskusage(total, total - free, free)


@pytest.mark.parametrize(("free", "said"), [(1 << 30, None), (5_000_000, "8.4 MB, and 5.0 MB")])
def test_a_save_needs_room_for_the_whole_state(tmp_path, monkeypatch, free, said):
    monkeypatch.setattr(shutil, "disk_usage", disk(free))
    found = saving.lacking(tmp_path, jax.eval_shape(lambda: STATE))
    assert found is None if said is None else said in (found or "")


def test_a_file_system_that_does_not_say_is_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", disk(0, total=0))
    assert saving.lacking(tmp_path, STATE) is None
    assert saving.lacking(tmp_path / "nothing", STATE) is None


def test_without_room_nothing_is_begun_and_the_checkpoint_before_stays(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path / "c")
    checkpoints.save(1, STATE, {}, {})
    checkpoints.wait()
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", disk(1000))
        with pytest.raises(UserError, match=r"checkpoint 2 .*0\.0 MB are free; the last .* step 1"):
            checkpoints.save(2, STATE, {}, {})
    checkpoints.close()
    assert find_checkpoint(tmp_path / "c").name == "1"
    assert not list((tmp_path / "c").glob("2*"))


def test_a_failed_save_waits_for_no_other_process(monkeypatch):
    waited = []
    monkeypatch.setattr(
        saving.orbax.multihost, "get_barrier_sync_fn", lambda: lambda **key: waited.append(key)
    )
    barrier = saving._AsyncOptions().v0().barrier_sync_fn
    assert barrier is not None
    barrier(key="a", timeout_ms=1)
    assert waited == [{"key": "a", "timeout_ms": 1}]

    def save():
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:  # as Orbax tidies up
            barrier(key="b", timeout_ms=1)

    with pytest.raises(OSError, match="No space"):
        save()
    assert len(waited) == 1


def test_a_full_disk_is_one_line_and_other_errors_stay():
    with (
        pytest.raises(UserError, match=r"disk is full \(a\.json\).*same command"),
        saving.full_disk_is_told(),
    ):
        raise OSError(errno.ENOSPC, "No space left on device", "a.json")
    with pytest.raises(PermissionError), saving.full_disk_is_told():
        raise PermissionError(errno.EACCES, "no")
