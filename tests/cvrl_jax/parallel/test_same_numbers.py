"""Ten steps give the same numbers on every mesh, compiled once and without hidden transfers.

The tolerance: float32 keeps 24 bits (6e-8), and devices add up their shares in another order than
one device does. Ten steps of SGD carry that difference on; BatchNorm over 16 clips and gradients
through ReLUs magnify it about a thousandfold. At ten times this learning rate the residual network
is chaotic: there the same difference is 1 % of the loss after ten steps.
"""

from __future__ import annotations

import contextlib
import functools

import jax
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

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
OPTIMIZER = optax.with_extra_args_support(optax.sgd(2e-4, momentum=0.9))
SCHEDULE = Partial(lambda step: 2e-4)

CASES = [  # 8 x 1 and 2 x 4 are one program, so each method has one of them
    ("cvrl", (2, 4, 1), "data_parallel"),
    ("cvrl", (4, 2, 1), "fsdp"),
    ("cvrl", (2, 2, 2), "fsdp_tensor"),
    ("cvrl_vit", (8, 1, 1), "data_parallel"),
    ("cvrl_vit", (4, 2, 1), "fsdp"),
    ("cvrl_vit", (2, 2, 2), "fsdp_tensor"),
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
    # Of noise alone a network makes one feature for all, and BatchNorm then magnifies rounding.
    views, frames, *_ = spec.clip_shape
    noise, colour = (8, *spec.clip_shape), (8, views, frames, 1, 1, 3)
    return [
        {
            "video": (rng.integers(0, 64, noise) + rng.integers(0, 192, colour)).astype(np.uint8),
            "valid": valid,
            "index": np.arange(8),
        }
        for _ in range(STEPS)
    ]


@functools.cache
def method_of(name, tiny_config):
    """The method and its first state on the host."""
    # Few hidden units die together, and the gradient of a unit vector is one over its length.
    gentle = {"augment__recipe": "none", "head__hidden": 64, "method__temperature": 1.0}
    method = create_method(tiny_config(name, **gentle))
    return method, jax.device_get(create_state(method, OPTIMIZER, 0, mesh_of((1, 1, 1))))


@functools.cache
def trained(name, shape, preset, tiny_config):
    """(losses of ten steps, the last variables) on the host."""
    method, first = method_of(name, tiny_config)
    mesh, rules = mesh_of(shape), create_rules(preset)
    abstract = abstract_state(method, OPTIMIZER, mesh, rules)
    state = jax.tree.map(lambda x, like: jax.device_put(x, like.sharding), first, abstract)
    step = make_train_step(method, OPTIMIZER, SCHEDULE, 0, mesh, rules, steps=STEPS)
    losses = []
    for batch in batches(name, tiny_config):
        with jax.transfer_guard("disallow"):
            state, metrics = step(state, put_batch(batch, mesh))
        losses.append(metrics["loss"])
    assert step.jitted._cache_size() == 1  # one trace, one executable
    if preset == "fsdp_tensor" and name == "cvrl_vit":
        query = state.variables["params"]["tower"]["encoder"]["block0"]["attention"]["query"]
        assert query["kernel"].addressable_shards[0].data.size * 4 == query["kernel"].size
    return jax.device_get((losses, state.variables))


@pytest.mark.parametrize(("name", "shape", "preset"), CASES)
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
