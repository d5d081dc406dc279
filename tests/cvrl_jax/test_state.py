"""The train step, with a method that the trainer has never seen."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from cvrl_jax.methods import create_method
from cvrl_jax.methods.base import Aux
from cvrl_jax.optim import create_optimizer
from cvrl_jax.parallel.mesh import make_mesh, put_batch, replicated
from cvrl_jax.plan.compiled import abstract_batch
from cvrl_jax.state import abstract_state, collapse_monitors, create_state, make_train_step

TRACES = []


@dataclasses.dataclass(frozen=True)
class Toy:
    """A linear map that keeps a queue and a counter of its own."""

    inputs: None = None

    def init(self, key):
        return {
            "params": {"w": jax.random.normal(key, (3, 2))},
            "queue": {"last": jnp.zeros((8, 2))},
            "clock": jnp.float32(0),
        }

    def loss(self, variables, batch, key):
        TRACES.append(1)
        x = batch["video"].astype(jnp.float32).mean((1, 2, 3, 4)) / 255
        z = x @ variables["params"]["w"]
        collections = {"queue": {"last": z}, "clock": variables["clock"]}
        return jnp.mean(z**2), Aux({"toy": z.sum()}, collections, z[:, None])

    def after_update(self, variables, progress):
        return variables | {"clock": variables["clock"] + progress}


@pytest.fixture(scope="module")
def mesh():
    return make_mesh()


def test_opaque_state_no_retracing_no_hidden_transfers_and_donation(mesh):
    TRACES.clear()
    optimizer, schedule = optax.with_extra_args_support(optax.sgd(0.1)), Partial(lambda step: 0.1)
    state = create_state(Toy(), optimizer, 0, mesh)
    step = make_train_step(Toy(), optimizer, schedule, 0, mesh, steps=4)
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(4):
        batch = {
            "video": rng.integers(0, 256, (8, 1, 2, 4, 4, 3), np.uint8),
            "index": np.array([0, 1, 2, 3, 4, 5, 6, -1]),
            "valid": np.arange(8) < 6,
            "error": np.full(8, ""),
        }
        before = state
        with jax.transfer_guard("disallow"):
            state, metrics = step(state, put_batch(batch, mesh))
        assert before.variables["params"]["w"].is_deleted()
        losses.append(float(metrics["loss"]))
    assert len(TRACES) == 1
    assert losses[-1] < losses[0]
    assert int(state.step) == 4
    assert float(state.variables["clock"]) == (1 + 2 + 3 + 4) / 4
    assert int(metrics["invalid_examples"]) == 1  # padding is none
    assert set(metrics) >= {"toy", "learning_rate", "gradient_norm", "feature_std"}
    assert float(metrics["toy"]) == pytest.approx(float(state.variables["queue"]["last"].sum()))


def test_the_abstract_state_is_that_of_the_real_one(mesh):
    optimizer = optax.adam(0.1)
    real, abstract = create_state(Toy(), optimizer, 0, mesh), abstract_state(Toy(), optimizer, mesh)
    assert jax.tree.structure(real) == jax.tree.structure(abstract)
    for a, b in zip(jax.tree.leaves(real), jax.tree.leaves(abstract), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert b.sharding == replicated(mesh)


def test_collapse_monitors_ignore_invalid_rows_and_see_collapse():
    rng = np.random.default_rng(0)
    f = rng.normal(size=(64, 2, 16)).astype(np.float32)
    valid = np.arange(64) < 60
    garbage = f.copy()
    garbage[60:] = 1e3
    a, b = collapse_monitors(f, valid), collapse_monitors(garbage, valid)
    assert float(a["feature_std"]) == pytest.approx(float(b["feature_std"]))
    assert float(a["feature_std"]) == pytest.approx(1.0, abs=0.1)
    same = collapse_monitors(np.ones((8, 2, 16), np.float32), np.ones(8, bool))
    assert float(same["feature_std"]) == pytest.approx(0.0, abs=1e-3)
    assert float(same["alignment"]) == pytest.approx(0.0, abs=1e-6)


def test_runs_that_differ_in_length_warm_up_peak_and_seed_share_one_program(mesh, tiny_config):
    def program(method="byol", **changes):
        config = tiny_config(method, **changes)
        made = create_method(config)
        optimizer, schedule = create_optimizer(config.optimizer, config.steps, config.batch_size)
        step = make_train_step(made, optimizer, schedule, config.seed, mesh, steps=config.steps)
        state = abstract_state(made, optimizer, mesh)
        batch = abstract_batch(made.inputs, config.batch_size, mesh)
        return step.trace(state, batch).lower().as_text()

    first = program()
    assert first == program(
        steps=1000, seed=7, optimizer__warmup_steps=0, optimizer__learning_rate=0.5
    )
    assert first != program(optimizer__momentum=0.5, optimizer__name="sgd")


def test_a_seed_is_that_of_the_key(mesh):
    state = create_state(Toy(), optax.sgd(0.1), 7, mesh)
    expected = jax.random.normal(jax.random.key(7), (3, 2))
    np.testing.assert_array_equal(state.variables["params"]["w"], expected)
