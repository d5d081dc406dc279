"""`--to=stablehlo`: the forward pass with its weights as one file that jax alone can run."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import jax
import jax.export
import numpy as np

from cvrl_jax.encoder import Encoder, Variables, features
from cvrl_jax.models.resnet3d import ResNet3D
from cvrl_jax.models.token_tower import TokenTower

PLATFORMS = ("cpu", "cuda", "tpu")
_LOWERINGS = {ResNet3D: ("split", "direct"), TokenTower: ("heads", "fused")}  # of a CPU, of others


def write(encoder: Encoder, path: pathlib.Path) -> None:
    """Writes uint8 [B, T, H, W, 3] -> float32 [B, D] for any B and all of `PLATFORMS`.

    Frames and size are those of the description. Convolutions and attention are lowered for each
    platform in its own best way, see `models.conv3d` and `models.attention`.
    """
    d = encoder.description
    (kind,) = (kind for kind in _LOWERINGS if isinstance(encoder.tower, kind))

    def lowered(lowering: str) -> Callable[[Variables, jax.Array], jax.Array]:
        tower = encoder.tower.clone(lowering=lowering)
        return lambda variables, x: features(tower, variables, x, d.framewise)

    def forward(x: jax.Array) -> jax.Array:
        cpu, others = map(lowered, _LOWERINGS[kind])
        return jax.lax.platform_dependent(encoder.variables, x, cpu=cpu, default=others)

    (b,) = jax.export.symbolic_shape("b")
    clips = jax.ShapeDtypeStruct((b, d.frames, d.size, d.size, 3), np.uint8)
    exported = jax.export.export(jax.jit(forward), platforms=PLATFORMS)(clips)
    path.write_bytes(exported.serialize())
