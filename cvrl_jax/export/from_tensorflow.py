"""CVRL's released towers: `--config.init_from=tensorflow:PREFIX` of a Model Garden checkpoint."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cvrl_jax.export import layouts
from cvrl_jax.export.names import Named, check_same, listed
from cvrl_jax.export.tensor_bundle import read_bundle

_BACKBONE = "backbone/"
_CONVS = ("_temporal_conv", "_spatial_conv", "_expand_conv")
_LEAVES = {
    "kernel": "kernel",
    "scale": "gamma",
    "bias": "beta",
    "mean": "moving_mean",
    "var": "moving_variance",
}

log = logging.getLogger(__name__)


def read(library: str, file: str, wanted: Mapping[str, Any], model: dict[str, Any]) -> Named:
    """A residual tower's arrays from a checkpoint of TensorFlow's Model Garden.

    Kernels have the same axes there. What is no part of the backbone (a classifier, an optimizer,
    counters) is left out and logged.

    Args:
      library: "tensorflow".
      file: PREFIX of PREFIX.index and PREFIX.data-*.
      wanted: shapes by our names.
      model: the fields of `config.model`.

    Returns:
      float32 arrays by our names.

    Raises:
      UserError: files cannot be read, or names and shapes are not those of the tower.
    """
    layouts.check_wanted(library, file, wanted, model)
    path = pathlib.Path(file).expanduser()
    arrays = read_bundle(path)
    layout = layout_of(wanted)
    layouts.tell_of_pixels(layout, model)
    others = [n for n in arrays if not n.startswith(_BACKBONE) or "/.OPTIMIZER_SLOT/" in n]
    if others:
        log.info("%s: what is no part of the backbone is left out: %s", path, listed(others))
    found = {name: value for name, value in arrays.items() if name not in others}
    names = layout.names(wanted)
    check_same(
        f"config.init_from={library}:{file} does not fit {model['name']!r} of config.model",
        {theirs: wanted[ours] for ours, theirs in names.items()},
        found,
        "set config.model to the network that the weights were made for",
    )
    return {ours: np.asarray(found[theirs], np.float32) for ours, theirs in names.items()}


def layout_of(ours: Iterable[str]) -> layouts.Layout:
    """What a tower's arrays are called there, for towers of bottlenecks.

    Keras counts the layers with weights: the stem's convolution, its normalisation, the blocks.

    Args:
      ours: our names of the arrays.
    """
    layer = {
        block: f"{_BACKBONE}layer_with_weights-{i}/"
        for i, block in enumerate(layouts.blocks_of(ours), start=2)
    }
    return layouts.Layout(
        name="tensorflow",
        stem=(f"{_BACKBONE}layer_with_weights-0", f"{_BACKBONE}layer_with_weights-1"),
        conv=lambda stage, block, i: (
            layer[stage, block] + _CONVS[i],
            f"{layer[stage, block]}_norm{i + 1}",
        ),
        shortcut=lambda stage, block: (
            f"{layer[stage, block]}_shortcut_conv",
            f"{layer[stage, block]}_norm0",
        ),
        head="classifier/",
        normalization="none",
        padding="same",
        leaves={ours: f"/{theirs}/.ATTRIBUTES/VARIABLE_VALUE" for ours, theirs in _LEAVES.items()},
    )
