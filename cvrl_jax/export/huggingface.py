"""`--to=huggingface`: a folder that transformers loads, for vision transformers.

Two video transformers there are this project's: with a class token ViViT's (Arnab et al., arXiv
2103.15691, model 1), whose one table of positions takes whatever this tower has; with the mean of
the tokens and fixed positions VideoMAE's (Tong et al., arXiv 2203.12602), whose keys have no bias,
which softmax does not notice: it adds the same to all logits of a query.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import jax
import numpy as np

from cvrl_jax.encoder import Encoder
from cvrl_jax.export import safetensors_file
from cvrl_jax.export.files import import_extra
from cvrl_jax.export.names import Named, by_name
from cvrl_jax.export.torch_files import import_torch
from cvrl_jax.models.positions import Positions
from cvrl_jax.models.vit import VideoTransformer
from data_pipelines.errors import UserError

_SAME = {
    "biases": True,
    "scaled": True,
    "norm": "layer",
    "relative_bias": "",
    "pre_projection": False,
    "post_projection": 0,
}
_VIDEOMAE = {"pooling": "mean", "position_form": "sinusoid", "position_norm": False}
_LAYER = {
    "attention.query": "attention.attention.query",
    "attention.key": "attention.attention.key",
    "attention.value": "attention.attention.value",
    "attention.out": "attention.output.dense",
    "attention_norm": "layernorm_before",
    "mlp_norm": "layernorm_after",
    "up": "intermediate.dense",
    "down": "output.dense",
}


def fits(encoder: Encoder) -> None:
    """Raises a UserError where transformers has no such network, or is not installed."""
    _check(encoder)
    import_torch()
    import_extra("transformers")


def is_videomae(model: dict[str, Any]) -> bool:
    """Whether the folder of a tower, by the fields of `config.model`, is VideoMAE's or ViViT's."""
    return model.get("pooling", "agg") != "agg"


def _check(encoder: Encoder) -> None:
    tower, d = encoder.tower, encoder.description
    same = _SAME | (_VIDEOMAE if is_videomae(d.model) else {"pooling": "agg"})
    other = f"the tower {d.model['name']!r}"
    if isinstance(tower, VideoTransformer):
        wrong = [f"{k}={getattr(tower, k)!r}" for k, v in same.items() if getattr(tower, k) != v]
        if tower.heads * tower.head_size != tower.width:
            wrong.append(f"heads * head_size = {tower.heads * tower.head_size}, not the width")
        if is_videomae(d.model) and tower.grid != _grid(encoder):
            wrong.append(f"grid={tower.grid}, where clips have {_grid(encoder)} tokens")
        other = ", ".join(wrong)
    if other:
        fields = ", ".join(f"{k}={v!r}" for k, v in same.items())
        raise UserError(
            f"--to=huggingface takes towers vit_* with {fields}, as "
            f"{'VideoMAE' if is_videomae(d.model) else 'ViViT'} is; this has {other}: "
            "use --to=safetensors or --to=stablehlo, which take every tower"
        )


def _grid(encoder: Encoder) -> tuple[int, int, int]:
    """Tokens of a clip along time, height and width."""
    d, (t, h, w) = encoder.description, encoder.tower.patch
    return d.frames // t, d.size // h, d.size // w


def write(encoder: Encoder, folder: pathlib.Path) -> None:
    """Makes the folder: config.json, model.safetensors, preprocessor_config.json."""
    _check(encoder)
    folder.mkdir()
    files = {"config": _config(encoder), "preprocessor_config": _preprocessor(encoder)}
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    header = {"description": encoder.description.to_json()}
    safetensors_file.save(folder / "model.safetensors", state_dict(encoder), header)


def state_dict(encoder: Encoder) -> Named:
    """The arrays by the names under which ViViT's, or VideoMAE's, are published."""
    tower: VideoTransformer = encoder.tower
    params = jax.device_get(encoder.params)
    arrays = by_name(params)
    videomae = is_videomae(encoder.description.model)
    kernel = arrays["patch.kernel"].reshape(*tower.patch, 3, tower.width)
    state: Named = {
        "embeddings.patch_embeddings.projection.weight": kernel.transpose(4, 3, 0, 1, 2),
        "embeddings.patch_embeddings.projection.bias": arrays["patch.bias"],
    }
    if not videomae:
        state |= _class_token_and_positions(encoder, params)
    modules = {"encoder.norm": "layernorm"} | {
        f"encoder.block{i}.{ours}": f"encoder.layer.{i}.{theirs}"
        for i in range(tower.layers)
        for ours, theirs in _LAYER.items()
    }
    for ours, theirs in modules.items():
        is_norm = f"{ours}.scale" in arrays
        weight = arrays[f"{ours}.scale"] if is_norm else arrays[f"{ours}.kernel"].T
        layer, _, part = theirs.rpartition(".")
        bias = f"{theirs}.bias"
        if videomae and part in ("query", "value"):
            bias = f"{layer}.{part[0]}_bias"
        state[f"{theirs}.weight"] = weight
        if not (videomae and part == "key"):
            state[bias] = arrays[f"{ours}.bias"]
    return state


def _class_token_and_positions(encoder: Encoder, params: Any) -> Named:
    tower: VideoTransformer = encoder.tower
    table = Positions(
        tower.grid,
        tower.width,
        tower.position_resize,
        tower.position_norm,
        tower.position_form,
        tower.epsilon,
    )
    positions_SxD: Any = table.apply({"params": params.get("positions", {})}, _grid(encoder))
    agg_1xD = params["agg"]
    return {
        "embeddings.cls_token": agg_1xD[None],
        # The class token has no position here.
        "embeddings.position_embeddings": np.concatenate([0 * agg_1xD, positions_SxD])[None],
    }


def _config(encoder: Encoder) -> dict[str, Any]:
    tower, d = encoder.tower, encoder.description
    ours: dict[str, Any] = {
        "model_type": "vivit",
        "architectures": ["VivitModel"],
        "tubelet_size": list(tower.patch),
    }
    if is_videomae(d.model):
        ours = {
            "model_type": "videomae",
            "architectures": ["VideoMAEModel"],
            "tubelet_size": tower.patch[0],
            "patch_size": list(tower.patch[1:]),
            "use_mean_pooling": False,  # over tokens that are not normalised
        }
    return ours | {
        "hidden_act": "gelu",  # the exact one
        "hidden_size": tower.width,
        "image_size": d.size,
        "intermediate_size": tower.mlp,
        "layer_norm_eps": tower.epsilon,
        "num_attention_heads": tower.heads,
        "num_channels": 3,
        "num_frames": d.frames,
        "num_hidden_layers": tower.layers,
        "qkv_bias": True,
        "hidden_dropout_prob": tower.dropout,
        "attention_probs_dropout_prob": tower.attention_dropout,
    }


def _preprocessor(encoder: Encoder) -> dict[str, Any]:
    """Short side, centre, and pixels in [-1, 1]."""
    size = encoder.description.size
    kind = "VideoMAE" if is_videomae(encoder.description.model) else "Vivit"
    return {
        "image_processor_type": f"{kind}ImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "offset": False,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }


def run(folder: pathlib.Path, clips_BxTxHxWx3: np.ndarray) -> np.ndarray:
    """Features by transformers: the class token after the last layer, or the mean of the tokens.

    Raises:
      UserError: it does not know an array, or misses one.
    """
    torch = import_torch()
    transformers = import_extra("transformers")
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    network, arguments = transformers.VivitModel, {"add_pooling_layer": False}
    if kind == "videomae":
        network, arguments = transformers.VideoMAEModel, {}
    model, info = network.from_pretrained(folder, output_loading_info=True, **arguments)
    wrong = [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]]
    if wrong:
        raise UserError(
            f"this version of transformers has other names: {wrong[:8]}; try a newer one"
        )
    pixels = 2 * clips_BxTxHxWx3.transpose(0, 1, 4, 2, 3).astype(np.float32) / 255 - 1
    with torch.no_grad():
        tokens = model.eval()(torch.from_numpy(pixels)).last_hidden_state
    return (tokens.mean(1) if kind == "videomae" else tokens[:, 0]).numpy()
