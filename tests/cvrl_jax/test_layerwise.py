from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cvrl_jax.layerwise import layer_scales, scale_by_layer
from cvrl_jax.methods import create_method


def test_layers_of_a_residual_tower_from_the_bottom(tiny_config):
    params = jax.eval_shape(
        create_method(tiny_config("supervised"), classes=4).init, jax.random.key(0)
    )["params"]
    scales = layer_scales(params, 0.5)
    tower = {name: set(jax.tree.leaves(value)) for name, value in scales["tower"].items()}
    assert set(jax.tree.leaves(scales["head"])) == {1.0}
    # the head, four blocks of one stage each (R3D-10), the stem
    assert tower == {f"stage{s}_block0": {0.5 ** (4 - s)} for s in range(4)} | {"stem": {0.5**5}}


def test_layers_of_a_transformer_from_the_bottom():
    leaf = {"kernel": 0}
    params = {
        "head": leaf,
        "tower": {
            "patch": leaf,
            "positions": {"axis0": 0},
            "encoder": {"block0": leaf, "block1": leaf, "block10": leaf, "norm": leaf},
            "post_projection": leaf,
        },
    }
    scales = layer_scales(params, 0.1)
    encoder = {k: v["kernel"] for k, v in scales["tower"]["encoder"].items()}
    assert encoder == pytest.approx({"norm": 1e-1, "block10": 1e-2, "block1": 1e-3, "block0": 1e-4})
    assert scales["tower"]["post_projection"] == scales["tower"]["encoder"]["norm"]
    assert scales["tower"]["patch"]["kernel"] == pytest.approx(1e-5)
    assert scales["tower"]["positions"]["axis0"] == pytest.approx(1e-5)


def test_updates_are_those_of_lower_learning_rates():
    params = {"head": {"kernel": jnp.ones(2)}, "tower": {"stem": {"kernel": jnp.ones(2)}}}
    grads = jax.tree.map(lambda p: 3.0 * p, params)
    for make in (lambda rate: optax.sgd(rate, 0.9), optax.adam):
        optimizer = optax.chain(make(0.1), scale_by_layer(0.25))
        state = optimizer.init(params)
        by_rate = {rate: make(rate).init(params) for rate in (0.1, 0.025)}
        for _ in range(3):
            updates, state = optimizer.update(grads, state, params)
            for rate, part in ((0.1, "head"), (0.025, "tower")):
                expected, by_rate[rate] = make(rate).update(grads, by_rate[rate], params)
                for got, want in zip(
                    jax.tree.leaves(updates[part]), jax.tree.leaves(expected[part])
                ):
                    np.testing.assert_allclose(got, want, rtol=1e-6)
