"""A method with its variables as evaluations see it: a frozen network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh

from cvrl_jax.evaluation.features import Network
from cvrl_jax.methods import Batch, Method, Variables
from cvrl_jax.models.transformer import Transformer
from cvrl_jax.parallel.mesh import batch_sharding, put_batch, replicated
from cvrl_jax.state import MODALITIES, make_embed


def make_network(method: Method, mesh: Mesh) -> Callable[[Variables], Network]:
    """Builds variables -> frozen network, compiled once for all variables."""
    embed = make_embed(method, mesh)

    def tokens(variables: Variables, batch: Batch, modality: str) -> jax.Array | None:
        return transformer_tokens(method, variables, batch, modality)

    jitted = jax.jit(
        tokens,
        static_argnums=2,
        in_shardings=(None, batch_sharding(mesh)),
        out_shardings=replicated(mesh),
    )

    def tokens_on_host(
        variables: Variables, batch: dict[str, np.ndarray], modality: str
    ) -> np.ndarray | None:
        seen = {k: batch[k] for k in MODALITIES if k in batch and k.startswith(modality)}
        return jax.device_get(jitted(variables, put_batch(seen, mesh), modality))

    return lambda variables: Network(
        inputs=method.inputs,
        embed=lambda batch: embed(variables, batch),
        tokens=lambda batch, modality: tokens_on_host(variables, batch, modality),
    )


def transformer_tokens(
    method: Method, variables: Variables, batch: Batch, modality: str
) -> jax.Array | None:
    """What the last layer of a method's transformer says of every token of a modality.

    Args:
      method: any; it is asked to embed this modality alone.
      variables: of the method.
      batch: with `modality` [B, V, ...] and nothing of others.
      modality: "video", "audio" or "text".

    Returns:
      float16 [B, V, L, D], normalised as the transformer leaves them, AGG token included; None of a
      network that is no transformer.
    """
    found: list[jax.Array] = []

    def listen(call: Callable, args: Any, kwargs: Any, context: nn.module.InterceptorContext):
        output = call(*args, **kwargs)
        if isinstance(context.module, Transformer) and context.method_name == "__call__":
            found.append(output)
        return output

    with nn.intercept_methods(listen):
        method.embed(variables, batch)
    if not found:
        return None
    (tokens_NxLxD,) = found
    return tokens_NxLxD.astype(jnp.float16).reshape(
        *batch[modality].shape[:2], *tokens_NxLxD.shape[1:]
    )
