"""Random variables for towers from numpy: compiling an initialiser takes longer than a test."""

import jax
import numpy as np
import pytest


def _random_variables(module, *inputs, seed=0):
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
