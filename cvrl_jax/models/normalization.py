"""How pixels are scaled before a network sees them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

RGB = tuple[float, float, float]

# Name -> mean and standard deviation of red, green and blue, for pixels in [0, 1].
NORMALIZATIONS: dict[str, tuple[RGB, RGB]] = {
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # as CVRL has it
    "kinetics": ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)),  # torchvision's video
    "slowfast": ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225)),  # pytorchvideo's
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def normalize(x: jax.Array, name: str) -> jax.Array:
    """(x - mean) / std of pixels [..., 3] in [0, 1]; 'none' gives `x` itself."""
    if name == "none":
        return x
    mean, std = (jnp.asarray(values, x.dtype) for values in NORMALIZATIONS[name])
    return (x - mean) / std
