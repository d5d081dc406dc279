"""The model card that is written beside an export."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from cvrl_jax.description import Description
from cvrl_jax.export.huggingface import is_videomae
from cvrl_jax.export.names import by_name
from cvrl_jax.export.torch_files import LAYOUTS
from cvrl_jax.models.normalization import NORMALIZATIONS

if TYPE_CHECKING:
    from cvrl_jax.export.targets import Target

_NO_LICENSE = (
    "not stated; whoever publishes them states it here, with the terms of the videos they were "
    "trained on."
)
_BY_CVRL_JAX = 'encoder = cvrl_jax.load("{name}")\nvectors = encoder.embed(["a.mp4", "b.mp4"])'
_BY_TORCH = 'from {stem} import load\n\nvectors = load("{name}")(clips)  # [B, 3, T, H, W]'
_BY_JAX = 'from {stem} import load\n\nforward, shape = load("{name}")\nvectors = forward(clips)'
_BY_ONNX = (
    'session = onnxruntime.InferenceSession("{name}")\n'
    'vectors = session.run(None, {{"clips": clips}})[0]'
)
_BY_TRANSFORMERS = (
    'model = transformers.VivitModel.from_pretrained("{name}", add_pooling_layer=False)\n'
    "vectors = model(2 * clips - 1).last_hidden_state[:, 0]  # clips [B, T, 3, H, W]"
)
_BY_VIDEOMAE = (
    'model = transformers.VideoMAEModel.from_pretrained("{name}")\n'
    "vectors = model(2 * clips - 1).last_hidden_state.mean(1)  # clips [B, T, 3, H, W]"
)
_OPENED_BY = {
    "native": _BY_CVRL_JAX,
    "safetensors": _BY_CVRL_JAX,
    "pytorchvideo": _BY_TORCH,
    "torchvision": _BY_TORCH,
    "stablehlo": _BY_JAX,
    "onnx": _BY_ONNX,
    "huggingface": _BY_TRANSFORMERS,
}


def model_card(
    description: Description,
    variables: Any,
    to: str,
    target: Target,
    result: dict[str, Any],
    name: str,
    license: str = "",
) -> str:
    """Markdown: what it is, how to open it, what went into it, how it was checked.

    Args:
      description: of the encoder.
      variables: its arrays.
      to: the target's name.
      target: the target.
      result: of the comparison.
      name: of the file or folder.
      license: of the weights, as an SPDX identifier; "" = not stated.
    """
    d, origin = description, description.origin
    opened_by = _OPENED_BY[to]
    if to == "huggingface" and is_videomae(d.model):
        opened_by = _BY_VIDEOMAE
    normalization = d.model.get("normalization", "none")
    mean, std = NORMALIZATIONS[normalization]
    step = f"{d.stride:g} {'seconds' if d.stride_unit == 'seconds' else 'frames of the file'}"
    metrics = {k: v for k, v in origin.get("metrics", {}).items() if isinstance(v, int | float)}
    lines = [
        *_front_matter(license),
        f"# {name}",
        "",
        f"A video encoder: {d.title}, step {origin.get('step', 'unknown')}, exported by cvrl_jax "
        f"{importlib.metadata.version('cvrl_jax')} as `{to}`.",
        "",
        "```python",
        opened_by.format(name=name, stem=name.rpartition(".")[0]),
        "```",
        "",
        "## Input and output",
        "",
        f"- Clips of {d.frames} frames, one every {step}, RGB, {d.size} x {d.size} pixels: the "
        "short side resized (bilinear), the centre cut out.",
        f"- Pixels in [0, 1]; the network itself then takes off {list(mean)} and divides by "
        f"{list(std)} (`{normalization}`).",
        f"- A vector of {result['features']} numbers per clip, not normalised"
        + ("; the mean over its frames, which the network sees one by one." * d.framewise or "."),
        "",
        "## Checked",
        "",
        "Features of random clips, computed from this export, against those of the encoder: "
        f"largest difference {result['largest_difference']:.3g}, largest feature "
        f"{result['largest_feature']:.3g}.",
        *_padding(d, to),
        "",
        "## Where it comes from",
        "",
        f"- Method: {origin.get('method')}; the whole recipe is at the end.",
        f"- Measured during training: {json.dumps(metrics)}.",
        f"- Versions: {json.dumps(origin.get('versions'))}.",
        f"- License of the weights: {license or _NO_LICENSE} The code is Apache-2.0.",
        "",
        *_census(origin.get("data") or {}),
        *(_arrays(variables, to) if target.shows_arrays else []),
        "## Recipe",
        "",
        "```json",
        json.dumps(origin.get("config"), indent=2),
        "```",
        "",
    ]
    return "\n".join(lines)


def _front_matter(license: str) -> list[str]:
    """What hubs of models read, YAML between two lines of dashes."""
    stated = [f"license: {license}"] if license else []
    tags = [f"- {tag}" for tag in ("video", "self-supervised", "jax")]
    return ["---", *stated, "library_name: cvrl_jax", "tags:", *tags, "---", ""]


def _census(data: Mapping[str, Any]) -> list[str]:
    """What is known of the videos, one line each; hours and frames are estimated from a sample."""
    rows = [
        f"| {name.replace('_', ' ')} | {value if isinstance(value, str) else json.dumps(value)} |"
        for name, value in data.items()
    ]
    return ["## Data census", "", "| | |", "|---|---|", *rows, ""] if rows else []


def _padding(d: Description, to: str) -> list[str]:
    if to not in LAYOUTS:
        return []
    if d.model.get("padding", "same") == "same":
        return [
            "",
            "It was trained with TensorFlow's SAME padding, which PyTorch's symmetric padding "
            "cannot equal. The state dict loads with `strict=True` all the same, but features "
            "are equal only through the Python file beside this one, which pads before the layers.",
        ]
    return [
        "",
        "It pads symmetrically, as PyTorch does: the library's own network is all it needs.",
    ]


def _arrays(variables: Any, to: str) -> list[str]:
    """The table of names, shapes and axes."""
    theirs = LAYOUTS[to].names(by_name(variables)) if to in LAYOUTS else {}
    rows = []
    for name, value in by_name(variables).items():
        shape, axes = np.shape(value), axes_of(name, len(np.shape(value)))
        if theirs and len(shape) == 5:
            shape, axes = [shape[i] for i in (4, 3, 0, 1, 2)], "out, in, time, height, width"
        rows.append(f"| `{theirs.get(name, name)}` | {list(shape)} | {axes} |")
    count = sum(np.size(x) for x in jax.tree.leaves(variables))
    return [
        "## Arrays",
        "",
        f"{count:,} numbers in float32.",
        "",
        "| name | shape | axes |",
        "|---|---|---|",
        *rows,
        "",
    ]


def axes_of(name: str, rank: int) -> str:
    """What the axes of an array of a tower mean, by its name and rank."""
    leaf = name.rpartition(".")[2]
    if leaf == "kernel" and rank == 5:
        return "time, height, width, in, out"
    if leaf == "kernel" and rank == 2:
        return "in, out"
    if rank == 1:
        return "channel"
    return "as in cvrl_jax/models"
