"""`--to=stablehlo`: the forward pass with its weights as one file that jax alone can run."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import jax
import jax.export
import numpy as np

from cvrl_jax.encoder import Encoder, Variables, features

PLATFORMS = ("cpu", "cuda", "tpu")


def write(encoder: Encoder, path: pathlib.Path) -> None:
    """Writes uint8 [B, T, H, W, 3] -> float32 [B, D] for any B and all of `PLATFORMS`.

    Frames and size are those of the description. Convolutions are lowered for each platform in its
    own best way, see `models.conv3d`.
    """
    d = encoder.description

    def lowered(lowering: str) -> Callable[[Variables, jax.Array], jax.Array]:
        has_choice = hasattr(encoder.tower, "lowering")
        tower = encoder.tower.clone(lowering=lowering) if has_choice else encoder.tower
        return lambda variables, x: features(tower, variables, x, d.framewise)

    def forward(x: jax.Array) -> jax.Array:
        cpu, others = lowered("split"), lowered("direct")
        return jax.lax.platform_dependent(encoder.variables, x, cpu=cpu, default=others)

    (b,) = jax.export.symbolic_shape("b")
    clips = jax.ShapeDtypeStruct((b, d.frames, d.size, d.size, 3), np.uint8)
    exported = jax.export.export(jax.jit(forward), platforms=PLATFORMS)(clips)
    path.write_bytes(exported.serialize())
