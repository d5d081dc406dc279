"""2-D convolution and matrix product whose arithmetic suits XLA's CPU backend.

Values are XLA's own; narrow images with few channels are laid side by side for them, because XLA
gives a convolution of few columns x channels to one thread. The gradients are the same sums in
another order:
- of the weights, as matrix products over a few images at a time, which stay in the cache; XLA makes
  one convolution with a window as large as the image, and transposes all images for it;
- of the input of a strided convolution, as one dense convolution for each residue of the stride;
  XLA convolves over a gradient spread out with zeros.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from cvrl_jax.models.backend import traced_for_one_device

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]

_CHUNK_BYTES = 8 << 20  # of shifted images side by side: what the caches of a core or two hold
_FEW_OUTPUTS, _WIDE = 64, 64 * 112  # XLA uses one thread for fewer columns x channels than this
_TURNED = 1 << 16  # weights whose gradient is turned at most
_FEW_COLUMNS = 96  # of a product, which leave XLA's kernels half idle
_LAYOUT = ("NHWC", "HWIO", "NHWC")


@jax.custom_vjp
def matmul(x_MxI: jax.Array, w_IxO: jax.Array) -> jax.Array:
    """[M, I] @ [I, O] -> [M, O]."""
    return x_MxI @ w_IxO


def _matmul_forward(x: jax.Array, w: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return x @ w, (x, w)


def _matmul_backward(saved: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple:
    x, w = saved
    return g @ w.T, _weight_product(x, g, w.dtype)


matmul.defvjp(_matmul_forward, _matmul_backward)


def _weight_product(x_MxI: jax.Array, g_MxO: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """x^T g, with its longer side as the columns, which XLA's kernels prefer by up to a half.

    Large ones stay as they are: to turn them back would cost what that gains.
    """
    inputs, outputs = x_MxI.shape[1], g_MxO.shape[1]
    if inputs <= outputs or inputs * outputs > _TURNED:
        return jnp.matmul(x_MxI.T, g_MxO, preferred_element_type=jnp.float32).astype(dtype)
    product = jnp.matmul(g_MxO.T, x_MxI, preferred_element_type=jnp.float32).astype(dtype)
    # Without the barrier XLA folds the transposition into the product, back to where it was.
    return jax.lax.optimization_barrier(product).T


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv2d(x_NxHxWxI: jax.Array, w_hxwxIxO: jax.Array, strides: Pair, pads: Pads) -> jax.Array:
    """Convolution [N, H, W, I] * [h, w, I, O] -> [N, H', W', O].

    Args:
      x_NxHxWxI: images.
      w_hxwxIxO: windows.
      strides: in height and width.
      pads: zeros (before, after) in height and width.
    """
    return _convolve(x_NxHxWxI, w_hxwxIxO, strides, pads)


def _convolve(x: jax.Array, w: jax.Array, strides: Pair, pads: Pads) -> jax.Array:
    """The convolution, of images side by side where one alone has too few columns x channels."""
    images, _, width, channels = x.shape
    outputs, kernel, stride = w.shape[3], w.shape[1], strides[1]
    left, right = pads[1]
    columns = (width + left + right - kernel) // stride + 1
    # Over a mesh images would change places between devices, each of which has its own thread.
    narrow = outputs <= _FEW_OUTPUTS and traced_for_one_device()
    wanted = -(-_WIDE // (columns * outputs)) if narrow else 1
    beside = next((n for n in range(wanted, 2 * wanted) if images % n == 0), 1)
    conv = functools.partial(jax.lax.conv_general_dilated, dimension_numbers=_LAYOUT)
    if beside == 1:
        return conv(x, w, strides, pads)
    # The zeros left of an image are those right of the one before it as well.
    room = -(-(width + max(left, right)) // stride) * stride
    x = jnp.pad(x, [(0, 0), (0, 0), (left, room - width - left), (0, 0)])
    x = x.reshape(-1, beside, x.shape[1], room, channels).swapaxes(1, 2)
    x = x.reshape(*x.shape[:2], -1, channels)
    y = conv(x, w, strides, (pads[0], (0, max(kernel - stride, 0))))
    y = y.reshape(*y.shape[:2], beside, -1, outputs)[:, :, :, :columns].swapaxes(1, 2)
    return y.reshape(images, -1, columns, outputs)


def _conv_forward(x: jax.Array, w: jax.Array, strides: Pair, pads: Pads) -> tuple:
    return _convolve(x, w, strides, pads), (x, w)


def _conv_backward(strides: Pair, pads: Pads, saved: tuple, g: jax.Array) -> tuple:
    x, w = saved
    if strides == (1, 1):
        (kh, kw), (top, bottom), (left, right) = w.shape[:2], *pads
        around = ((kh - 1 - top, kh - 1 - bottom), (kw - 1 - left, kw - 1 - right))
        dx = _convolve(g, w[::-1, ::-1].swapaxes(2, 3), strides, around)
    else:
        dx = _strided_input_gradient(x.shape, w, g, strides, pads)
    # Over a mesh every round of a loop would end in a sum over the devices: one sum instead.
    if traced_for_one_device():
        dw = _weight_gradient(x, w, g, strides, pads)
    else:
        (dw,) = jax.vjp(lambda w: _convolve(x, w, strides, pads), w)[1](g)
    return dx, dw


conv2d.defvjp(_conv_forward, _conv_backward)


def _weight_gradient(
    x: jax.Array, w: jax.Array, g: jax.Array, strides: Pair, pads: Pads
) -> jax.Array:
    """Sum over images of (shifted image)^T g, in chunks of images."""
    (kh, kw, cin, cout), (sh, sw) = w.shape, strides
    images, height, width, _ = g.shape
    few = kw * cin < _FEW_COLUMNS  # all rows of windows in one product, else one each
    one = 4 * (x.shape[1] + sum(pads[0])) * width * kw * cin
    most = max(1, _CHUNK_BYTES // one // (2 if few else 1))  # what is joined takes room as well
    chunk = next(n for n in range(min(most, images), 0, -1) if images % n == 0)

    def add(total: jax.Array, part: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        x, g = part
        x = jnp.pad(x, [(0, 0), *pads, (0, 0)])
        # All shifts along a row side by side, so that there are as few products as rows of windows.
        x = jnp.concatenate([x[:, :, j : j + sw * (width - 1) + 1 : sw] for j in range(kw)], -1)
        shifted = [x[:, i : i + sh * (height - 1) + 1 : sh] for i in range(kh)]
        g_PxO = g.reshape(-1, cout)
        products = [
            jnp.matmul(g_PxO.T, y.reshape(len(g_PxO), -1), preferred_element_type=jnp.float32)
            for y in ([jnp.concatenate(shifted, -1)] if few else shifted)
        ]
        return total + jnp.concatenate(products, -1), None

    parts = (x.reshape(-1, chunk, *x.shape[1:]), g.reshape(-1, chunk, *g.shape[1:]))
    total, _ = jax.lax.scan(add, jnp.zeros((cout, kh * kw * cin), jnp.float32), parts)
    return total.reshape(cout, kh, kw, cin).transpose(1, 2, 3, 0).astype(w.dtype)


def _strided_input_gradient(
    shape: tuple[int, ...], w: jax.Array, g: jax.Array, strides: Pair, pads: Pads
) -> jax.Array:
    """Pixel s u + r of the padded image meets only the window's pixels r, r + s, r + 2 s, ..."""
    cin, (sh, sw) = w.shape[2], strides
    images, height, width, _ = g.shape
    rows, columns = (-(-(shape[1 + a] + sum(pads[a])) // strides[a]) for a in (0, 1))

    def of_residue(i: int, j: int) -> jax.Array:
        taps = w[i::sh, j::sw][::-1, ::-1]
        if not taps.size:
            return jnp.zeros((images, rows, columns, cin), g.dtype)
        around = (
            (taps.shape[0] - 1, rows - height),
            (taps.shape[1] - 1, columns - width),
        )
        return _convolve(g, taps.swapaxes(2, 3), (1, 1), around)

    padded = jnp.stack(
        [jnp.stack([of_residue(i, j) for j in range(sw)], axis=3) for i in range(sh)], axis=2
    ).reshape(images, rows * sh, columns * sw, cin)
    (top, _), (left, _) = pads
    return padded[:, top : top + shape[1], left : left + shape[2]]
