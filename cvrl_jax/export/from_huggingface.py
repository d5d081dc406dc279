"""Vision transformers from transformers: `--config.init_from=huggingface:FOLDER`.

VideoMAE's weights give the same features here; those of image ViTs are inflated over time. How
pixels were normalised goes into the patch layer, which is linear: (x - mean) / std of x in [0, 1]
and 2x - 1, which this project's towers see, differ by a scale and a shift.
"""

from __future__ import annotations

import logging
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from cvrl_jax.export.huggingface_folder import PIXELS, pixels, read_json, weights
from cvrl_jax.export.names import Named, check_same, listed
from cvrl_jax.models.positions import resized
from cvrl_jax.models.registry import MODELS, create_model
from cvrl_jax.models.vit import VideoTransformer
from data_pipelines.errors import UserError

# Names that one and the same layer has had there -> the one used below.
_SPELLINGS = (
    (r"^(videomae|vit)\.", ""),
    (r"^layers\.", "encoder.layer."),
    (r"attention\.([qv])_bias$", r"attention.\1_proj.bias"),
    (r"attention\.attention\.(q|k|v)(uery|ey|alue|_proj)\.", r"attention.\1_proj."),
    (r"attention\.output\.dense\.", "attention.o_proj."),
    (r"(\d)\.intermediate\.dense\.", r"\1.mlp.fc1."),
    (r"(\d)\.output\.dense\.", r"\1.mlp.fc2."),
)
_LAYER = {
    "attention.query": "attention.q_proj",
    "attention.key": "attention.k_proj",
    "attention.value": "attention.v_proj",
    "attention.out": "attention.o_proj",
    "attention_norm": "layernorm_before",
    "mlp_norm": "layernorm_after",
    "up": "mlp.fc1",
    "down": "mlp.fc2",
}
_NO_PART = ("classifier.", "decoder.", "encoder_to_decoder.", "pooler.", "mask_token",
            "embeddings.mask_token")  # fmt: skip
_PATCH = "embeddings.patch_embeddings.projection"

log = logging.getLogger(__name__)


def read(library: str, file: str, wanted: Mapping[str, Any], model: dict[str, Any]) -> Named:
    """A vision transformer's arrays from VideoMAE's or an image ViT's.

    A 2-D patch kernel is repeated over the frames of a tubelet and divided by them; an image's
    table of positions is fitted to the tower's grid and repeated over time.

    Args:
      library: "huggingface".
      file: a folder with config.json and model.safetensors (and preprocessor_config.json, which
        says how pixels were normalised), or that model.safetensors.
      wanted: shapes by our names.
      model: the fields of `config.model`.

    Returns:
      float32 arrays by our names.

    Raises:
      UserError: a file is missing or damaged, it is another network than the tower (all fields
        that differ are named), or has other arrays.
    """
    where = f"config.init_from={library}:{file}"
    path = pathlib.Path(file).expanduser()
    folder = path if path.is_dir() else path.parent
    config = read_json(folder / "config.json", where)
    kind = config.get("model_type")
    if kind not in PIXELS:
        raise UserError(f"{where} is of type {kind!r}; {' and '.join(PIXELS)} are read")
    if config.get("hidden_act", "gelu") != "gelu":
        raise UserError(f"{where} has the activation {config['hidden_act']!r}; towers have 'gelu'")
    tower = _tower(where, model)
    _check_fields(where, tower, model["name"], _fields(config))
    state = {_spelled(name): x for name, x in weights(path, where).items()}
    others = [name for name in state if name.startswith(_NO_PART)]
    if others:
        log.info("%s: what is no part of the tower is left out: %s", path, listed(others))
    state = {name: np.asarray(x, np.float32) for name, x in state.items() if name not in others}
    found = _ours(state, tower, *pixels(folder, kind))
    check_same(
        f"{where} does not fit {model['name']!r} of config.model",
        wanted,
        found,
        "set config.model to the network that the weights were made for",
    )
    return found


def _tower(where: str, model: dict[str, Any]) -> VideoTransformer:
    if not issubclass(MODELS[model["name"]].tower, VideoTransformer):
        names = ", ".join(n for n, m in MODELS.items() if issubclass(m.tower, VideoTransformer))
        raise UserError(
            f"{where}: these are weights of vision transformers, but config.model is "
            f"{model['name']!r}; choose one of {names}"
        )
    return create_model(**model)


def _fields(config: dict[str, Any]) -> dict[str, Any]:
    """The fields of `config.model` that the network of a config.json has."""
    try:
        width, heads = config["hidden_size"], config["num_attention_heads"]
        size, patch = _pair(config["image_size"]), _pair(config["patch_size"])
        fields: dict[str, Any] = {
            "layers": config["num_hidden_layers"],
            "width": width,
            "mlp": config["intermediate_size"],
            "heads": heads,
            "head_size": width // heads,
            "epsilon": config.get("layer_norm_eps", 1e-12),
            "biases": True,
            "scaled": True,
            "norm": "layer",
            "relative_bias": "",
            "position_norm": False,
            "pre_projection": False,
            "post_projection": 0,
        }
        if config["model_type"] == "vit":
            return fields | {"patch": patch, "position_form": "joint", "pooling": "agg"}
        tubelet, frames = config["tubelet_size"], config["num_frames"]
        return fields | {
            "patch": (tubelet, *patch),
            "grid": (frames // tubelet, *(n // p for n, p in zip(size, patch))),
            "position_form": "sinusoid",
            "pooling": "mean_norm" if config.get("use_mean_pooling", True) else "mean",
        }
    except KeyError as error:
        raise UserError(f"config.init_from: its config.json lacks {error}") from error


def _pair(size: int | list[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _check_fields(where: str, tower: VideoTransformer, name: str, fields: dict[str, Any]) -> None:
    """Raises a UserError that names every field to set."""
    other = []
    for field, value in fields.items():
        here = getattr(tower, field)
        if field == "patch" and len(value) == 2:  # an image's
            here, value = here[1:], (here[0], *value)
            if here == value[1:]:
                continue
        if here != value:
            text = str(value).replace(" ", "")
            other.append(f"config.model.{field}={text}")
    if other:
        raise UserError(f"{where} is another network than {name!r}; set {' '.join(other)}")


def _ours(state: Named, tower: VideoTransformer, mean: Any, std: Any) -> Named:
    """Their arrays by our names; what has no name of ours keeps its own."""
    left = dict(state)
    found: Named = {}
    modules = {
        f"encoder.block{i}.{ours}": f"encoder.layer.{i}.{theirs}"
        for i in range(tower.layers)
        for ours, theirs in _LAYER.items()
    }
    modules |= {"encoder.norm": "layernorm"} if tower.last_norm else {"norm": "fc_norm"}
    for ours, theirs in modules.items():
        leaf = "scale" if "norm" in ours.rpartition(".")[2] else "kernel"
        if (weight := left.pop(f"{theirs}.weight", None)) is not None:
            found[f"params.{ours}.{leaf}"] = weight.T  # [out, in] -> [in, out]; or one axis
        bias = left.pop(f"{theirs}.bias", None)
        if bias is None and ours.endswith(".key") and weight is not None:
            bias = np.zeros(len(weight), np.float32)  # VideoMAE's keys have none
        if bias is not None:
            found[f"params.{ours}.bias"] = bias
    if f"{_PATCH}.weight" in left and f"{_PATCH}.bias" in left:
        kernel, bias = _patch(
            left.pop(f"{_PATCH}.weight"), left.pop(f"{_PATCH}.bias"), tower.patch[0], mean, std
        )
        found |= {"params.patch.kernel": kernel, "params.patch.bias": bias}
    if tower.position_form == "joint" and "embeddings.position_embeddings" in left:
        table = left.pop("embeddings.position_embeddings")
        agg = left.pop("embeddings.cls_token", np.zeros((1, 1, table.shape[-1]), np.float32))
        found["params.agg"] = agg[0] + table[0, :1]  # here it has no position of its own
        found["params.positions.joint"] = _positions(table[0, 1:], tower)
    return found | left


def _patch(
    weight: np.ndarray, bias: np.ndarray, frames: int, mean: Any, std: Any
) -> tuple[np.ndarray, np.ndarray]:
    """[out, 3, (t,) h, w] for normalised pixels -> [t * h * w * 3, out] for pixels in [-1, 1]."""
    if weight.ndim == 4:
        weight = np.repeat(weight[:, :, None], frames, axis=2) / frames
    kernel_txhxwx3xD = weight.transpose(2, 3, 4, 1, 0)
    mean, std = (np.asarray(x, np.float32)[:, None] for x in (mean, std))
    shift = (kernel_txhxwx3xD * ((0.5 - mean) / std)).sum(axis=(0, 1, 2, 3))
    scaled = kernel_txhxwx3xD / (2 * std)
    return np.ascontiguousarray(scaled.reshape(-1, len(bias)), np.float32), bias + shift


def _positions(table_PxD: np.ndarray, tower: VideoTransformer) -> np.ndarray:
    """An image's P = n x n places -> those of the tower's grid, the same at all times."""
    frames, *places = tower.grid
    side = round(len(table_PxD) ** 0.5)
    fitted = resized(table_PxD, (side, side), tuple(places), tower.position_resize)
    return np.tile(np.asarray(fitted, np.float32), (frames, 1))


def _spelled(name: str) -> str:
    for pattern, replacement in _SPELLINGS:
        name = re.sub(pattern, replacement, name)
    return name
