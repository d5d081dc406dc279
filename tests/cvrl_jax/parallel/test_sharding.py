"""A state split among the devices: which arrays, and that training does not notice."""

from __future__ import annotations

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from cvrl_jax import state as state_module
from cvrl_jax.checkpoint import Checkpoints
from cvrl_jax.methods import create_method
from cvrl_jax.parallel.mesh import make_mesh, put_batch, replicated
from cvrl_jax.parallel.sharding import state_shardings
from cvrl_jax.state import abstract_state, create_state, make_embed, make_train_step


def struct(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_large_arrays_are_split_along_their_longest_axis_that_divides():
    mesh = make_mesh()
    shapes = {
        "dense": struct(512, 2048),
        "conv": struct(3, 3, 512, 512),
        "odd": struct(2047, 512),
        "prime": struct(2047, 509),
        "bias": struct(2048),
        "step": struct(),
    }
    split = {k: s.spec for k, s in state_shardings(shapes, mesh, fsdp=True).items()}
    assert split == {
        "dense": P(None, "data"),
        "conv": P(None, None, "data"),
        "odd": P(None, "data"),
        "prime": P(),
        "bias": P(),
        "step": P(),
    }
    whole = state_shardings(shapes, mesh, fsdp=False)
    assert all(sharding == replicated(mesh) for sharding in whole.values())


@pytest.fixture
def small_arrays_too(monkeypatch):
    everything = functools.partial(state_shardings, smallest=1)
    monkeypatch.setattr(state_module, "state_shardings", everything)


def test_training_and_embedding_do_not_notice(tiny_config, small_arrays_too):
    config = tiny_config("vatt")
    # Not Adam, which makes a whole step of the sign of a gradient near zero.
    method, mesh, optimizer = create_method(config), make_mesh(), optax.sgd(0.1, momentum=0.9)
    spec, rng = method.inputs, np.random.default_rng(0)
    batch = {
        "video": rng.integers(0, 256, (8, *spec.clip_shape), np.uint8),
        "audio": rng.uniform(-1, 1, (8, 1, spec.audio.samples)).astype(np.float32),
        "audio_valid": np.ones((8, 1), bool),
        "text": rng.integers(1, 60, (8, 2, spec.text.tokens), np.int32),
        "valid": np.ones(8, bool),
    }
    ends = []
    for fsdp in (False, True):
        state = create_state(method, optimizer, 0, mesh, fsdp)
        abstract = abstract_state(method, optimizer, mesh, fsdp)
        of_both = jax.tree.map(lambda a, b: a.sharding == b.sharding, state, abstract)
        assert all(jax.tree.leaves(of_both))
        step = make_train_step(method, optimizer, optax.constant_schedule(1e-2), 0, mesh, fsdp)
        for _ in range(2):
            state, metrics = step(state, put_batch(batch, mesh))
        kernel = state.variables["params"]["video_tower"]["patch"]["kernel"]
        memory = state.opt_state[0].trace["video_tower"]["patch"]["kernel"]
        for array in (kernel, memory):
            held = array.addressable_shards[0].data.size
            assert held == array.size // (8 if fsdp else 1)
        embedded = make_embed(method, mesh)(state.variables, batch)
        ends.append((jax.device_get(metrics), embedded))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4), *ends)


def test_a_checkpoint_of_one_layout_is_restored_into_the_other(
    tiny_config, small_arrays_too, tmp_path
):
    method, mesh, optimizer = create_method(tiny_config()), make_mesh(), optax.adam(1e-2)
    split = create_state(method, optimizer, 0, mesh, fsdp=True)
    with contextlib.closing(Checkpoints(tmp_path / "checkpoints")) as checkpoints:
        checkpoints.save(1, split, {}, {})
    with contextlib.closing(Checkpoints(tmp_path / "checkpoints")) as checkpoints:
        restored = checkpoints.restore(abstract_state(method, optimizer, mesh, fsdp=False))
    assert restored is not None
    jax.tree.map(np.testing.assert_array_equal, restored[1], split)
    assert all(leaf.sharding == replicated(mesh) for leaf in jax.tree.leaves(restored[1]))
