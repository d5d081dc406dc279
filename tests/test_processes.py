"""Two and four real processes on a CPU, over gloo: what `docs/scale.md` says of many hosts."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from cvrl_jax.checkpoint import load_variables
from cvrl_jax.losses.info_nce import info_nce
from cvrl_jax.parallel import hosts
from cvrl_jax.train import train
from cvrl_jax.workdir import Workdir
from tests.processes import exchange, training

REPO = pathlib.Path(__file__).resolve().parents[1]
# One thread each; four processes that compile are slow on two cores, and compute next to nothing.
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "JAX_NUM_CPU_DEVICES": "1",
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
}
LIMIT_S = 400
# Biases that a BatchNorm or the softmax over keys takes away again: their gradient is rounding, and
# LARS makes it as large as any other.
NO_GRADIENT = ("['dense0']['bias']", "['key']['bias']", "['encoder']['norm']['bias']")


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended: its status, what it said, and when."""

    status: int
    out: str
    err: str
    at: float


def launch(script: str, processes: int, folder: pathlib.Path, *arguments: str) -> list[Ended]:
    """Starts the processes of a run, and waits for all of them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    running, logs = [], []
    for process in range(processes):
        logs.append([(folder / f"{script}_{process}.{name}").open("w+") for name in ("out", "err")])
        running.append(
            subprocess.Popen(
                [
                    *(sys.executable, "-m", f"tests.processes.{script}", coordinator),
                    *(str(processes), str(process), str(folder), *arguments),
                ],
                cwd=REPO,
                env=ENVIRONMENT,
                stdout=logs[-1][0],
                stderr=logs[-1][1],
            )
        )
    ends: dict[int, float] = {}
    began = time.time()
    try:
        while len(ends) < processes and time.time() < began + LIMIT_S:
            for number, one in enumerate(running):
                if number not in ends and one.poll() is not None:
                    ends[number] = time.time()
            time.sleep(0.05)
    finally:
        for one in running:
            one.kill()
            one.wait()
    ended = []
    for number, (one, files) in enumerate(zip(running, logs)):
        said = []
        for file in files:
            file.seek(0)
            said.append(file.read())
            file.close()
        ended.append(Ended(one.returncode, said[0], said[1], ends.get(number, time.time())))
    return ended


def tail(ended: list[Ended]) -> str:
    return "\n".join(f"--- {one.status}\n{one.err[-3000:]}" for one in ended)


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> tuple[pathlib.Path, list[Ended]]:
    """Three runs of two processes: an unbroken one, one that is stopped, one that is killed."""
    folder = tmp_path_factory.mktemp("story")
    ended = launch("training", 2, folder, "unbroken", "stopped", "killed")
    assert (folder / "killed_at").exists(), tail(ended)
    return folder, ended


@pytest.fixture(scope="module")
def gone_on(story, tmp_path_factory) -> pathlib.Path:
    """The same runs, started again in new processes."""
    folder = tmp_path_factory.mktemp("again") / "story"
    shutil.copytree(story[0], folder)
    ended = launch("training", 2, folder, "again")
    assert [one.status for one in ended] == [0, 0], tail(ended)
    return folder


@pytest.fixture
def without_report(monkeypatch):
    monkeypatch.setattr("cvrl_jax.reports.run.write", lambda *_: None)


def check_equal(ours: pathlib.Path, alone: pathlib.Path, step: int) -> None:
    """Rows and parameters within rounding: sums over processes are made in another order."""
    mine, others = rows(ours), rows(alone)
    assert [row["step"] for row in mine] == [row["step"] for row in others]
    for one, other in zip(mine, others):
        assert one.keys() == other.keys()
        for name in one:
            # A dozen steps of float32 carry rounding on.
            np.testing.assert_allclose(one[name], other[name], rtol=2e-3, atol=2e-4, err_msg=name)
    a, b = (
        jax.tree_util.tree_leaves_with_path(final(run, step)["params"]) for run in (ours, alone)
    )
    for (path, x), (_, y) in zip(a, b, strict=True):
        if not jax.tree_util.keystr(path).endswith(NO_GRADIENT):
            np.testing.assert_allclose(x, y, atol=1e-5, err_msg=jax.tree_util.keystr(path))


def rows(workdir: pathlib.Path) -> list[dict]:
    return [
        {k: v for k, v in row.items() if not k.startswith("time/")}
        for row in Workdir(workdir).read_metrics()
    ]


def final(workdir: pathlib.Path, step: int = training.STEPS) -> dict:
    return load_variables(workdir / "checkpoints" / str(step))[0]


@pytest.mark.usefixtures("without_report")
def test_training_equals_the_run_of_one_process(story, tiny_config, tmp_path):
    folder, _ = story
    train(training.config(tiny_config), tmp_path / "alone")
    check_equal(folder / "unbroken", tmp_path / "alone", training.STEPS)
    assert "knn_top1" in rows(folder / "unbroken")[-1]


def test_each_reads_its_own_share_and_the_first_alone_speaks(story):
    folder, _ = story
    both = [json.loads((folder / f"unbroken{k}.json").read_text()) for k in range(2)]
    assert all(len(one["seen"]) == 12 for one in both)
    for first, second in zip(both[0]["seen"], both[1]["seen"]):
        assert len(first) == len(second) == 4
        assert not set(first) & set(second)
    assert both[0]["result"]["step"] == 12
    assert both[1]["result"] == {}
    assert sum(row["step"] == 1 for row in rows(folder / "unbroken")) == 1
    assert pathlib.Path(both[0]["result"]["report"]).is_file()


def test_a_signal_to_one_saves_and_stops_both_at_the_same_step(story):
    folder, _ = story
    first, second = (json.loads((folder / f"stopped{k}.json").read_text()) for k in range(2))
    assert first == second
    assert first["signal"] == signal.SIGTERM
    step = int(first["message"].partition("at step ")[2].partition(",")[0])
    assert 2 < step < 12
    assert (folder / "stopped/checkpoints" / str(step)).is_dir()


def test_a_killed_process_ends_the_other_within_a_minute_and_says_why(story):
    folder, ended = story
    first, second = ended
    assert second.status == -signal.SIGKILL
    assert first.status == hosts.GONE, tail(ended)
    assert first.at - float((folder / "killed_at").read_text()) < 60
    said = [line for line in first.err.splitlines() if "another process of the run is gone" in line]
    assert len(said) == 1
    assert "same command" in said[0]


@pytest.mark.parametrize("name", ["stopped", "killed", "damaged"])
def test_a_run_that_goes_on_ends_bit_for_bit_like_the_unbroken_one(gone_on, name):
    assert rows(gone_on / name) == rows(gone_on / "unbroken")
    jax.tree.map(np.testing.assert_array_equal, final(gone_on / name), final(gone_on / "unbroken"))
    assert (gone_on / name / "damaged_checkpoint_12").is_dir() == (name == "damaged")


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory) -> pathlib.Path:
    return tmp_path_factory.mktemp("exchanged")


@pytest.fixture(scope="module")
def exchanged(shared_folder) -> dict[int, list[dict]]:
    """What four processes with two devices each found, and then two with one, in one folder."""
    folder, found = shared_folder, {}
    for processes, devices in ((4, 2), (2, 1)):
        ended = launch("exchange", processes, folder, str(devices))
        assert [one.status for one in ended] == [0] * processes, tail(ended)
        found[processes] = [
            json.loads((folder / f"said_{processes}_{process}.json").read_text())
            for process in range(processes)
        ]
    return found


def test_processes_see_all_devices_and_share_a_batch(exchanged):
    for processes, devices in ((4, 8), (2, 2)):
        said = exchanged[processes]
        assert [one["devices"] for one in said] == [devices] * processes
        assert [one["share"] for one in said] == [[k, processes] for k in range(processes)]
        assert [one["first"] for one in said] == [True] + [False] * (processes - 1)
    assert [one["shared"] for one in exchanged[4]] == [[0, 2], [0, 2], [1, 2], [1, 2]]


def test_what_one_says_all_hear(exchanged):
    for processes, said in exchanged.items():
        everybody = [{"of": k, "much": "x" * k} for k in range(processes)]
        for one in said:
            assert one["heard"] == everybody
            assert one["rows"][0] == [k for k in range(processes) for _ in range(2)]
            assert one["rows"][1] == [True, False] * processes
            assert one["refused"] == "refused by process 0"


def test_the_loss_sees_the_negatives_of_all_processes(exchanged):
    z1, z2 = exchange.pairs()
    value, gradient = jax.value_and_grad(info_nce)(z1, z2)
    for said in exchanged.values():
        for way in ("gathered", "ring"):
            for one in said:
                np.testing.assert_allclose(one[way][0], value, rtol=1e-5)
            rows_of_all = np.concatenate([one[way][1] for one in said])
            np.testing.assert_allclose(rows_of_all, gradient, atol=1e-6)


def test_what_eight_devices_held_in_parts_two_restore_whole(exchanged):
    """Saved by four processes with FSDP, restored by four and by two as whole copies."""
    assert [one["held"] for one in exchanged[4]] == [(1 << 15) // 8] * 4
    for said in exchanged.values():
        assert all(one["restored"] and one["next"] == 24 for one in said)


@pytest.mark.usefixtures("without_report")
def test_training_of_four_equals_the_run_of_one_process(exchanged, shared_folder, tmp_path):
    train(exchange.few_steps(), tmp_path / "alone")
    check_equal(shared_folder / "four", tmp_path / "alone", 3)
    results = [one["result"] for one in exchanged[4]]
    assert results[0]["step"] == 3
    assert results[1:] == [{}] * 3
