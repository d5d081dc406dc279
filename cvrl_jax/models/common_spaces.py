"""The spaces in which video, audio and text are compared."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from cvrl_jax.models.heads import dense_init
from cvrl_jax.models.norm import BatchNorm
from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest

SPACES = ("paper", "released", "joint")

Arrays = dict[str, jax.Array]


class DenseNorm(nn.Module):
    """A linear layer without bias, then batch norm; fields as in `CommonSpaces`."""

    features: int
    bn_momentum: float
    bn_epsilon: float

    @nn.compact
    def __call__(self, x_NxD: jax.Array, train: bool, valid_N: jax.Array | None) -> jax.Array:
        dense = nn.Dense(self.features, use_bias=False, kernel_init=dense_init, name="dense")
        norm = BatchNorm(self.bn_momentum, self.bn_epsilon, name="norm")
        return norm(dense(x_NxD.astype(jnp.float32)), train, valid_N)


class CommonSpaces(nn.Module):
    """Fine and coarse common spaces (MMV, arXiv 2006.16228, 3.1; VATT, arXiv 2104.11178, 3.3).

    Video and audio meet in a fine space of `va` dimensions; video goes on from there to a coarse
    space of `vt` dimensions, where it meets text.

    Attributes:
      va: dimensions of the space of video and audio.
      vt: dimensions of the space of video and text.
      form: 'paper' = batch norm behind every linear layer, no activation between the spaces;
        'released' = as the released code: audio and text by a linear layer with bias alone, ReLU
        between the spaces; 'joint' = one space of `va` dimensions for all three, each by ReLU,
        linear layer and batch norm.
      bn_momentum: share of the old running statistics that an update keeps.
      bn_epsilon: added to the variance.
    """

    va: int = 512
    vt: int = 256
    form: str = "paper"
    bn_momentum: float = 0.9
    bn_epsilon: float = 1e-5

    def check(self) -> None:
        """Raises a UserError where a field's value cannot be."""
        if self.form not in SPACES:
            raise UserError(f"config.head.form = {self.form!r}; {nearest(self.form, SPACES)}")
        for field in ("va", "vt"):
            if getattr(self, field) < 1:
                raise UserError(f"config.head.{field} = {getattr(self, field)} must be at least 1")

    @nn.compact
    def __call__(self, features: Arrays, train: bool, valid: Arrays | None = None) -> Arrays:
        """Features of modalities -> their places in the common spaces.

        Args:
          features: any of `video`, `audio`, `text`, each [N, D] with an N and a D of its own.
          train: use and record the batch-norm statistics of the batch.
          valid: bool [N] by modality; False keeps a row out of those statistics.

        Returns:
          float32, not normalised: `video_va` [N, va], `audio_va`, `video_vt` [N, vt], `text_vt`;
          when not training also `audio_vt`, by the layer that takes video from the one space to the
          other (MMV, 3.1).
        """
        rows = valid or dict.fromkeys(features)
        if self.form == "joint":
            return self._joint(features, train, rows)

        def single(modality: str, space: str) -> jax.Array:
            x, size, name = features[modality], getattr(self, space), f"{modality}_{space}"
            if self.form == "paper":
                return self._dense_norm(size, name)(x, train, rows[modality])
            return nn.Dense(size, kernel_init=dense_init, name=name)(x.astype(jnp.float32))

        onwards = self._dense_norm(self.vt, "va_to_vt")

        def from_va_to_vt(z_va: jax.Array, modality: str) -> jax.Array:
            z_va = z_va if self.form == "paper" else nn.relu(z_va)
            return onwards(z_va, train, rows[modality])

        spaces: Arrays = {}
        if "video" in features:
            hidden = self._dense_norm(self.va, "video_hidden")
            x = nn.relu(hidden(features["video"], train, rows["video"]))
            spaces["video_va"] = self._dense_norm(self.va, "video_va")(x, train, rows["video"])
            spaces["video_vt"] = from_va_to_vt(spaces["video_va"], "video")
        if "audio" in features:
            spaces["audio_va"] = single("audio", "va")
            if not train:
                spaces["audio_vt"] = from_va_to_vt(spaces["audio_va"], "audio")
        if "text" in features:
            spaces["text_vt"] = single("text", "vt")
        return spaces

    def _joint(self, features: Arrays, train: bool, rows: dict) -> Arrays:
        spaces: Arrays = {}
        for modality, x in features.items():
            z = self._dense_norm(self.va, f"{modality}_joint")(nn.relu(x), train, rows[modality])
            named = ("vt",) if modality == "text" else ("va", "vt")
            spaces |= {f"{modality}_{space}": z for space in named}
        return spaces

    def _dense_norm(self, features: int, name: str) -> DenseNorm:
        return DenseNorm(features, self.bn_momentum, self.bn_epsilon, name=name)
