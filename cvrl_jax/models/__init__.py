"""Towers and heads. They know nothing of losses, data or meshes."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp

from cvrl_jax.models.conv3d import LOWERINGS, PADDINGS
from cvrl_jax.models.heads import LinearHead, ProjectionHead
from cvrl_jax.models.normalization import NORMALIZATIONS
from cvrl_jax.models.resnet3d import BLOCKS, ResNet3D
from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest

__all__ = ["MODELS", "LinearHead", "ProjectionHead", "create_model"]

FRAMEWISE = {"temporal_kernels": (1, 1, 1, 1), "stem_kernel": (1, 7, 7), "stem_strides": (1, 2, 2)}

# Name -> the fields of `ResNet3D` that the name stands for; r2d = applied to each frame by itself.
MODELS: dict[str, dict[str, Any]] = {f"r3d{depth}": {"depth": depth} for depth in BLOCKS} | {
    f"r2d{depth}": dict(depth=depth, **FRAMEWISE) for depth in BLOCKS
}
_FIELDS = [
    f.name for f in dataclasses.fields(ResNet3D) if f.name not in ("depth", "parent", "name")
]


def create_model(name: str, **fields: Any) -> ResNet3D:
    """A tower by name.

    Args:
      name: a key of `MODELS`: 'r3d50' is CVRL's R3D-50, 'r2d50' the same network on single frames.
      **fields: fields of `ResNet3D` but for `depth`; sequences may be lists, `dtype` may be a name.

    Returns:
      The Linen module, called as `tower(clip_BxTxHxWx3, train, valid)`; `tower.feature_size` is D.

    Raises:
      UserError: the name, a field or a field's value is unknown.
    """
    if name not in MODELS:
        raise UserError(f"model {name!r} is unknown; {nearest(name, MODELS)}")
    for field in fields:
        if field not in _FIELDS:
            raise UserError(f"model {name!r} has no field {field!r}; {nearest(field, _FIELDS)}")
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    if "dtype" in fields:
        try:
            fields["dtype"] = jnp.dtype(fields["dtype"])
        except TypeError as error:
            raise UserError(f"model field dtype={fields['dtype']!r}: {error}") from error
    tower = ResNet3D(**MODELS[name] | fields)
    choices_of = {"padding": PADDINGS, "lowering": LOWERINGS, "normalization": NORMALIZATIONS}
    for field, choices in choices_of.items():
        value = getattr(tower, field)
        if value not in choices:
            raise UserError(f"model field {field}={value!r}; {nearest(str(value), choices)}")
    for field, length in {
        "stem_kernel": 3,
        "stem_strides": 3,
        "temporal_kernels": 4,
        "temporal_strides": 4,
    }.items():
        value = getattr(tower, field)
        if len(value) != length or min(value) < 1:
            raise UserError(f"model field {field}={value!r}: give {length} integers of at least 1")
    if round(64 * tower.width) < 1:
        raise UserError(f"model field width={tower.width!r}: give at least 1/64 (one channel)")
    return tower
