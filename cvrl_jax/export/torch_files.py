"""`--to=pytorchvideo` and `--to=torchvision`: a state dict that the library's own network loads."""

from __future__ import annotations

import json
import pathlib
import types
import warnings
from typing import Any

import jax
import numpy as np

from cvrl_jax.encoder import Encoder
from cvrl_jax.export import layouts, safetensors_file
from cvrl_jax.export.files import FOLDER, import_extra
from cvrl_jax.export.names import by_name
from cvrl_jax.models.normalization import NORMALIZATIONS

_DECLARED: list[Any] = []  # operators last as long as what declared them
LOADER = FOLDER / "for_torch.py"
LAYOUTS = {"pytorchvideo": layouts.PYTORCHVIDEO, "torchvision": layouts.TORCHVISION_VIDEO}


def about(library: str, encoder: Encoder) -> dict[str, Any]:
    """What `for_torch.load` has to know beside the arrays; goes into the file's header.

    Raises:
      UserError: the library has no such network.
    """
    name = encoder.description.model["name"]
    tower = layouts.check_residual(library, encoder.tower, name)
    arguments: dict[str, object] = {}
    if library == "pytorchvideo":
        arguments = layouts.pytorchvideo_arguments(tower)
    else:
        layouts.check_r3d18(tower)
    mean, std = NORMALIZATIONS[tower.normalization]
    return {
        "library": library,
        "arguments": arguments,
        "padding": tower.padding,
        "framewise": encoder.description.framewise,
        "mean": mean,
        "std": std,
    }


def write(library: str, encoder: Encoder, path: pathlib.Path) -> None:
    """Writes the state dict; its header also holds `about` and the description."""
    state = layouts.to_torch(LAYOUTS[library], by_name(jax.device_get(encoder.variables)))
    header = {
        "torch": json.dumps(about(library, encoder)),
        "description": encoder.description.to_json(),
    }
    safetensors_file.save(path, state, header)


def import_torch() -> types.ModuleType:
    """Imports torch and both libraries, which are in the extra `export`.

    Raises:
      UserError: one is not installed.
    """
    torch = import_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries about each other
        import_extra("pytorchvideo.models.resnet")
    return torch


def import_torchvision() -> types.ModuleType:
    """Imports torch and torchvision, also where each is built for another build of the other.

    Raises:
      UserError: one is not installed.
    """
    torch = import_extra("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries about each other
        try:
            import_extra("torchvision")
        except RuntimeError:
            # A build of torchvision for another build of torch brings none of its own operators;
            # no network here uses one, but its import wants to know of these two.
            library = torch.library.Library("torchvision", "FRAGMENT")
            for name in ("nms", "qnms"):
                library.define(f"{name}(Tensor dets, Tensor scores, float iou) -> Tensor")
            _DECLARED.append(library)
            import_extra("torchvision")
    return torch


def run(loader: types.ModuleType, path: pathlib.Path, clips_BxTxHxWx3: np.ndarray) -> np.ndarray:
    """Features by PyTorch, as a user of the written files gets them."""
    torch = import_torch()
    encoder = loader.load(str(path))
    clips = torch.from_numpy(np.ascontiguousarray(clips_BxTxHxWx3.transpose(0, 4, 1, 2, 3)))
    with torch.no_grad():
        return encoder(clips).numpy()
