"""Exports trained networks and compares features of real clips in the libraries they are for.

Command:
  python benchmarks/results_exports.py --jhmdb=JHMDB/meta.csv --out=runs/exports

Every export is a plain `main.py --mode=export` of a run on three folds of JHMDB: few steps, but of
all layers, running statistics included. It is opened by its library, without this project's own
code but what was exported with it, and asked for features of the first 20 test videos; the table
has the largest difference from those of `cvrl_jax.load` of the run. What is there already is not
made again.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import subprocess
import sys

import data_rivals
import jax
import numpy as np
import runs

import cvrl_jax
from configs import base
from cvrl_jax.encoder import Encoder
from cvrl_jax.export import torch_files
from cvrl_jax.export.files import import_extra, open_loader
from data_pipelines.pipeline import evaluation_batches
from data_pipelines.sources import create_sources
from data_pipelines.spec import InputSpec

CLIPS = 20
R3D50 = ("--config.model.name=r3d50", "--config.model.temporal_kernels=(1,1,3,3)")
# Name -> config, flags that make it a network which the library has, and its exports.
RUNS = {
    "R3D-10, CVRL": ("cvrl_r3d50.py:tiny", (), ("native", "safetensors", "stablehlo")),
    "R3D-50, width 1/4, CVRL": ("cvrl_r3d50.py:tiny", R3D50, ("pytorchvideo", "onnx")),
    "R3D-50, width 1/4, symmetric padding, CVRL": (
        "cvrl_r3d50.py:tiny",
        (*R3D50, "--config.model.padding=symmetric"),
        ("pytorchvideo, create_resnet alone", "onnx"),
    ),
    "R3D-18, symmetric padding, CVRL": (
        "cvrl_r3d18.py:tiny",
        (
            *("--config.model.name=r3d18", "--config.model.width=1.0", "--config.batch_size=8"),
            *("--config.model.stem_kernel=(3,7,7)", "--config.model.stem_strides=(1,2,2)"),
            *("--config.model.temporal_strides=(1,2,2,2)", "--config.model.padding=symmetric"),
            *("--config.model.normalization=kinetics", "--config.steps=20"),  # 33 M parameters
            "--config.optimizer.warmup_steps=5",
        ),
        ("torchvision, r3d_18 alone",),
    ),
    "ViT, class token, CVRL": (
        "cvrl_vit_b16.py:tiny",
        ("--config.model.pooling=agg",),
        ("huggingface", "stablehlo"),
    ),
    "ViT, VideoMAE's, with labels": ("videomae_b16.py:tiny", (), ("huggingface",)),
}
SUFFIX = {"native": "", "huggingface": "", "stablehlo": ".stablehlo", "onnx": ".onnx"}
JAX_ALONE = """
import sys; sys.path.insert(0, {folder!r})
import numpy as np, {name}
forward, _ = {name}.load({path!r})
np.save({vectors!r}, forward(np.load({clips!r})))
assert not {{"cvrl_jax", "flax", "orbax"}} & set(sys.modules)
"""


def clips_of(encoder: Encoder, manifest: str) -> np.ndarray:
    """The middle clips of the first test videos, uint8 [20, T, H, W, 3]."""
    d, data = encoder.description, base.get_config().data
    data.update(source="csv", manifest=manifest, label_column="class", split_column="src_fold")
    data.test_split = "0"
    test = create_sources(data, seed=0).test
    assert test is not None
    spec = InputSpec(
        clips=1, frames=d.frames, stride=d.stride, size=d.size, sampling="even", crop="center"
    )
    with contextlib.closing(evaluation_batches(test, spec, batch_size=CLIPS)) as batches:
        return next(batches)["video"][:, 0]


def features(target: str, path: pathlib.Path, clips: np.ndarray) -> np.ndarray:
    """What the library of an export says of clips."""
    library, _, alone = target.partition(", ")
    if library in ("native", "safetensors"):
        return cvrl_jax.load(str(path)).embed(clips)
    if library == "stablehlo":
        return _by_jax_alone(path, clips)
    if library == "onnx":
        session = import_extra("onnxruntime").InferenceSession(str(path))
        return session.run(None, {"clips": clips})[0]
    torch = torch_files.import_torch()
    pixels = torch.from_numpy(clips.transpose(0, 4, 1, 2, 3).astype(np.float32) / 255)
    with torch.no_grad():
        if library == "huggingface":
            return _by_transformers(path, 2 * pixels.transpose(1, 2) - 1)
        loader = open_loader(path.with_suffix(".py"))
        if not alone:
            return loader.load(str(path))(pixels).numpy()
        return _by_the_library(library, path, pixels)


def _by_jax_alone(path: pathlib.Path, clips: np.ndarray) -> np.ndarray:
    given, found = path.with_suffix(".clips.npy"), path.with_suffix(".vectors.npy")
    np.save(given, clips)
    names = {"folder": str(path.parent), "name": path.stem, "path": str(path)}
    code = JAX_ALONE.format(**names, clips=str(given), vectors=str(found))
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    return np.load(found)


def _by_transformers(folder: pathlib.Path, pixels_BxTx3xHxW) -> np.ndarray:
    auto = import_extra("transformers").AutoModel
    model = auto.from_pretrained(folder).eval()
    tokens = model(pixels_BxTx3xHxW).last_hidden_state
    class_token = model.config.model_type == "vivit"
    return (tokens[:, 0] if class_token else tokens.mean(1)).numpy()


def _by_the_library(library: str, path: pathlib.Path, pixels_Bx3xTxHxW) -> np.ndarray:
    """The network that a user of the library builds, in the form that the recipe above has."""
    torch, state = import_extra("torch"), import_extra("safetensors.torch").load_file(path)
    if library == "pytorchvideo":
        network = import_extra("pytorchvideo.models.resnet").create_resnet(
            head=None,
            stem_dim_out=16,
            stem_conv_kernel_size=(3, 5, 5),
            stem_conv_stride=(2, 2, 2),
            stem_pool=None,
        )
        network.load_state_dict(state, strict=True)
        return network.eval()(pixels_Bx3xTxHxW).mean((2, 3, 4)).numpy()
    network = import_extra("torchvision.models.video").r3d_18(weights=None)
    network.fc = torch.nn.Identity()
    network.load_state_dict(state, strict=True)
    mean = torch.tensor([0.43216, 0.394666, 0.37645]).view(3, 1, 1, 1)
    std = torch.tensor([0.22803, 0.22145, 0.216989]).view(3, 1, 1, 1)
    return network.eval()((pixels_Bx3xTxHxW - mean) / std).numpy()


def compare(
    workdir: pathlib.Path, name: str, targets: tuple[str, ...], manifest: str, out: pathlib.Path
) -> list[str]:
    """Exports a run to each target and returns the lines of the table."""
    encoder = cvrl_jax.load(str(workdir))
    clips = clips_of(encoder, manifest)
    ours = encoder.embed(clips)
    lines = []
    for target in targets:
        to = target.partition(",")[0]
        output = out.resolve() / f"{workdir.name}_{to}{SUFFIX.get(to, '.safetensors')}"
        if not output.exists():
            paths = f"--workdir={workdir}", f"--output={output}"
            runs.main("--mode=export", f"--to={to}", *paths)
        difference = np.abs(ours - features(target, output, clips)).max()
        facts = f"{ours.shape[1]} | {np.abs(ours).max():.3g} | {difference:.1e}"
        lines.append(f"| {name} | {target} | {facts} |")
    return lines


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jhmdb", required=True, help="its meta.csv")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--cvrl", type=pathlib.Path, help="a run to take in place of the first")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/exports"))
    arguments = parser.parse_args()
    lines = ["| network | export | features | largest feature | largest difference |"]
    lines.append("|---|---|---|---|---|")
    for number, (name, (config, flags, targets)) in enumerate(RUNS.items()):
        workdir = arguments.out / f"run{number}"
        if arguments.cvrl and not number:
            workdir = arguments.cvrl
        plain = [*runs.jhmdb_flags(arguments.jhmdb, 0, arguments.steps), "--config.eval.every=0"]
        plain.append("--config.eval.at_start=False")
        runs.train(workdir, config, [*plain, *flags])
        lines += compare(workdir, name, targets, arguments.jhmdb, arguments.out)
    print("\n".join(lines))


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    data_rivals.load_torchvision()
    main()
