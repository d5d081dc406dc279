"""Towers by name."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import jax

from cvrl_jax.models.precision import compute_dtype
from cvrl_jax.models.resnet3d import BLOCKS, ResNet3D
from cvrl_jax.models.spectrogram import SpectrogramTransformer
from cvrl_jax.models.text import LinearText, TextTransformer
from cvrl_jax.models.vit import VideoTransformer
from cvrl_jax.models.waveform import WaveformTransformer
from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest


class Tower(Protocol):
    """A Linen module from inputs to features, called as `tower(x, train, valid)`."""

    @property
    def feature_size(self) -> int:
        """D, the length of a feature."""
        ...

    def check(self) -> None:
        """Raises a UserError where a field's value cannot be."""
        ...

    def init_with_output(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """See `flax.linen.Module`."""
        ...

    def apply(self, *args: Any, **kwargs: Any) -> Any:
        """See `flax.linen.Module`."""
        ...


@dataclasses.dataclass(frozen=True)
class Named:
    """What a name stands for.

    Attributes:
      tower: the class.
      fields: their values, which may be overridden,
      fixed: but for these.
    """

    tower: type
    fields: dict[str, Any]
    fixed: tuple[str, ...] = ()


FRAMEWISE = {"temporal_kernels": (1, 1, 1, 1), "stem_kernel": (1, 7, 7), "stem_strides": (1, 2, 2)}

# VATT, arXiv 2104.11178, Table 7; the text towers' Small is T5's.
SIZES: dict[str, dict[str, int]] = {
    "small": {"layers": 6, "width": 512, "mlp": 2048, "heads": 8},
    "base": {"layers": 12, "width": 768, "mlp": 3072, "heads": 12},
    "medium": {"layers": 12, "width": 1024, "mlp": 4096, "heads": 16},
    "large": {"layers": 24, "width": 1024, "mlp": 4096, "heads": 16},
}
T5 = {"biases": False, "scaled": False, "norm": "rms", "relative_bias": "first"}


def _sizes(prefix: str, tower: type, **fields: Any) -> dict[str, Named]:
    return {f"{prefix}_{name}": Named(tower, size | fields) for name, size in SIZES.items()}


MODELS: dict[str, Named] = {
    # r2d = the residual network on each frame by itself
    **{f"r3d{depth}": Named(ResNet3D, {"depth": depth}, ("depth",)) for depth in BLOCKS},
    **{f"r2d{d}": Named(ResNet3D, {"depth": d, **FRAMEWISE}, ("depth",)) for d in BLOCKS},
    **_sizes("vit", VideoTransformer),
    **_sizes("wat", WaveformTransformer),
    **_sizes("spt", SpectrogramTransformer, biases=False),
    **_sizes("text", TextTransformer, grid=(16,)),
    **_sizes("t5", TextTransformer, **T5),
    "text_linear": Named(LinearText, {}),
}


def create_model(name: str, **fields: Any) -> Any:
    """A tower by name.

    Args:
      name: a key of `MODELS`: 'r3d50' is CVRL's R3D-50, 'r2d50' the same network on single frames,
        'vit_base' a transformer of clips, 'wat_base' of waveforms, 'spt_base' of spectrograms,
        'text_base' and 't5_base' of sentences (with absolute and with relative positions),
        'text_linear' a layer on words.
      **fields: fields of the tower's class; sequences may be lists, `dtype` may be a name.

    Returns:
      The Linen module, called as `tower(x, train, valid)`; `tower.feature_size` is D. Inputs x are
      clips [N, T, H, W, 3] in [0, 1], waveforms [N, S] in [-1, 1] or tokens int [N, L]; features
      are float32 [N, D].

    Raises:
      UserError: the name, a field or a field's value is unknown.
    """
    if name not in MODELS:
        raise UserError(f"model {name!r} is unknown; {nearest(name, MODELS)}")
    named = MODELS[name]
    known = [
        field.name
        for field in dataclasses.fields(named.tower)
        if field.name not in ("parent", "name", *named.fixed)
    ]
    for field in fields:
        if field not in known:
            raise UserError(f"model {name!r} has no field {field!r}; {nearest(field, known)}")
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    if "dtype" in fields:
        fields["dtype"] = compute_dtype(fields["dtype"])
    tower = named.tower(**named.fields | fields)
    tower.check()
    return tower


def count_parameters(params: Any) -> int:
    """Numbers in a tree of arrays or shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
