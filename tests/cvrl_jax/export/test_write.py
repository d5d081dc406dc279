"""Exports: each computes what the encoder computes, and there is a whole one or none."""

import dataclasses
import json
import subprocess
import sys

import jax.export
import numpy as np
import pytest

from cvrl_jax.export import native, write
from cvrl_jax.export.card import axes_of
from cvrl_jax.export.files import open_loader
from cvrl_jax.export.names import by_name
from cvrl_jax.export.targets import TARGETS
from cvrl_jax.export.write import export_checkpoint
from data_pipelines.errors import UserError

CLIPS = np.random.default_rng(3).integers(0, 256, (3, 4, 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def encoder(random_encoder):
    return random_encoder(normalization="imagenet")


@pytest.fixture
def source(encoder, tmp_path):
    native.write(encoder, tmp_path / "source")
    return tmp_path / "source"


def left(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "source")


def test_a_run_can_be_exported(trained, tmp_path):
    result = export_checkpoint(trained.workdir, "native", tmp_path / "new" / "out")
    assert result["largest_difference"] == 0.0
    card = (tmp_path / "new" / "out" / "README.md").read_text()
    assert "| training videos | 16 |" in card
    assert "License of the weights: not stated" in card


def test_safetensors_come_with_a_card_that_names_every_array(source, encoder, tmp_path):
    result = export_checkpoint(source, "safetensors", tmp_path / "x.safetensors")
    assert result["largest_difference"] == 0.0
    assert left(tmp_path) == ["x.md", "x.safetensors"]
    card = (tmp_path / "x.md").read_text()
    assert "| `params.stem.conv.kernel` | [5, 7, 7, 3, 4] | time, height, width, in, out |" in card
    assert "[0.485, 0.456, 0.406]" in card
    assert '"seed": 0' in card
    assert card.count("\n| `") == len(by_name(encoder.variables))
    assert axes_of("params.out.kernel", 2) == "in, out"


def test_the_card_tells_of_license_data_and_measurements(encoder, tmp_path):
    data = {"source": "folder", "training_videos": 12, "hours": 0.5, "unreadable": 2}
    origin = encoder.description.origin | {"data": data, "metrics": {"knn_top1": 0.25, "note": "x"}}
    known = dataclasses.replace(
        encoder, description=dataclasses.replace(encoder.description, origin=origin)
    )
    native.write(known, tmp_path / "source")
    export_checkpoint(tmp_path / "source", "native", tmp_path / "x", license="cc-by-nc-4.0")
    card = (tmp_path / "x" / "README.md").read_text()
    assert card.startswith("---\nlicense: cc-by-nc-4.0\nlibrary_name: cvrl_jax\ntags:\n")
    for line in ("| training videos | 12 |", "| unreadable | 2 |", "| source | folder |"):
        assert line in card
    assert 'Measured during training: {"knn_top1": 0.25}' in card
    assert "License of the weights: cc-by-nc-4.0" in card
    with pytest.raises(UserError, match="is no SPDX identifier"):
        export_checkpoint(tmp_path / "source", "native", tmp_path / "y", license="a: b")


def test_stablehlo_runs_by_jax_alone_for_any_batch(source, encoder, tmp_path):
    result = export_checkpoint(source, "stablehlo", tmp_path / "x.stablehlo")
    assert result["largest_difference"] <= 1e-5
    assert left(tmp_path) == ["x.md", "x.py", "x.stablehlo"]
    forward, shape = open_loader(tmp_path / "x.py").load(tmp_path / "x.stablehlo")
    assert shape[1:] == (4, 16, 16, 3)
    np.testing.assert_allclose(forward(CLIPS), encoder.embed(CLIPS), atol=1e-5)
    program = (
        "import runpy, sys; sys.argv = ['x.py', 'x.stablehlo'];"
        "runpy.run_path('x.py', run_name='__main__');"
        "assert not {'flax', 'cvrl_jax', 'torch'} & set(sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-I", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == "(2, 32)"


def test_stablehlo_is_lowered_for_all_platforms(source, tmp_path):
    export_checkpoint(source, "stablehlo", tmp_path / "x.stablehlo")
    exported = jax.export.deserialize(bytearray((tmp_path / "x.stablehlo").read_bytes()))
    assert exported.platforms == ("cpu", "cuda", "tpu")


@pytest.mark.parametrize("to", ["native", "safetensors", "stablehlo"])
def test_a_transformer_is_exported_too(random_encoder, to, tmp_path):
    native.write(random_encoder("vit"), tmp_path / "source")
    name = {"native": "x"}.get(to, f"x.{to}")
    result = export_checkpoint(tmp_path / "source", to, tmp_path / name)
    assert result["largest_difference"] <= 1e-5


@pytest.mark.parametrize(
    ("to", "output", "says"),
    [
        ("safetensor", "x.safetensors", "did you mean 'safetensors'"),
        ("safetensors", "x.bin", r"is called NAME\.safetensors"),
        ("stablehlo", "there.stablehlo", r"there\.stablehlo is there already"),
        ("safetensors", "x.safetensors/y.safetensors", "cannot be written"),
        ("pytorchvideo", "x.safetensors", "depth .50, 101, 152.; this tower has 10"),
        ("huggingface", "x", "takes towers vit_.* this has the tower 'r3d10'"),
        ("onnx", "x.onnx", r"no network is this tower \(pytorchvideo takes .*; torchvision takes"),
        ("torchvision", "x.safetensors", "takes r3d_18, .* this tower has depth=10, width=0.0625"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(source, to, output, says, tmp_path):
    (tmp_path / "there.stablehlo").touch()
    if "/" in output:
        (tmp_path / "x.safetensors").touch()
    before = left(tmp_path)
    with pytest.raises(UserError, match=says) as caught:
        export_checkpoint(source, to, tmp_path / output)
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == before


def test_no_run_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="no checkpoint in"):
        export_checkpoint(tmp_path, "native", tmp_path / "new" / "out")
    assert left(tmp_path) == []


def test_what_computes_something_else_is_not_left_there(source, tmp_path, monkeypatch):
    wrong = dataclasses.replace(
        TARGETS["safetensors"], run=lambda path, loader, clips: np.zeros((2, 32))
    )
    monkeypatch.setitem(TARGETS, "safetensors", wrong)
    with pytest.raises(UserError, match="computes something else"):
        export_checkpoint(source, "safetensors", tmp_path / "x.safetensors")
    assert left(tmp_path) == []


def test_an_interrupted_export_leaves_nothing(source, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "model_card", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_checkpoint(source, "safetensors", tmp_path / "x.safetensors")
    assert left(tmp_path) == []


def test_the_result_is_json(source, tmp_path):
    result = export_checkpoint(source, "safetensors", tmp_path / "x.safetensors")
    assert json.loads(json.dumps(result)) == result
