"""`--to=huggingface`: a folder that `transformers.VivitModel` loads, for vision transformers.

Of the video transformers there, ViViT's (Arnab et al., arXiv 2103.15691, model 1) is the one used
here: tubelets, a class token, learned positions, blocks with the normalisation first. Its one table
of positions takes the sum of this tower's. VideoMAE's has no class token and fixed positions.
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
    "pooling": "agg",
    "pre_projection": False,
    "post_projection": 0,
}
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


def _check(encoder: Encoder) -> None:
    tower, name = encoder.tower, encoder.description.model["name"]
    other = f"the tower {name!r}"
    if isinstance(tower, VideoTransformer):
        wrong = [f"{k}={getattr(tower, k)!r}" for k, v in _SAME.items() if getattr(tower, k) != v]
        if tower.heads * tower.head_size != tower.width:
            wrong.append(f"heads * head_size = {tower.heads * tower.head_size}, not the width")
        other = ", ".join(wrong)
    if other:
        fields = ", ".join(f"{k}={v!r}" for k, v in _SAME.items())
        raise UserError(
            f"--to=huggingface takes towers vit_* with {fields}, as ViViT is; this has {other}: "
            "use --to=safetensors or --to=stablehlo, which take every tower"
        )


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
    """The arrays by the names under which ViViT's are published."""
    tower: VideoTransformer = encoder.tower
    d = encoder.description
    params = jax.device_get(encoder.params)
    arrays = by_name(params)
    grid = (d.frames // tower.patch[0], d.size // tower.patch[1], d.size // tower.patch[2])
    table = Positions(
        tower.grid,
        tower.width,
        tower.position_resize,
        tower.position_norm,
        tower.position_form,
        tower.epsilon,
    )
    positions_SxD: Any = table.apply({"params": params.get("positions", {})}, grid)
    agg_1xD = arrays["agg"]
    kernel = arrays["patch.kernel"].reshape(*tower.patch, 3, tower.width)
    state: Named = {
        "embeddings.cls_token": agg_1xD[None],
        # The class token has no position here.
        "embeddings.position_embeddings": np.concatenate([0 * agg_1xD, positions_SxD])[None],
        "embeddings.patch_embeddings.projection.weight": kernel.transpose(4, 3, 0, 1, 2),
        "embeddings.patch_embeddings.projection.bias": arrays["patch.bias"],
    }
    modules = {"encoder.norm": "layernorm"} | {
        f"encoder.block{i}.{ours}": f"encoder.layer.{i}.{theirs}"
        for i in range(tower.layers)
        for ours, theirs in _LAYER.items()
    }
    for ours, theirs in modules.items():
        is_norm = f"{ours}.scale" in arrays
        weight = arrays[f"{ours}.scale"] if is_norm else arrays[f"{ours}.kernel"].T
        state |= {f"{theirs}.weight": weight, f"{theirs}.bias": arrays[f"{ours}.bias"]}
    return state


def _config(encoder: Encoder) -> dict[str, Any]:
    tower, d = encoder.tower, encoder.description
    return {
        "model_type": "vivit",
        "architectures": ["VivitModel"],
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
        "tubelet_size": list(tower.patch),
        "hidden_dropout_prob": tower.dropout,
        "attention_probs_dropout_prob": tower.attention_dropout,
    }


def _preprocessor(encoder: Encoder) -> dict[str, Any]:
    """Short side, centre, and pixels in [-1, 1]."""
    size = encoder.description.size
    return {
        "image_processor_type": "VivitImageProcessor",
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
    """Features by transformers: the class token after the last layer.

    Raises:
      UserError: it does not know an array, or misses one.
    """
    torch = import_torch()
    model, info = import_extra("transformers").VivitModel.from_pretrained(
        folder, add_pooling_layer=False, output_loading_info=True
    )
    wrong = [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]]
    if wrong:
        raise UserError(
            f"this version of transformers has other names: {wrong[:8]}; try a newer one"
        )
    pixels = 2 * clips_BxTxHxWx3.transpose(0, 1, 4, 2, 3).astype(np.float32) / 255 - 1
    with torch.no_grad():
        return model.eval()(torch.from_numpy(pixels)).last_hidden_state[:, 0].numpy()
