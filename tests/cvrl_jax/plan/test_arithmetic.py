from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvrl_jax.models.flash import flash
from cvrl_jax.plan.arithmetic import traced_flops, unseen_flops

LAYOUT = ("NHWC", "HWIO", "NHWC")


def struct(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_products_and_loops():
    def repeated(x, w):
        return jax.lax.fori_loop(0, 3, lambda _, x: jnp.einsum("bij,jk->bik", x, w), x)

    traced = jax.make_jaxpr(repeated)(struct(2, 5, 4), struct(4, 4))
    assert traced_flops(traced) == 3 * 2 * (2 * 5) * 4 * 4
    branches = jax.make_jaxpr(lambda x: jax.lax.cond(x.sum() > 0, lambda: x @ x, lambda: x))
    assert traced_flops(branches(struct(6, 6))) == 2 * 6**3


def meetings(size, kernel, stride, before, after):
    """Taps on pixels, counted one by one."""
    return sum(
        before <= start + tap < before + size
        for start in range(0, before + size + after - kernel + 1, stride)
        for tap in range(kernel)
    )


@given(
    st.integers(3, 9), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(0, 2)
)
def test_a_convolution_multiplies_no_padding_and_its_gradients_no_holes(
    size, kernel, stride, before, after
):
    def convolve(x, w):
        pads = [(before, after), (before, after)]
        return jax.lax.conv_general_dilated(x, w, (stride,) * 2, pads, dimension_numbers=LAYOUT)

    x, w = struct(2, size, size, 3), struct(kernel, kernel, 3, 4)
    expected = 2 * 2 * 3 * 4 * meetings(size, kernel, stride, before, after) ** 2
    assert traced_flops(jax.make_jaxpr(convolve)(x, w)) == expected
    both = jax.grad(lambda x, w: (convolve(x, w) ** 2).sum(), argnums=(0, 1))
    assert traced_flops(jax.make_jaxpr(both)(x, w)) == 3 * expected


def test_the_compiler_counts_the_same():
    def convolve(x, w):
        return jax.lax.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=LAYOUT)

    arguments = struct(2, 9, 9, 8), struct(3, 3, 8, 8)
    compiled = jax.jit(convolve).lower(*arguments).compile()
    asked = traced_flops(jax.make_jaxpr(convolve)(*arguments))
    assert compiled.cost_analysis()["flops"] == pytest.approx(asked, rel=1e-6)


def test_kernels_count_by_their_grid_and_by_whether_they_say_what_they_cost():
    shape = jax.ShapeDtypeStruct((2, 384, 3, 8), jnp.float32)

    def gradients(q, k, v, g):
        return jax.vjp(lambda q, k, v: flash(q, k, v, 1.0), q, k, v)[1](g)

    traced = jax.make_jaxpr(gradients)(shape, shape, shape, shape)
    product = 2 * 2 * 3 * 8 * 384 * 384
    assert traced_flops(traced) == 9 * product  # 2 forwards, 4 and 3 for the gradients
    assert unseen_flops(traced) == 7 * product  # the forward kernel tells
