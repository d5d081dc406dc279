"""Opens an exported forward pass with jax alone: no cvrl_jax, no flax, any of its platforms.

python NAME.py NAME.stablehlo         (needs jax and flatbuffers)
"""

import pathlib
import sys

import jax
import numpy as np


def load(path):
    """Returns (forward: uint8 [B, T, H, W, 3] -> float32 [B, D], the shape it takes)."""
    exported = jax.export.deserialize(bytearray(pathlib.Path(path).read_bytes()))
    return jax.jit(exported.call), exported.in_avals[0].shape


if __name__ == "__main__":
    forward, (_, *clip) = load(sys.argv[1])
    print(forward(np.zeros((2, *clip), np.uint8)).shape)
