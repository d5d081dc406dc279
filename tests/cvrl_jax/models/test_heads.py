"""The projection head counts as CVRL's does; the linear head normalises when told to."""

import jax
import jax.numpy as jnp
import numpy as np

from cvrl_jax.models import LinearHead, ProjectionHead


def test_cvrl_head_has_12_86_million_parameters():
    shapes = jax.eval_shape(
        lambda: ProjectionHead().init(jax.random.key(0), jnp.zeros((1, 2048)), False)
    )
    sizes = [p.size for p in jax.tree.leaves(shapes["params"])]
    assert sum(sizes) == 3 * (2048 * 2048 + 3 * 2048) + 2048 * 128 + 128


def test_no_layers_is_one_dense_layer():
    head = ProjectionHead(layers=0, out=3)
    x = jax.random.normal(jax.random.key(1), (4, 5))
    variables = head.init(jax.random.key(0), x, False)
    dense = variables["params"]["out"]
    assert set(variables) == {"params"}
    np.testing.assert_allclose(
        head.apply(variables, x, False), x @ dense["kernel"] + dense["bias"], atol=1e-6
    )


def test_hidden_layer_is_dense_norm_relu_and_the_output_is_left_alone():
    head = ProjectionHead(hidden=6, layers=1, out=3)
    x = jax.random.normal(jax.random.key(1), (16, 5))
    variables = head.init(jax.random.key(0), x, False)
    p = variables["params"]
    z, updates = head.apply(variables, x, True, mutable=["batch_stats"])
    h = x @ p["dense0"]["kernel"]
    normed = (h - h.mean(0)) / jnp.sqrt(h.var(0) + 1e-5)
    expected = jnp.maximum(normed, 0) @ p["out"]["kernel"]
    np.testing.assert_allclose(z, expected, atol=1e-5)
    running = updates["batch_stats"]["norm0"]["bn"]["mean"]
    np.testing.assert_allclose(running, (1 - 0.997) * h.mean(0), atol=1e-6)


def test_head_computes_in_float32_whatever_comes_in():
    head = ProjectionHead(hidden=8, layers=2, out=4)
    z, variables = head.init_with_output(jax.random.key(0), jnp.ones((2, 8), jnp.bfloat16), False)
    assert z.dtype == jnp.float32
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_invalid_examples_do_not_enter_the_head_statistics():
    head = ProjectionHead(hidden=8, layers=2, out=4)
    x = jax.random.normal(jax.random.key(1), (6, 5))
    variables = head.init(jax.random.key(0), x, False)
    alone, alone_stats = head.apply(variables, x, True, mutable=["batch_stats"])
    padded = jnp.concatenate([jnp.full((1, 5), 100.0), x])
    valid = jnp.arange(7) > 0
    z, stats = head.apply(variables, padded, True, valid, mutable=["batch_stats"])
    np.testing.assert_allclose(z[1:], alone, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), stats, alone_stats)


def test_linear_head_normalises_only_when_told_and_survives_a_zero_feature():
    x = jnp.concatenate([jnp.zeros((1, 5)), jax.random.normal(jax.random.key(1), (3, 5))])
    normalising, plain = LinearHead(3, normalize=True), LinearHead(3)
    variables = plain.init(jax.random.key(0), x, False)
    np.testing.assert_allclose(
        normalising.apply(variables, 7 * x, False),
        normalising.apply(variables, x, False),
        atol=1e-6,
    )
    unit = x[1:] / jnp.linalg.norm(x[1:], axis=-1, keepdims=True)
    np.testing.assert_allclose(
        normalising.apply(variables, x, False)[1:], plain.apply(variables, unit, False), atol=1e-6
    )
    gradient = jax.grad(lambda x: normalising.apply(variables, x, False).sum())(x)
    assert np.isfinite(gradient).all()


def test_dropout_acts_in_training_only():
    head = LinearHead(3, dropout=0.5)
    x = jnp.ones((4, 64))
    variables = head.init(jax.random.key(0), x, False)
    still = head.apply(variables, x, False)
    dropped = head.apply(variables, x, True, rngs={"dropout": jax.random.key(1)})
    assert not np.allclose(still, dropped)


def test_a_batch_without_a_valid_example_stays_finite():
    head = ProjectionHead(hidden=8, layers=1, out=4)
    x = jax.random.normal(jax.random.key(0), (4, 6))
    variables = head.init(jax.random.key(1), x, False)
    z, stats = head.apply(variables, x, True, jnp.zeros(4, bool), mutable=["batch_stats"])
    for array in jax.tree.leaves((z, stats)):
        assert jnp.isfinite(array).all()
