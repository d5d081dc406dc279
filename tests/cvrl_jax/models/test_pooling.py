"""Both lowerings of the max-pool are one function behind a ReLU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.models.pooling import max_pool


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("sizes", [(8, 7), (5, 6)])
def test_split_equals_direct_in_value_and_gradient(sizes, padding):
    x = jax.random.normal(jax.random.key(0), (2, 3, *sizes, 4))

    def value_and_gradient(lowering):
        value, pull = jax.vjp(lambda x: max_pool(jax.nn.relu(x), padding, lowering), x)
        return value, *pull(jnp.cos(jnp.arange(value.size, dtype=value.dtype)).reshape(value.shape))

    for a, w in zip(value_and_gradient("split"), value_and_gradient("direct"), strict=True):
        np.testing.assert_allclose(a, w, atol=1e-6)


def test_the_greatest_of_a_window():
    x = jnp.arange(16.0).reshape(1, 1, 4, 4, 1)
    np.testing.assert_array_equal(max_pool(x, "same")[0, 0, :, :, 0], [[10, 11], [14, 15]])
