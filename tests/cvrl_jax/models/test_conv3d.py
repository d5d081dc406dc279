"""Both lowerings of a 3-D convolution are one function, and padding means what it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.models import conv3d, cpu_conv
from cvrl_jax.models.conv3d import (
    Conv3D,
    direct_conv3d,
    frames_apart,
    kernel_init,
    pads_for,
    split_conv3d,
    taps_as_channels,
)


@pytest.mark.parametrize("many", [1, 128])  # channels, from which rows and columns go in twos
@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize(
    ("kernel", "strides"),
    [
        ((1, 1, 1), (1, 1, 1)),
        ((1, 1, 1), (2, 2, 2)),
        ((3, 1, 1), (1, 1, 1)),
        ((3, 1, 1), (2, 1, 1)),
        ((1, 3, 3), (1, 1, 1)),
        ((3, 3, 3), (1, 1, 1)),
        ((1, 3, 3), (1, 2, 2)),
        ((3, 3, 3), (2, 2, 2)),
        ((5, 7, 7), (2, 2, 2)),
        ((1, 2, 2), (1, 3, 3)),
    ],
)
def test_split_equals_direct_in_value_and_gradient(kernel, strides, padding, many, monkeypatch):
    monkeypatch.setattr(conv3d, "_MANY_CHANNELS", many)
    x = jax.random.normal(jax.random.key(0), (2, 4, 8, 7, 3))
    weights = 0.1 * jax.random.normal(jax.random.key(1), (*kernel, 3, 4))
    pads = pads_for(padding, x.shape[1:4], kernel, strides)

    def value_and_gradients(conv):
        value, pull = jax.vjp(lambda x, w: conv(x, w, strides, pads), x, weights)
        return value, *pull(jnp.cos(jnp.arange(value.size, dtype=value.dtype)).reshape(value.shape))

    wanted = jax.jit(value_and_gradients, static_argnums=0)(direct_conv3d)
    actual = jax.jit(value_and_gradients, static_argnums=0)(split_conv3d)
    for a, w in zip(actual, wanted, strict=True):
        np.testing.assert_allclose(a, w, atol=1e-5 * np.abs(w).max())


@pytest.mark.parametrize("frames", [2, 3, 5])
def test_two_frames_at_once_are_the_sum_in_float64(frames):
    """Also for an odd number of frames, whose last has a partner that is thrown away."""
    x = np.random.default_rng(0).normal(size=(1, frames + 2, 6, 6, 3)).astype("f4")
    weights = np.random.default_rng(1).normal(size=(3, 3, 3, 3, 4)).astype("f4")
    windows = np.lib.stride_tricks.sliding_window_view(x.astype("f8"), (3, 3, 3), (1, 2, 3))
    wanted = np.einsum("bthwcijk,ijkco->bthwo", windows, weights.astype("f8"))
    actual = split_conv3d(jnp.asarray(x), jnp.asarray(weights), (1, 1, 1), [(0, 0)] * 3)
    np.testing.assert_allclose(actual, wanted, atol=2e-5)  # of numbers up to 30


@pytest.mark.parametrize(("channels", "dots"), [(64, 0), (128, 16)])
def test_rows_and_columns_go_in_twos_where_there_are_many_channels(channels, dots):
    x = jax.ShapeDtypeStruct((1, 1, 4, 4, channels), jnp.float32)
    weights = jax.ShapeDtypeStruct((1, 3, 3, channels, channels), jnp.float32)
    pads = [(0, 0), (1, 1), (1, 1)]
    text = jax.jit(lambda x, w: split_conv3d(x, w, (1, 1, 1), pads)).lower(x, weights).as_text()
    assert text.count("stablehlo.dot_general") == dots


@pytest.mark.parametrize(("taps", "stride"), [(1, 1), (2, 3), (5, 2)])
def test_taps_as_channels_leave_a_product_of_each_frame(taps, stride):
    x = np.random.default_rng(0).normal(size=(2, 9, 2, 3, 4)).astype("f4")
    weights = np.random.default_rng(1).normal(size=(taps, 1, 1, 4, 5)).astype("f4")
    windows = np.lib.stride_tricks.sliding_window_view(x.astype("f8"), taps, 1)[:, ::stride]
    wanted = np.einsum("bthwci,ico->bthwo", windows, weights[:, 0, 0].astype("f8"))
    frames, kernel = taps_as_channels(jnp.asarray(x), jnp.asarray(weights), stride)
    assert frames.shape == (*wanted.shape[:-1], 4 * taps)
    np.testing.assert_allclose(frames @ kernel[0, 0], wanted, atol=2e-5)


def test_frames_apart_are_clips_as_valid_as_theirs():
    x = np.arange(2 * 3 * 4).reshape(2, 3, 2, 2, 1)
    frames, valid = frames_apart(jnp.asarray(x), jnp.array([True, False]))
    assert frames.shape == (6, 1, 2, 2, 1)
    np.testing.assert_array_equal(frames[4, 0], x[1, 1])
    np.testing.assert_array_equal(valid, [True] * 3 + [False] * 3)
    assert frames_apart(jnp.asarray(x), None)[1] is None


@pytest.mark.parametrize("images", [2, 3, 4])
@pytest.mark.parametrize(
    ("kernel", "stride", "pads"), [(3, 1, (1, 1)), (7, 2, (2, 3)), (2, 1, (0, 1))]
)
def test_images_side_by_side_are_convolved_as_by_themselves(
    images, kernel, stride, pads, monkeypatch
):
    monkeypatch.setattr(cpu_conv, "_WIDE", 32)  # two or more beside each other, of any of these
    x = jax.random.normal(jax.random.key(0), (images, 6, 7, 3))
    weights = jax.random.normal(jax.random.key(1), (kernel, kernel, 3, 4))
    arguments = (weights, (stride, stride), (pads, pads))
    wanted = jnp.concatenate([cpu_conv.conv2d(one[None], *arguments) for one in x])
    np.testing.assert_allclose(cpu_conv.conv2d(x, *arguments), wanted, atol=2e-5)


@pytest.mark.parametrize("many", [1, 128])
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_split_is_exported_for_any_number_of_clips(frames, many, monkeypatch):
    monkeypatch.setattr(cpu_conv, "_WIDE", 32)
    monkeypatch.setattr(conv3d, "_MANY_CHANNELS", many)
    (clips,) = jax.export.symbolic_shape("clips")
    weights = jax.random.normal(jax.random.key(1), (3, 3, 3, 2, 4))

    def conv(x):
        return split_conv3d(x, weights, (1, 1, 1), [(1, 1)] * 3)

    any_number = jax.ShapeDtypeStruct((clips, frames, 5, 5, 2), jnp.float32)
    exported = jax.export.export(jax.jit(conv))(any_number)
    x = jax.random.normal(jax.random.key(0), (3, *any_number.shape[1:]))
    np.testing.assert_allclose(exported.call(x), conv(x), atol=1e-5)


@pytest.mark.parametrize("most", [1, 2_000, 4_000, 8_000])
@pytest.mark.parametrize("few", [18, 19])  # of the window's 18 columns: no and yes
def test_weight_gradient_does_not_depend_on_how_it_is_cut_up(most, few, monkeypatch):
    monkeypatch.setattr(cpu_conv, "_CHUNK_BYTES", most)  # 1 to 3 of 6 images at once
    monkeypatch.setattr(cpu_conv, "_FEW_COLUMNS", few)
    x = jax.random.normal(jax.random.key(0), (6, 5, 4, 6))
    weights = jax.random.normal(jax.random.key(1), (3, 3, 6, 2))

    def gradient(conv):
        return jax.grad(lambda w: jnp.square(conv(x, w)).sum())(weights)

    def plain(x, w):
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, w, (2, 1), [(1, 1), (1, 0)], dimension_numbers=layout
        )

    actual = gradient(lambda x, w: cpu_conv.conv2d(x, w, (2, 1), ((1, 1), (1, 0))))
    np.testing.assert_allclose(actual, gradient(plain), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("sizes", [(4, 8, 8), (5, 7, 9), (1, 1, 2)])
@pytest.mark.parametrize("strides", [(1, 1, 1), (2, 2, 2), (1, 2, 2)])
def test_same_padding_is_that_of_xla(sizes, strides):
    kernel = (3, 5, 1)
    expected = jax.lax.padtype_to_pads(sizes, kernel, strides, "SAME")
    assert pads_for("same", sizes, kernel, strides) == expected


def test_paddings_differ_where_a_strided_window_meets_an_even_size():
    assert pads_for("same", [8], [3], [2]) == [(0, 1)]
    assert pads_for("symmetric", [8], [3], [2]) == [(1, 1)]


@pytest.mark.parametrize("lowering", ["direct", "split", "auto"])
def test_module_has_one_float32_kernel_and_computes_in_its_dtype(lowering):
    conv = Conv3D(4, (3, 3, 3), (1, 2, 2), dtype=jnp.bfloat16, lowering=lowering)
    y, variables = conv.init_with_output(jax.random.key(0), jnp.ones((1, 4, 6, 6, 2)))
    assert y.shape == (1, 4, 3, 3, 4)
    assert y.dtype == jnp.bfloat16
    shapes = jax.tree.map(lambda p: (p.shape, p.dtype), variables)
    assert shapes == {"params": {"kernel": ((3, 3, 3, 2, 4), jnp.float32)}}


def test_initial_kernel_has_unit_fan_in_variance_and_is_truncated():
    kernel = kernel_init(jax.random.key(0), (3, 3, 3, 32, 64), jnp.float32)
    std = (1 / (27 * 32)) ** 0.5
    np.testing.assert_allclose(kernel.std(), std, rtol=0.02)
    # Two deviations of the normal before truncation, which shrinks them to 0.8796.
    assert np.abs(kernel).max() <= 2 * std / 0.8796 * 1.001
