import json
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import ConfigDict

from cvrl_jax.observe.writers import JsonlWriter, MultiWriter, create_writers
from data_pipelines.errors import UserError


def config(**log):
    return ConfigDict({"seed": 1, "log": {"tensorboard": False, "wandb": False, **log}})


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_jsonl_takes_any_scalar_and_writes_null_for_no_number(tmp_path):
    writer = JsonlWriter(tmp_path / "new" / "metrics.jsonl")
    writer.write_scalars(1, {"a": 1, "b": np.float32(0.5), "c": jnp.array(2.0)})
    writer.write_scalars(np.int64(2), {"a": float("nan"), "b": -np.inf})
    writer.close()
    writer.close()
    assert lines(tmp_path / "new" / "metrics.jsonl") == [
        {"step": 1, "a": 1.0, "b": 0.5, "c": 2.0},
        {"step": 2, "a": None, "b": None},
    ]


def test_jsonl_can_be_read_while_the_run_goes_on(tmp_path):
    writer = JsonlWriter(tmp_path / "m.jsonl")
    writer.write_scalars(1, {"a": 1})
    assert lines(tmp_path / "m.jsonl") == [{"step": 1, "a": 1.0}]
    writer.close()


@given(torn=st.integers(0, 30), step=st.integers(-1, 6))
def test_a_resumed_file_equals_one_never_cut(tmp_path_factory, torn, step):
    path = tmp_path_factory.mktemp("run") / "m.jsonl"
    writer = JsonlWriter(path)
    for i in range(5):
        writer.write_scalars(i, {"loss": i / 2})
    writer.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - torn])
    writer = JsonlWriter(path)
    writer.truncate_after(step)
    complete = whole[: len(whole) - torn].count(b"\n")
    for i in range(min(step + 1, complete), 5):
        writer.write_scalars(i, {"loss": i / 2})
    writer.close()
    assert path.read_bytes() == whole


def test_create_writers_drops_later_steps_and_keeps_earlier_ones(tmp_path):
    for resume_step, steps in ((0, (10, 20, 30)), (20, (30,))):
        writers = create_writers(tmp_path, config(), resume_step)
        for step in steps:
            writers.write_scalars(step, {"run": resume_step})
        writers.flush()
        writers.close()
    assert [(x["step"], x["run"]) for x in lines(tmp_path / "metrics.jsonl")] == [
        (10, 0.0),
        (20, 0.0),
        (30, 20.0),
    ]


def test_tensorboard_files_are_written_without_tensorflow(tmp_path):
    writers = create_writers(tmp_path, config(tensorboard=True), resume_step=5)
    writers.write_scalars(6, {"train/loss": jnp.array(0.25)})
    writers.flush()
    writers.close()
    (events,) = (tmp_path / "tensorboard").glob("events.out.tfevents*")
    assert b"train/loss" in events.read_bytes()
    assert "tensorflow" not in sys.modules


def test_wandb_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"pip install 'cvrl_jax\[wandb\]'"):
        create_writers(tmp_path, config(wandb=True))
    assert not list(tmp_path.iterdir())


def test_wandb_resumes_the_same_run(tmp_path, monkeypatch):
    started, logged = [], []

    class Run:
        def log(self, scalars, step):
            logged.append((step, scalars))

        def finish(self):
            logged.append("finished")

    def init(**settings):
        started.append(settings)
        return Run()

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    for _ in range(2):
        writer = create_writers(tmp_path / "project" / "run", config(wandb=True))
        writer.write_scalars(3, {"loss": np.float64(2)})
        writer.flush()
        writer.close()
    assert started[0] == started[1]
    assert (started[0]["project"], started[0]["name"]) == ("project", "run")
    assert started[0]["config"] == config(wandb=True).to_dict()
    assert logged == [(3, {"loss": 2.0}), "finished"] * 2


def test_multi_writer_reads_each_value_from_the_device_once():
    class Value:
        reads = 0

        def __float__(self):
            self.reads += 1
            return 1.5

    class Memory:
        def __init__(self):
            self.seen = []

        def write_scalars(self, step, scalars):
            self.seen.append((step, {k: float(v) for k, v in scalars.items()}))

    value, first, second = Value(), Memory(), Memory()
    MultiWriter([first, second]).write_scalars(4, {"x": value})
    assert value.reads == 1
    assert first.seen == second.seen == [(4, {"x": 1.5})]
