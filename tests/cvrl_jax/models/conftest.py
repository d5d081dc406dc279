"""What tests of several models share."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def _random_variables(module, *inputs, seed=0):
    """From numpy: compiling an initialiser takes longer than a test."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        kind = path[-1].key
        if kind == "kernel":
            return rng.normal(0, np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape)
        low, high = {"scale": (0.5, 1.5), "var": (0.5, 2.0)}.get(kind, (-0.2, 0.2))
        return rng.uniform(low, high, leaf.shape)

    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs, False))
    return jax.tree.map_with_path(lambda p, s: draw(p, s).astype(np.float32), shapes)


@pytest.fixture(scope="session")
def random_variables():
    """`random_variables(module, *inputs)`: all scales, biases and running statistics matter."""
    return _random_variables


@pytest.fixture(scope="session")
def pairwise_sums():
    """Options of `jax.jit` for sums as XLA has them by default; the tests' emitters add in turn."""
    turned_off = "--xla_cpu_use_fusion_emitters=false" in os.environ["XLA_FLAGS"]
    return {"xla_cpu_use_fusion_emitters": True} if turned_off else {}


def _batch_norm_oracle(x, scale, bias, epsilon, valid=None):
    rows = x if valid is None else x[np.flatnonzero(valid)]
    axes = tuple(range(x.ndim - 1))
    mean, variance = rows.mean(axes), rows.var(axes)
    return scale * (x - mean) / jnp.sqrt(variance + epsilon) + bias, mean, variance


@pytest.fixture(scope="session")
def batch_norm_oracle():
    """(x, scale, bias, epsilon, valid) -> (normalised, mean, variance), as the paper has it."""
    return _batch_norm_oracle


def _pulled(f, args):
    value, pull = jax.vjp(f, *args)
    weights = np.random.default_rng(1).normal(size=value.shape)
    return value, *pull(jnp.asarray(weights, value.dtype))


@pytest.fixture(scope="session")
def pulled():
    """`pulled(f, args)`: f's value, and the gradients of a random sum of it."""
    return _pulled
