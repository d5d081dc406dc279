"""`--to=onnx`: the forward pass for onnxruntime and all that reads ONNX.

It goes by way of PyTorch, whose exporter is the well-kept one. Converters that read JAX know no
convolution over time (jax2onnx 0.17: "Unsupported conv layouts"), so towers that PyTorch's
libraries do not have cannot be exported.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import pathlib
import warnings

import numpy as np

from cvrl_jax.encoder import Encoder
from cvrl_jax.export import torch_files
from cvrl_jax.export.files import import_extra, open_loader
from data_pipelines.errors import UserError


def library_of(encoder: Encoder) -> str:
    """The library that has this tower.

    Raises:
      UserError: none has.
    """
    reasons = []
    for library in torch_files.LAYOUTS:
        try:
            torch_files.about(library, encoder)
        except UserError as error:
            reasons.append(str(error).partition(":")[0].removeprefix("--to="))
        else:
            return library
    raise UserError(
        f"--to=onnx goes by way of PyTorch, where no network is this tower ({'; '.join(reasons)}): "
        "use --to=stablehlo, which takes every tower"
    )


def fits(encoder: Encoder) -> None:
    """Raises a UserError where the tower, or a package that is needed, is not there."""
    library_of(encoder)
    torch_files.import_torch()
    for name in ("onnx", "onnxscript", "onnxruntime"):
        import_extra(name)


def write(encoder: Encoder, path: pathlib.Path) -> None:
    """Writes `clips` uint8 [B, T, H, W, 3] -> `vectors` float32 [B, D] for any B, as one file."""
    torch = torch_files.import_torch()
    weights = path.with_suffix(".safetensors")
    torch_files.write(library_of(encoder), encoder, weights)
    network = open_loader(torch_files.LOADER).load(str(weights))
    weights.unlink()

    class ChannelsLast(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, clips):
            return self.network(clips.permute(0, 4, 1, 2, 3))

    d = encoder.description
    clips = torch.zeros((2, d.frames, d.size, d.size, 3), dtype=torch.uint8)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of torch about itself
        torch.onnx.export(
            ChannelsLast().eval(),
            (clips,),
            str(path),
            dynamo=True,
            external_data=False,
            input_names=["clips"],
            output_names=["vectors"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )


def run(path: pathlib.Path, clips_BxTxHxWx3: np.ndarray) -> np.ndarray:
    """Features by onnxruntime alone."""
    session = importlib.import_module("onnxruntime").InferenceSession(str(path))
    return session.run(None, {"clips": clips_BxTxHxWx3})[0]
