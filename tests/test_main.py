"""The command line as users meet it: in a process of its own."""

from __future__ import annotations

import json
import os
import pathlib
import platform
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import cvrl_jax
from cvrl_jax.checkpoint import find_checkpoint, load_variables
from cvrl_jax.workdir import Workdir

REPO = pathlib.Path(__file__).resolve().parents[1]
TINY = "--config=configs/cvrl_r3d50.py:tiny"
# Of `tiny_config` in conftest.py, as flags.
FLAGS = (
    "steps=14",  # of all, for schedules are compiled in
    "batch_size=8",
    "data.frames=4",
    "data.stride=2.0",
    "data.size=16",
    "data.train_videos=16",
    "data.test_videos=8",
    "model.width=0.0625",
    "head.hidden=8",
    "head.layers=1",
    "head.out=8",
    "optimizer.warmup_steps=1",
    "eval.every=0",
    "eval.clips=1",
    "eval.train_clips=1",
    "eval.batch_size=8",
    "eval.knn_k=3",
    "eval.protocols=('knn',)",
    "checkpoint.every=2",
    "log.every=1",
    "log.tensorboard=False",
)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "main.py", *arguments]


def training(workdir: pathlib.Path, *fields: str) -> list[str]:
    return command(TINY, f"--workdir={workdir}", *(f"--config.{f}" for f in (*FLAGS, *fields)))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((TINY, "--config.optimizer.lr=0.1"), "did you mean 'learning_rate'"),
        ((TINY, "--config.optimizr.momentum=0.1"), "did you mean 'optimizer'"),
        ((TINY, "--config.steps.x=1"), "config.steps is one value"),
        ((TINY, "--config.steps=many"), "--config.steps=many"),
        ((TINY, "--config.optimizer=3"), "--config.optimizer=3"),
        (("--config=configs/cvrl_r3d50.py:tny",), "did you mean 'tiny'"),
        (("--config=configs/cvrl_r3d5.py",), "did you mean 'configs/cvrl_r3d50.py'"),
        (("--config", "configs/cvrl_r3d5.py"), "did you mean 'configs/cvrl_r3d50.py'"),
        (("--config=",), "--config=FILE.py is needed"),
        (("--config.steps=3",), "--config=FILE.py is needed"),
        ((TINY, "--workdr=x"), "Did you mean: workdir"),
        ((TINY, "--mode=evl"), "train|eval|embed|search"),
        ((TINY, "stray"), "unknown argument 'stray'"),
        ((TINY,), "--workdir=DIR is needed"),
        (("--workdir=WORKDIR",), "--config=FILE.py is needed"),
        (("--mode=describe",), "--config=FILE.py is needed"),
        (("--workdir=WORKDIR", "--mode=eval"), "no checkpoint in"),
        (("--config=configs/eval/knn.py:tny", "--mode=eval"), "did you mean 'tiny'"),
        (("--config=configs/eval/knn.py", "--config.data.rot=x", "--mode=eval"), "mean 'root'"),
        (("--workdir=WORKDIR", "--mode=export"), "needs --to=FORMAT and --output=FILE"),
        (
            ("--workdir=WORKDIR", "--mode=export", "--to=native", "--output=WORKDIR/x"),
            "no run, export or published weights",
        ),
        ((TINY, "--workdir=WORKDIR", "--config.init_from=torchvision:x.safetensors"), "no file x"),
        ((TINY, "--workdir=WORKDIR", "--config.batch_size=7"), "nearest valid"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_made(arguments, says, tmp_path):
    workdir = tmp_path / "run"
    ended = subprocess.run(
        command(*(a.replace("WORKDIR", str(workdir)) for a in arguments)),
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "8"},
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    assert says in ended.stderr
    assert not workdir.exists()


@pytest.mark.parametrize("arguments", [(TINY,), ("--mode=eval",), ("--mode=export", "--workdir=x")])
def test_a_missing_flag_is_told_without_waiting_for_jax(arguments):
    program = (
        "import sys, main\n"
        "try: main.run()\n"
        "except SystemExit as ended: assert str(ended).startswith('error: '), ended\n"
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, *arguments], cwd=REPO, check=True)


def test_describe_counts_parameters_without_a_workdir():
    ended = subprocess.run(
        command("--mode=describe", "--config=configs/vatt_mbs.py"),
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(ended.stdout)
    assert said["config"] == "vatt_mbs"
    assert round(said["parameters"]["video_tower"] / 1e6, 2) == 154.34
    assert said["parameters"]["total"] == sum(
        count for name, count in said["parameters"].items() if name != "total"
    )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """A run of 14 steps that nothing disturbs, and its result."""
    workdir = tmp_path_factory.mktemp("unbroken") / "run"
    ended = subprocess.run(
        training(workdir),
        cwd=REPO,
        check=True,
        capture_output=True,
        text=True,
    )
    assert len(ended.stdout.splitlines()) == 1
    return workdir, json.loads(ended.stdout)


def rows(workdir: pathlib.Path) -> list[dict]:
    return [
        {k: v for k, v in row.items() if not k.startswith("time/")}
        for row in Workdir(workdir).read_metrics()
    ]


def wait_for_step(process: subprocess.Popen, workdir: pathlib.Path, step: int) -> None:
    """Returns once a checkpoint is there and the row of `step` is written."""
    folder = Workdir(workdir)
    while process.poll() is None:
        lines = folder.metrics.read_text().splitlines()[:-1] if folder.metrics.exists() else []
        if folder.has_checkpoints() and lines and json.loads(lines[-1])["step"] >= step:
            return
        time.sleep(0.005)
    raise AssertionError("the run ended before it could be stopped")


def test_a_run_killed_twice_ends_bit_for_bit_like_an_unbroken_one(unbroken, tmp_path):
    workdir, result = unbroken
    broken = tmp_path / "run"
    for workers, step in ((0, 3), (2, 8)):
        process = subprocess.Popen(
            training(broken, f"data.workers={workers}"),
            cwd=REPO,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_step(process, broken, step)
        process.kill()
        process.wait()
    ended = subprocess.run(
        training(broken),
        cwd=REPO,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "going on from step" in ended.stderr
    assert json.loads(ended.stdout) | {"report": ""} == result | {"report": ""}
    assert rows(broken) == rows(workdir)
    ours, theirs = (load_variables(find_checkpoint(path))[0] for path in (broken, workdir))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_export_ends_with_one_line_of_json(unbroken, tmp_path):
    workdir, _ = unbroken
    output = tmp_path / "x.safetensors"
    ended = subprocess.run(
        command("--mode=export", "--to=safetensors", f"--workdir={workdir}", f"--output={output}"),
        cwd=REPO,
        check=True,
        capture_output=True,
        text=True,
    )
    (line,) = ended.stdout.splitlines()
    assert json.loads(line)["largest_difference"] == 0.0
    assert cvrl_jax.load(output).description.origin["step"] == 14


def test_eval_ends_with_one_line_of_json(unbroken, tmp_path):
    workdir, result = unbroken
    ended = subprocess.run(
        command(
            *("--mode=eval", "--config=configs/eval/knn.py:tiny", f"--checkpoint={workdir}"),
            *(f"--workdir={tmp_path}", "--config.eval.clips=1", "--config.eval.train_clips=1"),
            *("--config.eval.knn_k=3", "--config.data.test_videos=8"),
        ),
        cwd=REPO,
        check=True,
        capture_output=True,
        text=True,
    )
    (line,) = ended.stdout.splitlines()
    assert json.loads(line)["knn_top1"] == pytest.approx(result["knn_top1"], abs=1e-6)


def test_a_signal_ends_with_its_status_and_one_line(tmp_path):
    process = subprocess.Popen(
        training(tmp_path / "run", "data.workers=2", "eval.protocols=()"),
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_step(process, tmp_path / "run", 3)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the data workers get it too
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert [line for line in err.splitlines() if line.startswith("stopped by signal 2 at step")]
    assert "Traceback" not in err


def test_what_was_compiled_is_kept_for_the_next_start(tmp_path):
    program = (
        "import main; main._keep_compiled(); import jax; "
        "print(jax.config.jax_compilation_cache_dir)"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION")}
    for given in ({}, {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "own")}):
        ended = subprocess.run(
            [sys.executable, "-c", program],
            cwd=REPO,
            env=clean | {"HOME": str(tmp_path)} | given,
            check=True,
            capture_output=True,
            text=True,
        )
        folder = "own" if given else f".cache/cvrl_jax/compiled/{platform.node()}"
        assert ended.stdout.strip() == str(tmp_path / folder)


def test_tensorflow_is_never_imported():
    program = (
        "import sys, cvrl_jax.train, cvrl_jax.downstream.evaluate; "
        "sys.exit(any(m.split('.')[0] == 'tensorflow' for m in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=REPO, check=True)
