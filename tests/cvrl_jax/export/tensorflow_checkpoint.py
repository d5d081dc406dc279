"""Writes a checkpoint by TensorFlow as CVRL's were released: R3D-50's names, one channel.

python tests/cvrl_jax/export/tensorflow_checkpoint.py PREFIX     (needs tensorflow-cpu)

data/r3d50.* were written so, by TensorFlow 2.21. Attributes are called as in the Model Garden's
`ResNet3D` and `BottleneckBlock3D`; an array's numbers follow from its name.
"""

from __future__ import annotations

import importlib
import sys
import zlib
from typing import Any

import numpy as np

BLOCKS = (3, 4, 6, 3)
TEMPORAL_KERNELS = (1, 1, 3, 3)


def value_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The numbers of an array, by its name in the checkpoint."""
    return np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape).astype(np.float32)


def write(prefix: str) -> str:
    """Returns the prefix of what was written."""
    tensorflow: Any = importlib.import_module("tensorflow")

    def filled(name: str, **shapes: tuple[int, ...]) -> Any:
        node = tensorflow.Module()
        for leaf, shape in shapes.items():
            whole = f"{name}/{leaf}/.ATTRIBUTES/VARIABLE_VALUE"
            setattr(node, leaf, tensorflow.Variable(value_of(whole, shape)))
        return node

    def conv(name: str, *shape: int) -> Any:
        return filled(name, kernel=shape)

    def norm(name: str, channels: int) -> Any:
        leaves = ("gamma", "beta", "moving_mean", "moving_variance")
        return filled(name, **dict.fromkeys(leaves, (channels,)))

    def block(name: str, before: int, inner: int, frames: int, first: bool) -> Any:
        node = tensorflow.Module()
        if first:
            node._shortcut_conv = conv(f"{name}/_shortcut_conv", 1, 1, 1, before, 4 * inner)
            node._norm0 = norm(f"{name}/_norm0", 4 * inner)
        node._temporal_conv = conv(f"{name}/_temporal_conv", frames, 1, 1, before, inner)
        node._norm1 = norm(f"{name}/_norm1", inner)
        node._spatial_conv = conv(f"{name}/_spatial_conv", 1, 3, 3, inner, inner)
        node._norm2 = norm(f"{name}/_norm2", inner)
        node._expand_conv = conv(f"{name}/_expand_conv", 1, 1, 1, inner, 4 * inner)
        node._norm3 = norm(f"{name}/_norm3", 4 * inner)
        return node

    def layer(number: int) -> str:
        return f"layer_with_weights-{number}"

    backbone, root = tensorflow.Module(), "backbone/"
    setattr(backbone, layer(0), conv(root + layer(0), 5, 7, 7, 3, 1))
    setattr(backbone, layer(1), norm(root + layer(1), 1))
    number, channels = 2, 1
    for stage, blocks in enumerate(BLOCKS):
        for i in range(blocks):
            made = block(root + layer(number), channels, 2**stage, TEMPORAL_KERNELS[stage], i == 0)
            setattr(backbone, layer(number), made)
            number, channels = number + 1, 4 * 2**stage
    return tensorflow.train.Checkpoint(backbone=backbone).write(prefix)


if __name__ == "__main__":
    write(sys.argv[1])
