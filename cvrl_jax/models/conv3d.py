"""3-D convolution with one set of parameters and two lowerings, because backends differ.

Accelerators run a 5-D convolution best as it stands. XLA's CPU backend runs it several times slower
than the matrix products and 2-D convolutions into which the same sum can be regrouped; measure both
with `lowering` before changing the choice that 'auto' makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cvrl_jax.models.backend import traced_for
from cvrl_jax.models.cpu_conv import Pair, conv2d, matmul
from cvrl_jax.models.winograd import Conv, two_at_once

Triple = tuple[int, int, int]
Pads = list[Pair]

PADDINGS = ("same", "symmetric")
LOWERINGS = ("auto", "direct", "split", "joint")

_MANY_CHANNELS = 128  # from which sums of neighbours cost less than the products they spare

# Keras' `VarianceScaling` default, with which the released CVRL towers were initialised.
kernel_init = jax.nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")


def pads_for(
    padding: str, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int]
) -> Pads:
    """Zeros to add before and after each axis.

    Args:
      padding: 'same' (TensorFlow: output size = ceil(size / stride), the odd zero at the end, so a
        strided window on an even size is not centred) or 'symmetric' (PyTorch: kernel // 2 on both
        sides).
      sizes: input size of each axis.
      kernel: window size of each axis.
      strides: stride of each axis.

    Returns:
      One (before, after) pair per axis.
    """
    if padding == "symmetric":
        return [(k // 2, k // 2) for k in kernel]
    pads = []
    for size, k, s in zip(sizes, kernel, strides):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads.append((total // 2, total - total // 2))
    return pads


def direct_conv3d(x: jax.Array, kernel: jax.Array, strides: Triple, pads: Pads) -> jax.Array:
    """[B, T, H, W, Cin] * [kt, kh, kw, Cin, Cout] -> [B, T', H', W', Cout], one 5-D convolution."""
    layout = ("NDHWC", "DHWIO", "NDHWC")
    return jax.lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=layout)


def split_conv3d(x: jax.Array, kernel: jax.Array, strides: Triple, pads: Pads) -> jax.Array:
    """`direct_conv3d` regrouped: time taps become channels, time becomes batch.

    The kt frames under a temporal tap are laid side by side on the channel axis, which leaves a 2-D
    convolution over B * T' images, or a matrix product where the window is a single pixel. Windows
    of three take a third less arithmetic along some axes, see `_axes_of_two`.
    """
    if kernel.shape[1:3] == (1, 1):  # no window to centre: what is left of x is all that counts
        x = x[:, :, :: strides[1], :: strides[2]]
    axes = _axes_of_two(x, kernel, strides, pads)
    in_time, rows, columns = ((0, 0) if a in axes else pads[a - 1] for a in (1, 2, 3))
    x = pad_time(x, in_time)

    def frames(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return _conv_frames(*taps_as_channels(x, kernel, strides[0]), strides[1:], (rows, columns))

    conv: Conv = frames
    for axis in axes:
        conv = two_at_once(conv, axis)
    # Sums of x for the products would be kept for the gradient, four times as large for two axes.
    return (jax.checkpoint(conv) if axes else conv)(x, kernel)


def _axes_of_two(x: jax.Array, kernel: jax.Array, strides: Triple, pads: Pads) -> tuple[int, ...]:
    """The axes of x along which `two_at_once` pays: time, and of many channels rows and columns.

    Only in float32: sums of entries would be rounded before they are multiplied.
    """
    if x.dtype != jnp.float32:
        return ()
    axes = zip(kernel.shape, strides, pads, x.shape[1:4])
    fit = [k == 3 and s == 1 and p == (1, 1) and n > 1 for k, s, p, n in axes]
    many = min(kernel.shape[3:]) >= _MANY_CHANNELS
    return ((1,) if fit[0] else ()) + ((2, 3) if many and fit[1] and fit[2] else ())


def taps_as_channels(x: jax.Array, kernel: jax.Array, stride: int) -> tuple[jax.Array, jax.Array]:
    """The frames under each temporal tap side by side on the channel axis, the kernel's likewise.

    Args:
      x: clips with the zeros that belong before and after them, [B, T, H, W, I].
      kernel: [kt, kh, kw, I, O].
      stride: of the window, in time.

    Returns:
      ([B, T', H, W, kt I], [kh, kw, kt I, O]): what is left is a convolution of each frame.
    """
    kt = kernel.shape[0]
    last = (x.shape[1] - kt) // stride * stride
    taps = [x[:, i : i + last + 1 : stride] for i in range(kt)]
    x = jnp.concatenate(taps, axis=-1) if kt > 1 else taps[0]
    return x, jnp.concatenate(list(kernel), axis=2)


def frames_apart(x: jax.Array, valid_B: jax.Array | None) -> tuple[jax.Array, jax.Array | None]:
    """Every frame as a clip of its own, [B T, 1, H, W, C], each valid as its clip is."""
    count = x.shape[1]
    valid = None if valid_B is None else jnp.repeat(valid_B, count)
    return x.reshape(-1, 1, *x.shape[2:]), valid


def pad_time(x: jax.Array, pads: Pair) -> jax.Array:
    """Black frames before and after clips [B, T, H, W, C]."""
    return jnp.pad(x, [(0, 0), pads, (0, 0), (0, 0), (0, 0)])


def _conv_frames(
    x: jax.Array, kernel: jax.Array, strides: Pair, pads: tuple[Pair, Pair]
) -> jax.Array:
    """[B, T, H, W, I] * [kh, kw, I, O] -> [B, T, H', W', O], each frame by itself."""
    if kernel.shape[:2] == (1, 1):  # two axes: XLA would copy operands of more in the gradient
        return matmul(x.reshape(-1, x.shape[-1]), kernel[0, 0]).reshape(*x.shape[:-1], -1)
    y: jax.Array = conv2d(x.reshape(-1, *x.shape[2:]), kernel, strides, pads)
    return y.reshape(*x.shape[:2], *y.shape[1:])


def lowering_here(lowering: str) -> str:
    """What 'auto' stands for where the call is being traced: 'split', 'joint' or 'direct'."""
    by_platform = {"cpu": "split", "tpu": "joint"}
    return by_platform.get(traced_for(), "direct") if lowering == "auto" else lowering


class Kernel(nn.Module):
    """The parameter of a `Conv3D` by itself: float32 [kt, kh, kw, Cin, Cout]."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self) -> jax.Array:
        """Returns it."""
        return self.param("kernel", kernel_init, self.shape, jnp.float32)


class Conv3D(nn.Module):
    """Convolution of [B, T, H, W, C], no bias; parameter `kernel` float32 [kt, kh, kw, Cin, Cout].

    Attributes:
      features: output channels.
      kernel: window (t, h, w).
      strides: strides (t, h, w).
      padding: 'same' or 'symmetric', see `pads_for`.
      dtype: type of the arithmetic and of the output.
      lowering: 'direct', 'split', or 'auto' = 'split' where the call is traced for CPUs; 'joint' is
        'direct' here and differs in `ConvBN`.
    """

    features: int
    kernel: Triple
    strides: Triple = (1, 1, 1)
    padding: str = "same"
    dtype: Any = jnp.float32
    lowering: str = "auto"

    @nn.compact
    def __call__(self, x_BxTxHxWxC: jax.Array) -> jax.Array:
        shape = (*self.kernel, x_BxTxHxWxC.shape[-1], self.features)
        kernel = self.param("kernel", kernel_init, shape, jnp.float32).astype(self.dtype)
        pads = pads_for(self.padding, x_BxTxHxWxC.shape[1:4], self.kernel, self.strides)
        conv = split_conv3d if lowering_here(self.lowering) == "split" else direct_conv3d
        return conv(x_BxTxHxWxC.astype(self.dtype), kernel, self.strides, pads)
