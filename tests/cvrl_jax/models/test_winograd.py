"""Two neighbours at once are the sums of the definition, along every axis and any two."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.models.winograd import two_at_once

SIZES = (3, 4, 5)


def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return x @ kernel.reshape(kernel.shape[-2:])


def inputs(axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    window = [3 if axis in axes else 1 for axis in (1, 2, 3)]
    return (
        rng.normal(size=(2, *SIZES, 3)).astype("f4"),
        rng.normal(size=(*window, 3, 4)).astype("f4"),
    )


def by_definition(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """In float64, with a zero before and after where the window has three entries."""
    around = [(0, 0), *((k // 2, k // 2) for k in kernel.shape[:3]), (0, 0)]
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(x.astype("f8"), around), kernel.shape[:3], axis=(1, 2, 3)
    )
    return np.einsum("bthwcijk,ijkco->bthwo", windows, kernel.astype("f8"))


@pytest.mark.parametrize(
    "axes", [a for n in (1, 2, 3) for a in itertools.combinations((1, 2, 3), n)]
)
def test_equals_the_definition_in_float64(axes: tuple[int, ...]) -> None:
    x, kernel = inputs(axes)
    conv = product
    for axis in axes:
        conv = two_at_once(conv, axis)
    wanted = by_definition(x, kernel)
    np.testing.assert_allclose(conv(x, kernel), wanted, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_takes_four_products_for_six(axis: int) -> None:
    x, kernel = inputs((axis,))
    rows = []

    def counted(x: jax.Array, kernel: jax.Array) -> jax.Array:
        rows.append(x.size // 3)
        return product(x, kernel)

    y = two_at_once(counted, axis)(jnp.asarray(x), jnp.asarray(kernel))
    outputs = SIZES[axis - 1]
    assert sum(rows) == 4 * -(-outputs // 2) * (y.size // 4 // outputs)
