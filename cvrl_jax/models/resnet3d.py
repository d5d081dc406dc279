"""3-D residual network: the R3D towers of CVRL (arXiv 2008.03800, Table 1) and their relatives."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cvrl_jax.models.conv3d import (
    LOWERINGS,
    PADDINGS,
    Conv3D,
    Kernel,
    Triple,
    direct_conv3d,
    frames_apart,
    lowering_here,
    pad_time,
    pads_for,
    taps_as_channels,
)
from cvrl_jax.models.fields import check_fields
from cvrl_jax.models.norm import BatchNorm, JointNorm, counted
from cvrl_jax.models.norm_gradient import batch_normalized
from cvrl_jax.models.normalization import NORMALIZATIONS, normalize
from cvrl_jax.models.pooled_norm import pooled_norm
from cvrl_jax.models.pooling import max_pool
from cvrl_jax.models.product_norm import normalized_product
from cvrl_jax.models.remat import REMATS, rematted
from data_pipelines.errors import UserError

Four = tuple[int, int, int, int]

BASIC_BLOCKS: dict[int, Four] = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
BOTTLENECK_BLOCKS: dict[int, Four] = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BLOCKS = BASIC_BLOCKS | BOTTLENECK_BLOCKS


class ConvBN(nn.Module):
    """Convolution without bias, then batch normalisation; fields as in `Conv3D` and `BatchNorm`.

    By the lowering 'joint', in training, a product that widens its channels is normalised while it
    is computed, and a pool comes before the normalisation: for compilers that fuse such chains
    around a convolution, as TPUs' does. Frames that do not meet are then convolved as clips of
    their own: a TPU lays either the examples or the channels over 128 lanes, and is short of both
    in the stem.

    Attributes:
      pooled: whether ReLU and the max-pool follow.
    """

    features: int
    kernel: Triple
    strides: Triple
    padding: str
    lowering: str
    momentum: float
    epsilon: float
    dtype: Any
    pooled: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, valid: jax.Array | None) -> jax.Array:
        x = x.astype(self.dtype)
        product = self.kernel == self.strides == (1, 1, 1) and self.features > x.shape[-1]
        if train and (product or self.pooled) and lowering_here(self.lowering) == "joint":
            shape = (*self.kernel, x.shape[-1], self.features)
            kernel = Kernel(shape, name="conv")().astype(self.dtype)
            norm = JointNorm(self.momentum, name="norm")
            if self.pooled:
                return self._pooled(norm, x, kernel, valid)

            def joint(scale: jax.Array, bias: jax.Array, mask: jax.Array | None) -> Any:
                return normalized_product(x, kernel[0, 0, 0], scale, bias, self.epsilon, mask)

            return norm(joint, self.features, counted(valid, x.ndim))
        conv = Conv3D(
            self.features,
            self.kernel,
            self.strides,
            self.padding,
            self.dtype,
            self.lowering,
            name="conv",
        )
        x = self._normalize(conv(x), train, valid)
        return self._pool(nn.relu(x)) if self.pooled else x

    def _normalize(self, x: jax.Array, train: bool, valid: jax.Array | None) -> jax.Array:
        if not train or lowering_here(self.lowering) != "split":
            norm = BatchNorm(self.momentum, self.epsilon, self.dtype, name="norm")
            return norm(x, train, valid)

        def joint(scale: jax.Array, bias: jax.Array, mask: jax.Array | None) -> Any:
            return batch_normalized(x, scale, bias, self.epsilon, mask)

        norm = JointNorm(self.momentum, name="norm")
        return norm(joint, self.features, counted(valid, x.ndim))

    def _pooled(
        self, norm: JointNorm, x: jax.Array, kernel: jax.Array, valid: jax.Array | None
    ) -> jax.Array:
        """The same frame by frame, with all that a frame's result depends on as its channels."""
        in_time, *in_space = pads_for(self.padding, x.shape[1:4], self.kernel, self.strides)
        taps, kernel = taps_as_channels(pad_time(x, in_time), kernel, self.strides[0])
        frames, valid = frames_apart(taps, valid)
        pads, strides = [(0, 0), *in_space], (1, *self.strides[1:])

        def convolve(kernel: jax.Array) -> jax.Array:
            return direct_conv3d(frames, kernel[None], strides, pads)

        def joint(scale: jax.Array, bias: jax.Array, mask: jax.Array | None) -> Any:
            return pooled_norm(convolve, self._pool, kernel, scale, bias, self.epsilon, mask)

        y = norm(joint, self.features, counted(valid, x.ndim))
        return y.reshape(*taps.shape[:2], *y.shape[2:])

    def _pool(self, x: jax.Array) -> jax.Array:
        return max_pool(x, self.padding, self.lowering)


@jax.custom_jvp
def relu(x: jax.Array) -> jax.Array:
    """max(x, 0), whose gradient asks for nothing but the result, which is kept anyway."""
    return jnp.maximum(x, 0)


@relu.defjvp
def _relu_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    y = relu(*primals)
    return y, jnp.where(y > 0, tangents[0], 0)


class Block(nn.Module):
    """Residual block: ReLU(branch(x) + shortcut(x)), a projection where the shape changes.

    Basic (He et al., arXiv 1512.03385, Fig. 5 left, made 3-D as in Hara et al., arXiv 1711.09577):
    [kt,3,3] -> [kt,3,3], both strides in the first. Bottleneck: [kt,1,1] -> [1,3,3] -> [1,1,1] with
    the temporal stride in the first and the spatial one in the second ("ResNet v1.5").

    Attributes:
      features: inner channels; a bottleneck puts out four times as many.
      bottleneck: which of the two forms.
      temporal_kernel: kt.
      temporal_stride: stride in time.
      spatial_stride: stride in height and width.
      conv_bn: the fields that all convolutions of the tower share.
    """

    features: int
    bottleneck: bool
    temporal_kernel: int
    temporal_stride: int
    spatial_stride: int
    conv_bn: dict[str, Any]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, valid: jax.Array | None) -> jax.Array:
        kt, st, ss, f = (
            self.temporal_kernel,
            self.temporal_stride,
            self.spatial_stride,
            self.features,
        )
        if self.bottleneck:
            convs = [
                (f, (kt, 1, 1), (st, 1, 1)),
                (f, (1, 3, 3), (1, ss, ss)),
                (4 * f, (1, 1, 1), (1, 1, 1)),
            ]
        else:
            convs = [(f, (kt, 3, 3), (st, ss, ss)), (f, (kt, 3, 3), (1, 1, 1))]
        y = x
        for i, (features, kernel, strides) in enumerate(convs):
            y = nn.relu(y) if i else y
            y = ConvBN(features, kernel, strides, name=f"conv{i}", **self.conv_bn)(y, train, valid)
        if max(st, ss) > 1 or x.shape[-1] != y.shape[-1]:
            project = ConvBN(y.shape[-1], (1, 1, 1), (st, ss, ss), name="shortcut", **self.conv_bn)
            x = project(x, train, valid)
        return relu(y + x)


class ResNet3D(nn.Module):
    """Residual tower from clips to features.

    The defaults are the R3D of CVRL ("slow" pathway: no convolution over time in the first two
    stages). torchvision's `r3d_18` is depth 18, stem_kernel (3, 7, 7), stem_strides (1, 2, 2),
    stem_pool False, temporal_kernels (3, 3, 3, 3), temporal_strides (1, 2, 2, 2), 'symmetric'.
    A 2-D ResNet is temporal_kernels (1, 1, 1, 1), stem_kernel (1, 7, 7), stem_strides (1, 2, 2): it
    sees a clip as frames and puts out the mean of their features.

    Attributes:
      depth: 10, 18, 34 (basic blocks), 50, 101 or 152 (bottlenecks).
      width: multiplies the channels of the stem (64) and of all stages; may be a fraction.
      stem_kernel: window (t, h, w) of the first convolution.
      stem_strides: its strides.
      stem_pool: whether a max-pool (1, 3, 3) with strides (1, 2, 2) follows it.
      temporal_kernels: kt of the blocks of each stage.
      temporal_strides: stride in time at the entrance of each stage.
      padding: 'same' (TensorFlow) or 'symmetric' (PyTorch), see `pads_for`.
      normalization: of the pixels, a key of `NORMALIZATIONS`.
      bn_momentum: share of the old running statistics that an update keeps.
      bn_epsilon: added to the variance.
      remat: what blocks keep for the backward pass, see `rematted`.
      dtype: type of the arithmetic; parameters and running statistics are float32 always.
      lowering: how convolutions and what follows them are computed, see `Conv3D` and `ConvBN`.
    """

    depth: int = 50
    width: float = 1.0
    stem_kernel: Triple = (5, 7, 7)
    stem_strides: Triple = (2, 2, 2)
    stem_pool: bool = True
    temporal_kernels: Four = (1, 1, 3, 3)
    temporal_strides: Four = (1, 1, 1, 1)
    padding: str = "same"
    normalization: str = "none"
    bn_momentum: float = 0.9
    bn_epsilon: float = 1e-5
    remat: str = "none"
    dtype: Any = jnp.float32
    lowering: str = "auto"

    @property
    def feature_size(self) -> int:
        """D, the length of a feature."""
        return 8 * round(64 * self.width) * (4 if self.depth in BOTTLENECK_BLOCKS else 1)

    def check(self) -> None:
        """Raises a UserError where a field's value cannot be."""
        normalizations = tuple(NORMALIZATIONS)
        choices = {"padding": PADDINGS, "lowering": LOWERINGS, "remat": REMATS}
        check_fields(self, choices | {"normalization": normalizations})
        if round(64 * self.width) < 1:
            raise UserError(f"model field width={self.width!r}: give at least 1/64 (one channel)")

    @nn.compact
    def __call__(
        self, clip_BxTxHxWx3: jax.Array, train: bool, valid: jax.Array | None = None
    ) -> jax.Array:
        """Features of clips.

        Args:
          clip_BxTxHxWx3: RGB in [0, 1]; images [B, H, W, 3] are taken as clips of one frame.
          train: use and record the batch-norm statistics of the batch (`batch_stats` must then be
            mutable) rather than the running ones.
          valid: bool [B]; False keeps an example out of those statistics. Ignored unless `train`.

        Returns:
          float32 [B, feature_size]: the last stage averaged over time, height and width.
        """
        conv_bn: dict[str, Any] = {
            "padding": self.padding,
            "lowering": self.lowering,
            "momentum": self.bn_momentum,
            "epsilon": self.bn_epsilon,
            "dtype": self.dtype,
        }
        base = round(64 * self.width)
        x = clip_BxTxHxWx3 if clip_BxTxHxWx3.ndim == 5 else clip_BxTxHxWx3[:, None]
        x = normalize(x, self.normalization)
        stem_fields: dict[str, Any] = conv_bn | {"pooled": self.stem_pool}
        stem = ConvBN(base, self.stem_kernel, self.stem_strides, name="stem", **stem_fields)
        x = stem(x, train, valid)
        x = x if self.stem_pool else nn.relu(x)
        block_class = rematted(Block, self.remat, static_argnums=(2,))
        joint = train and lowering_here(self.lowering) == "joint"
        for stage, blocks in enumerate(BLOCKS[self.depth]):
            kernel, stride = self.temporal_kernels[stage], self.temporal_strides[stage]
            clip_shape, counts = x.shape[:2], valid
            apart = joint and kernel == stride == 1
            if apart:
                x, counts = frames_apart(x, valid)
            for block in range(blocks):
                x = block_class(
                    features=base * 2**stage,
                    bottleneck=self.depth in BOTTLENECK_BLOCKS,
                    temporal_kernel=kernel,
                    temporal_stride=stride if block == 0 else 1,
                    spatial_stride=2 if stage > 0 and block == 0 else 1,
                    conv_bn=conv_bn,
                    name=f"stage{stage}_block{block}",
                )(x, train, counts)
            if apart:
                x = x.reshape(*clip_shape, *x.shape[2:])
        return x.astype(jnp.float32).mean(axis=(1, 2, 3))
