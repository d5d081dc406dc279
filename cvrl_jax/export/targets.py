"""What an encoder can be exported to, by name."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import types
from collections.abc import Callable

import numpy as np

from cvrl_jax.encoder import Encoder
from cvrl_jax.export import native, onnx_file, safetensors_file, stablehlo, torch_files
from cvrl_jax.export.files import FOLDER
from cvrl_jax.loading import make_encoder


@dataclasses.dataclass(frozen=True)
class Target:
    """One format.

    Attributes:
      suffix: of the file; "" for a folder.
      write: (encoder, path) -> makes the file or folder.
      run: (path, loader or None, clips uint8 [B, T, H, W, 3]) -> float32 [B, D] as those who
        receive the export compute it, from what was written alone.
      fits: raises a UserError for an encoder that the format cannot hold.
      loader: a Python file that is written beside the export, for those without cvrl_jax.
      shows_arrays: whether the file's arrays have names that a reader needs to know.
    """

    suffix: str
    write: Callable[[Encoder, pathlib.Path], None]
    run: Callable[[pathlib.Path, types.ModuleType | None, np.ndarray], np.ndarray]
    fits: Callable[[Encoder], object] = lambda encoder: None
    loader: pathlib.Path | None = None
    shows_arrays: bool = False


def _run_native(path: pathlib.Path, _: object, clips: np.ndarray) -> np.ndarray:
    return make_encoder(*native.read(path), "float32", str(path)).embed(clips)


def _run_safetensors(path: pathlib.Path, _: object, clips: np.ndarray) -> np.ndarray:
    return make_encoder(*safetensors_file.read(path), "float32", str(path)).embed(clips)


def _run_stablehlo(
    path: pathlib.Path, loader: types.ModuleType | None, clips: np.ndarray
) -> np.ndarray:
    assert loader is not None
    forward, _ = loader.load(path)
    return np.asarray(forward(clips))


def _run_torch(
    path: pathlib.Path, loader: types.ModuleType | None, clips: np.ndarray
) -> np.ndarray:
    assert loader is not None
    return torch_files.run(loader, path, clips)


def _run_onnx(path: pathlib.Path, _: object, clips: np.ndarray) -> np.ndarray:
    return onnx_file.run(path, clips)


def _torch_target(library: str) -> Target:
    def fits(encoder: Encoder) -> None:
        torch_files.about(library, encoder)
        torch_files.import_torch()

    return Target(
        suffix=".safetensors",
        write=functools.partial(torch_files.write, library),
        run=_run_torch,
        fits=fits,
        loader=torch_files.LOADER,
        shows_arrays=True,
    )


TARGETS: dict[str, Target] = {
    "native": Target("", native.write, _run_native),
    "safetensors": Target(
        ".safetensors", safetensors_file.write, _run_safetensors, shows_arrays=True
    ),
    "pytorchvideo": _torch_target("pytorchvideo"),
    "torchvision": _torch_target("torchvision"),
    "stablehlo": Target(
        ".stablehlo", stablehlo.write, _run_stablehlo, loader=FOLDER / "for_jax.py"
    ),
    "onnx": Target(".onnx", onnx_file.write, _run_onnx, fits=onnx_file.fits),
}
