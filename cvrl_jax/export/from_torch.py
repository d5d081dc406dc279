"""Residual towers from PyTorch's libraries: `--config.init_from=torchvision:FILE`."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from cvrl_jax.export import layouts, safetensors_file
from cvrl_jax.export.files import import_extra
from cvrl_jax.export.layouts import Layout
from cvrl_jax.export.names import Named, check_same, listed
from data_pipelines.errors import UserError, first_line

_WRAPPINGS = ("model_state", "state_dict", "model")  # what training programs put weights under

log = logging.getLogger(__name__)


def read(library: str, file: str, wanted: Mapping[str, Any], model: dict[str, Any]) -> Named:
    """A tower's arrays from a PyTorch state dict.

    Weights of image networks (torchvision's `resnet50` and its like) are inflated: a kernel over
    time is the image's kernel in every frame, divided by the frames, so that a video that stands
    still gives the activations of the image (Carreira & Zisserman, arXiv 1705.07750, section 2.4).

    Args:
      library: "torchvision" or "pytorchvideo".
      file: safetensors, or anything that `torch.save` wrote (needs the extra `export`).
      wanted: shapes by our names.
      model: the fields of `config.model`, for messages.

    Returns:
      float32 arrays by our names.

    Raises:
      UserError: the file cannot be read, or names and shapes are not those of the tower. All of
        them are listed but for a classifier's, which is logged.
    """
    layouts.check_wanted(library, file, wanted, model)
    path = pathlib.Path(file).expanduser()
    state = state_dict(path)
    layout = _layout(library, state)
    layouts.tell_of_pixels(layout, model)
    left = {name: x for name, x in state.items() if not name.endswith("num_batches_tracked")}
    classifier = [name for name in left if name.startswith(layout.head)]
    if classifier:
        log.info("%s: its classifier is left out: %s", path, listed(classifier))
    left = {name: x for name, x in left.items() if name not in classifier}
    names = layout.names(wanted)
    images = layout is layouts.TORCHVISION_IMAGE
    found = {}
    for ours, theirs in names.items():
        if theirs in left:
            found[theirs] = _ours(left.pop(theirs), tuple(wanted[ours].shape), images)
    check_same(
        f"config.init_from={library}:{file} does not fit {model['name']!r} of config.model",
        {theirs: wanted[ours] for ours, theirs in names.items()},
        found | left,
        "set config.model to the network that the weights were made for",
    )
    return {ours: found[theirs] for ours, theirs in names.items()}


def _ours(value: np.ndarray, shape: tuple[int, ...], image: bool) -> np.ndarray:
    """PyTorch's axes -> ours; an image's kernel is inflated to the frames of `shape`."""
    value = np.asarray(value, np.float32)
    if image and value.ndim == 4 and len(shape) == 5:
        frames = shape[0]
        value = np.repeat(value[:, :, None], frames, axis=2) / frames
    if value.ndim == 5:
        value = value.transpose(2, 3, 4, 1, 0)
    return np.ascontiguousarray(value)


def _layout(library: str, state: Named) -> Layout:
    if library == "pytorchvideo":
        return layouts.PYTORCHVIDEO
    return layouts.TORCHVISION_IMAGE if "conv1.weight" in state else layouts.TORCHVISION_VIDEO


def state_dict(path: pathlib.Path) -> Named:
    """Arrays by name of a safetensors file, or of what `torch.save` wrote.

    Raises:
      UserError: there is no such file, or no state dict in it.
    """
    if not path.is_file():
        raise UserError(f"config.init_from: there is no file {path}")
    if path.suffix == ".safetensors":
        return safetensors_file.open_file(path)[0]
    torch = import_extra("torch")  # or save the state dict as safetensors, which needs none
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of an archive, of its reader, of a refused pickle
        raise UserError(
            f"{path} cannot be read as weights ({first_line(error)[:200]}); code in it is never "
            "run: save the state dict alone, best as safetensors"
        ) from error
    while isinstance(state, dict) and any(key in state for key in _WRAPPINGS):
        state = next(state[key] for key in _WRAPPINGS if key in state)
    if not isinstance(state, dict) or not all(isinstance(x, torch.Tensor) for x in state.values()):
        raise UserError(f"{path} holds no state dict; save `network.state_dict()`")
    return {name: x.float().numpy() for name, x in state.items()}
