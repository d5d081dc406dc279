"""Self-supervised video learning in JAX: `cvrl_jax.load` opens what a run has learned."""

from __future__ import annotations

import os
import typing

if typing.TYPE_CHECKING:
    from cvrl_jax.encoder import Encoder

__all__ = ["load"]


def load(path: str | os.PathLike[str], *, dtype: str = "float32") -> Encoder:
    """Opens the encoder of a run or of an export; needs no config, no flags and no accelerator.

    Args:
      path: a run's folder, one of its checkpoints, an export (`native` or `safetensors`), or the
        name of published weights, see `cvrl_jax.zoo`.
      dtype: of the arithmetic; "bfloat16" is faster on accelerators and differs in the third digit.

    Returns:
      The encoder: `encoder.embed(["a.mp4", "b.mp4"])` gives [2, D]; `encoder.params` and
      `encoder.apply(params, clips)` are for one's own JAX code.

    Raises:
      UserError: there is nothing to load, it is damaged, or it does not fit together.
    """
    from cvrl_jax.loading import load_encoder  # importing cvrl_jax must not import JAX

    return load_encoder(os.fspath(path), dtype)
