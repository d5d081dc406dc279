from __future__ import annotations

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.checkpoint import Checkpoints, find_checkpoint, load_variables
from cvrl_jax.parallel.mesh import make_mesh, replicated
from data_pipelines.errors import UserError


def make_state(value, size=1000):
    state = {"variables": {"params": {"w": jnp.full(size, float(value))}}, "step": jnp.int32(value)}
    return jax.device_put(state, replicated(make_mesh()))


def abstract(state):
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), state
    )


def fill(folder, steps, accuracies=None, name="knn_top1", **options):
    checkpoints = Checkpoints(folder, **options)
    for step in steps:
        metrics = {name: accuracies[step]} if accuracies and step in accuracies else {}
        if name != "knn_top1":
            metrics["knn_top1"] = 1 / step  # the best is the first; it does not count
        checkpoints.save(step, make_state(step), {"position": step}, metrics)
    checkpoints.wait()
    return checkpoints


def truncate(checkpoint):
    for file in (checkpoint / "state").rglob("*"):
        if file.is_file():
            os.truncate(file, file.stat().st_size // 2)


def test_keeps_the_newest_and_the_best(tmp_path):
    checkpoints = fill(tmp_path / "c", range(1, 6), {2: 0.9, 3: 0.5, 4: 0.6}, keep=2)
    assert checkpoints.steps == [2, 4, 5]
    checkpoints.close()
    checkpoints = fill(tmp_path / "d", range(1, 6), {2: 0.9}, keep=1, keep_best=False)
    assert checkpoints.steps == [5]
    checkpoints.close()


@pytest.mark.parametrize("name", ["text_to_video_r1", "audio_to_video_r1"])
def test_where_retrieval_is_measured_it_says_which_is_the_best(tmp_path, name):
    accuracies = dict.fromkeys(range(1, 6), 0.1) | {3: 0.9}
    checkpoints = fill(tmp_path / "c", range(1, 6), accuracies, name, keep=1)
    assert checkpoints.steps == [3, 5]
    checkpoints.close()


def test_restores_the_newest(tmp_path):
    checkpoints = fill(tmp_path / "c", [1, 2])
    step, state, host = checkpoints.restore(abstract(make_state(0)))
    assert step == host["position"] == 2
    assert "jax" in host["versions"]
    np.testing.assert_array_equal(state["variables"]["params"]["w"], np.full(1000, 2.0))
    checkpoints.close()


def test_nothing_to_restore(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c")
    assert checkpoints.restore(abstract(make_state(0))) is None
    checkpoints.close()


def test_falls_back_from_a_truncated_checkpoint_and_can_save_it_again(tmp_path, caplog):
    fill(tmp_path / "c", [1, 2]).close()
    truncate(tmp_path / "c" / "2")
    checkpoints = Checkpoints(tmp_path / "c")
    step, *_ = checkpoints.restore(abstract(make_state(0)))
    assert step == 1
    assert str(tmp_path / "c" / "2") in caplog.text
    assert (tmp_path / "damaged_checkpoint_2").is_dir()
    checkpoints.save(2, make_state(2), {}, {})
    checkpoints.close()
    assert checkpoints.steps == [1, 2]


def test_all_damaged_is_an_error_that_stays_one(tmp_path):
    fill(tmp_path / "c", [1, 2]).close()
    truncate(tmp_path / "c" / "1")
    truncate(tmp_path / "c" / "2")
    for _ in range(2):
        checkpoints = Checkpoints(tmp_path / "c")
        with pytest.raises(UserError, match=r"none of the checkpoints \[1, 2\].*--overwrite"):
            checkpoints.restore(abstract(make_state(0)))
        checkpoints.close()
    with pytest.raises(UserError, match="cannot be read"):
        load_variables(find_checkpoint(tmp_path / "c"))


def test_a_state_of_other_shapes_is_not_called_damaged(tmp_path):
    checkpoints = fill(tmp_path / "c", [1])
    with pytest.raises(UserError, match="another network"):
        checkpoints.restore(abstract(make_state(0, size=7)))
    assert checkpoints.steps == [1]
    checkpoints.close()


_FULL_DISK = """
import pathlib, resource, signal, sys
import jax.numpy as jnp, numpy as np
from cvrl_jax.checkpoint import Checkpoints
from data_pipelines.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
checkpoints = Checkpoints(pathlib.Path(sys.argv[1]))
noise = jnp.asarray(np.random.default_rng(0).random(2_000_000, np.float32))
checkpoints.save(1, {"variables": jnp.arange(10.0)}, {}, {})
checkpoints.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
try:
    checkpoints.save(2, {"variables": noise}, {}, {})
    checkpoints.save(3, {"variables": noise}, {}, {})
except UserError as error:
    print(error)
finally:
    checkpoints.close()
"""


def test_a_full_disk_is_said_and_leaves_the_checkpoint_before_whole(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(tmp_path / "c")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "could not be written" in ended.stdout, ended.stderr[-2000:]
    assert "the last whole one is step 1" in ended.stdout
    assert ended.returncode == 0  # closing says nothing more
    assert not list((tmp_path / "c").glob("2*"))
    assert find_checkpoint(tmp_path / "c").name == "1"
    np.testing.assert_array_equal(
        load_variables(find_checkpoint(tmp_path / "c"))[0], np.arange(10.0)
    )


def test_one_device_reads_what_eight_wrote_and_the_reverse(tmp_path):
    fill(tmp_path / "eight", [3]).close()
    one = Checkpoints(tmp_path / "one")
    one.save(3, jax.device_put(make_state(3), jax.devices()[0]), {"position": 3}, {})
    one.close()
    program = (
        "import sys, pathlib, jax; from cvrl_jax.checkpoint import *; "
        "v, h = load_variables(find_checkpoint(pathlib.Path(sys.argv[1]))); "
        "assert jax.device_count() == 1; assert (v['params']['w'] == 3.0).all()"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "eight")], check=True)
    variables, host = load_variables(find_checkpoint(tmp_path / "one"))
    np.testing.assert_array_equal(variables["params"]["w"], np.full(1000, 3.0))
    assert host["position"] == 3


def test_find_checkpoint(tmp_path):
    for step in (2, 10):
        (tmp_path / "checkpoints" / str(step)).mkdir(parents=True)
    newest = tmp_path / "checkpoints" / "10"
    assert find_checkpoint(tmp_path) == find_checkpoint(tmp_path / "checkpoints") == newest
    assert find_checkpoint(newest) == newest
    with pytest.raises(UserError, match="no checkpoint in"):
        find_checkpoint(tmp_path / "nothing")
