"""Ten steps give the same numbers on every mesh, compiled once and without hidden transfers.

The tolerance: float32 keeps 24 bits (6e-8), and devices add up their shares in another order than
one device does. Ten steps of plain SGD carry that difference on; BatchNorm over 16 clips and
gradients that pass through ReLUs magnify it about a thousandfold.
"""

from __future__ import annotations

import contextlib
import functools

import jax
import numpy as np
import optax
import pytest

from cvrl_jax import state as state_module
from cvrl_jax.checkpoint import Checkpoints
from cvrl_jax.methods import create_method
from cvrl_jax.parallel.mesh import AXES, make_mesh, put_batch, replicated
from cvrl_jax.parallel.rules import create_rules
from cvrl_jax.parallel.sharding import state_shardings
from cvrl_jax.state import abstract_state, create_state, make_embed, make_train_step

STEPS = 10
TOLERANCE = 2e-4
# Not Adam, which makes a whole step of the sign of a gradient near zero.
OPTIMIZER, SCHEDULE = optax.sgd(0.05, momentum=0.9), optax.constant_schedule(0.05)

MESHES = [
    ((8, 1, 1), "data_parallel"),
    ((2, 4, 1), "data_parallel"),
    ((4, 2, 1), "fsdp"),
    ((2, 2, 2), "fsdp_tensor"),
]


@pytest.fixture(autouse=True)
def _small_arrays_too(monkeypatch):
    everything = functools.partial(state_shardings, smallest=1)
    monkeypatch.setattr(state_module, "state_shardings", everything)


def mesh_of(shape):
    devices = jax.devices()[: int(np.prod(shape))]
    return make_mesh(dict(zip(AXES, shape, strict=True)), devices)


@functools.cache
def batches(name, tiny_config):
    spec, rng = create_method(tiny_config(name)).inputs, np.random.default_rng(0)
    valid = np.arange(8) != 3  # one unreadable example
    return [
        {"video": rng.integers(0, 256, (8, *spec.clip_shape), np.uint8), "valid": valid}
        for _ in range(STEPS)
    ]


@functools.cache
def trained(name, shape, preset, tiny_config):
    """(losses of ten steps, the last variables) on the host."""
    method, mesh = create_method(tiny_config(name, augment__recipe="linear")), mesh_of(shape)
    rules = create_rules(preset)
    state = create_state(method, OPTIMIZER, 0, mesh, rules)
    step = make_train_step(method, OPTIMIZER, SCHEDULE, 0, mesh, rules)
    losses = []
    for batch in batches(name, tiny_config):
        with jax.transfer_guard("disallow"):
            state, metrics = step(state, put_batch(batch, mesh))
        losses.append(metrics["loss"])
    assert step._cache_size() == 1  # one trace, one executable
    if preset == "fsdp_tensor" and name == "cvrl_vit":
        query = state.variables["params"]["tower"]["encoder"]["block0"]["attention"]["query"]
        assert query["kernel"].addressable_shards[0].data.size * 4 == query["kernel"].size
    return jax.device_get((losses, state.variables))


@pytest.mark.parametrize("name", ["cvrl", "cvrl_vit"])
@pytest.mark.parametrize(("shape", "preset"), MESHES)
def test_ten_steps_agree_with_one_device(name, shape, preset, tiny_config):
    losses, variables = trained(name, shape, preset, tiny_config)
    expected_losses, expected = trained(name, (1, 1, 1), "data_parallel", tiny_config)
    assert abs(expected_losses[0] - expected_losses[-1]) > 0.01
    np.testing.assert_allclose(losses, expected_losses, rtol=TOLERANCE)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE),
        variables,
        expected,
    )


def test_a_state_of_eight_devices_goes_on_on_two(tiny_config, tmp_path):
    """FSDP on a mesh of 2 x 4, restored as whole copies on two devices."""
    method, rules = create_method(tiny_config("cvrl_vit")), create_rules("fsdp")
    split = create_state(method, OPTIMIZER, 0, mesh_of((2, 4, 1)), rules)
    kernel = split.variables["params"]["head"]["dense0"]["kernel"]
    assert kernel.addressable_shards[0].data.size * 4 == kernel.size
    with contextlib.closing(Checkpoints(tmp_path / "checkpoints")) as checkpoints:
        checkpoints.save(1, split, {}, {})
    two = mesh_of((1, 2, 1))
    with contextlib.closing(Checkpoints(tmp_path / "checkpoints")) as checkpoints:
        restored = checkpoints.restore(abstract_state(method, OPTIMIZER, two))
    assert restored is not None
    jax.tree.map(np.testing.assert_array_equal, *jax.device_get((restored[1], split)))
    assert all(leaf.sharding == replicated(two) for leaf in jax.tree.leaves(restored[1]))
    batch = batches("cvrl_vit", tiny_config)[0]
    here, there = (
        make_embed(method, mesh)(variables, batch)["video"]
        for mesh, variables in (
            (two, restored[1].variables),
            (mesh_of((2, 4, 1)), split.variables),
        )
    )
    np.testing.assert_allclose(here, there, rtol=1e-5, atol=1e-5)
