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
from cvrl_jax.models.cpu_conv import conv2d, matmul

Triple = tuple[int, int, int]
Pads = list[tuple[int, int]]

PADDINGS = ("same", "symmetric")
LOWERINGS = ("auto", "direct", "split", "joint")

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
    convolution over B * T' images, or a matrix product where the window is a single pixel.
    """
    kt, kh, kw, cin, cout = kernel.shape
    st, sh, sw = strides
    if kh == kw == 1:  # no window to centre: dropping pixels first is the strided convolution
        x = x[:, :, ::sh, ::sw]
    x = jnp.pad(x, [(0, 0), pads[0], (0, 0), (0, 0), (0, 0)])
    frames = (x.shape[1] - kt) // st + 1
    taps = [x[:, i : i + (frames - 1) * st + 1 : st] for i in range(kt)]
    x = jnp.concatenate(taps, axis=-1) if kt > 1 else taps[0]
    kernel_2d = kernel.transpose(1, 2, 0, 3, 4).reshape(kh, kw, kt * cin, cout)
    if kh == kw == 1:  # two axes: XLA would copy operands of more to contract them in the gradient
        return matmul(x.reshape(-1, kt * cin), kernel_2d[0, 0]).reshape(*x.shape[:-1], cout)
    y: jax.Array = conv2d(x.reshape(-1, *x.shape[2:]), kernel_2d, (sh, sw), (pads[1], pads[2]))
    return y.reshape(-1, frames, *y.shape[1:])


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
