"""Two checkpoints compared layer by layer: the protocol `cka`."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cvrl_jax.downstream.finetune import Judged
from cvrl_jax.downstream.frozen import Opened, listed, open_checkpoint
from cvrl_jax.evaluation.cka import cka_matrix, linear_cka
from cvrl_jax.evaluation.features import extract_features
from cvrl_jax.evaluation.specs import evaluation_spec
from cvrl_jax.methods import Batch, Method, Variables
from cvrl_jax.network import run_in_pieces
from cvrl_jax.parallel.mesh import batch_sharding, make_mesh, put_batch, replicated
from data_pipelines.errors import UserError
from data_pipelines.loading import kill_after, worker_count
from data_pipelines.sources import Sources
from data_pipelines.sources.subset import subset
from data_pipelines.video import Source

log = logging.getLogger(__name__)

_LAYER = re.compile(r"stem|stage\d+_block\d+|block\d+")  # modules whose output is a layer's
FEATURES = "features"


def compare(
    name: str, opened: Opened, sources: Sources, workdir: pathlib.Path, overwrite: bool
) -> Judged:
    """Linear CKA between the layers of two checkpoints, or of one with itself.

    Both see the same videos, each in clips as its own run has them.

    Returns:
      <name>, of the features; <name>_<layer>, of layers of the same name where the checkpoints
      differ. The whole matrix is the file "matrix" of the result.

    Raises:
      UserError: no section `eval.cka`, or nothing that both can read.
    """
    del workdir, overwrite  # it leaves nothing behind
    if "cka" not in opened.config.eval:
        raise UserError("CKA needs the section eval.cka: use --config=configs/eval/cka.py")
    settings = opened.config.eval.cka
    other = opened
    if settings.other:
        other = open_checkpoint(None, pathlib.Path(settings.other))
    source = sources.test or sources.train
    count = min(settings.videos, len(source))
    rows = np.unique(np.linspace(0, len(source) - 1, count).round().astype(int))
    source = subset(source, rows)
    mine, valid, left_out = layers_of(opened, source, opened)
    theirs, valid_too = mine, valid
    if settings.other:
        theirs, valid_too, _ = layers_of(other, source, opened)
    both = valid & valid_too
    if both.sum() < 2:
        raise UserError(f"{source.name}: fewer than two videos can be read; nothing to compare")
    mine = {layer: x[both] for layer, x in mine.items()}
    theirs = {layer: x[both] for layer, x in theirs.items()}
    matrix = cka_matrix(mine, theirs)
    metrics = {name: linear_cka(mine[FEATURES], theirs[FEATURES])}
    if settings.other:
        metrics |= {
            f"{name}_{layer}": of_layer[layer]
            for layer, of_layer in matrix.items()
            if layer in of_layer and layer != FEATURES
        }
    files = {"matrix": matrix, "other": str(other.path), "videos": int(both.sum())}
    return Judged(metrics, left_out, files)


def layers_of(
    opened: Opened, source: Source, asked: Opened
) -> tuple[dict[str, np.ndarray], np.ndarray, list[dict[str, str]]]:
    """What each layer of the video tower says of each video.

    Args:
      opened: the checkpoint.
      source: the videos.
      asked: whose config says how many clips, and how they are read.

    Returns:
      (by layer from the bottom, "features" last, float32 [N, D]: means over time, place and views;
      which videos could be read, bool [N]; those that could not).
    """
    mesh = make_mesh()

    def embed(variables: Variables, batch: Batch) -> dict[str, jax.Array]:
        return layer_outputs(opened.method, variables, batch)

    jitted = jax.jit(
        embed, in_shardings=(None, batch_sharding(mesh)), out_shardings=replicated(mesh)
    )

    def run(piece: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return jax.device_get(jitted(opened.variables, put_batch(piece, mesh)))

    config = asked.config
    spec = evaluation_spec(opened.config, config.eval.clips, 1, opened.method.inputs)
    spec = dataclasses.replace(spec, audio=None, text=None)
    found = extract_features(
        lambda batch: run_in_pieces(
            run,
            {"video": batch["video"]},
            most=config.eval.batch_size,
            devices=jax.device_count(),
        ),
        source,
        spec,
        batch_size=max(1, config.eval.batch_size // spec.views),
        workers=worker_count(config.data),
        timeout=kill_after(config.data),
    )
    layers = {name: value.mean(axis=1) for name, value in found.outputs.items()}
    order = [name for name in layers if name != FEATURES]
    order.sort(key=lambda name: [int(n) for n in re.findall(r"\d+", name)])
    ordered = {name: layers[name] for name in (*order, FEATURES)}
    return ordered, found.valid_N, listed(found.left_out)


def layer_outputs(method: Method, variables: Variables, batch: Batch) -> dict[str, jax.Array]:
    """The mean over time and place of every layer's output, and the features.

    Args:
      method: any; it is asked to embed video alone.
      variables: of the method.
      batch: with `video` [B, V, T, H, W, 3] alone.

    Returns:
      float32 [B, V, D] by name: "stem", "stage0_block0", ... or "block0", ..., and "features".
    """
    found: dict[str, jax.Array] = {}
    clips = batch["video"].shape[0] * batch["video"].shape[1]

    def listen(call: Callable, args: Any, kwargs: Any, context: nn.module.InterceptorContext):
        output = call(*args, **kwargs)
        layer = context.module.path[-1] if context.module.path else ""
        if context.method_name == "__call__" and _LAYER.fullmatch(layer):
            pooled = output.astype(jnp.float32).mean(axis=tuple(range(1, output.ndim - 1)))
            # A tower of single frames sees the frames of a clip as so many examples.
            found[layer] = pooled.reshape(clips, -1, pooled.shape[-1]).mean(axis=1)
        return output

    with nn.intercept_methods(listen):
        features = method.embed(variables, batch)["video"]
    shape = batch["video"].shape[:2]
    return {layer: x.reshape(*shape, -1) for layer, x in found.items()} | {FEATURES: features}
