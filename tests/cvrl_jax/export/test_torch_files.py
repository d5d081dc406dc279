"""Exports for PyTorch, opened by the libraries they were made for."""

import json
import warnings

import numpy as np
import pytest

from cvrl_jax.export import files, native, torch_files
from cvrl_jax.export.write import export_checkpoint
from data_pipelines.errors import UserError

torch = pytest.importorskip("torch")
pytest.importorskip("pytorchvideo")
CLIPS = np.random.default_rng(3).integers(0, 256, (2, 7, 33, 32, 3), np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _libraries():
    torch_files.import_torch()


def export(encoder, to, folder):
    native.write(encoder, folder / "source")
    result = export_checkpoint(folder / "source", to, folder / "x.safetensors")
    assert result["largest_difference"] <= 1e-5 * result["largest_feature"]
    return folder / "x.safetensors"


def plain_features(network, clips):
    with torch.no_grad():
        x = torch.from_numpy(clips.transpose(0, 4, 1, 2, 3).astype(np.float32) / 255)
        return network.eval()(x)


def create_resnet(**fields):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pytorchvideo.models.resnet import create_resnet

        return create_resnet(head=None, **fields)


def test_create_resnet_loads_it_as_it_is(random_encoder, tmp_path):
    from safetensors.torch import load_file

    encoder = random_encoder(
        "r3d50", size=32, frames=7, padding="symmetric", temporal_strides=[1, 2, 1, 2]
    )
    file = export(encoder, "pytorchvideo", tmp_path)
    network = create_resnet(
        stem_dim_out=8,
        stem_conv_kernel_size=(5, 7, 7),
        stem_conv_stride=(2, 2, 2),
        stage_temporal_stride=(1, 2, 1, 2),
    )
    network.load_state_dict(load_file(file), strict=True)
    theirs = plain_features(network, CLIPS).mean((2, 3, 4)).numpy()
    np.testing.assert_allclose(
        theirs, encoder.apply(encoder.params, CLIPS), atol=1e-4 * np.abs(theirs).max()
    )


def test_same_padding_needs_the_loader_and_the_card_says_so(random_encoder, tmp_path):
    encoder = random_encoder("r3d50", size=32, frames=8, padding="same", normalization="slowfast")
    file = export(encoder, "pytorchvideo", tmp_path)
    ours = np.asarray(encoder.apply(encoder.params, CLIPS))  # odd sizes pad in another way
    loaded = files.open_loader(file.with_suffix(".py")).load(str(file))
    theirs = plain_features(loaded, CLIPS).numpy()
    np.testing.assert_allclose(theirs, ours, atol=1e-4 * np.abs(ours).max())
    with torch.no_grad():
        unpadded = create_resnet(
            stem_dim_out=8, stem_conv_kernel_size=(5, 7, 7), stem_conv_stride=(2, 2, 2)
        )
        unpadded.load_state_dict(loaded.network.state_dict(), strict=True)
        x = (CLIPS[:, :, :32].transpose(0, 4, 1, 2, 3).astype(np.float32) / 255 - 0.45) / 0.225
        plain = unpadded.eval()(torch.from_numpy(x)).mean((2, 3, 4)).numpy()
    even = np.asarray(encoder.apply(encoder.params, CLIPS[:, :, :32]))
    assert np.abs(plain - even).max() > 1e-2 * np.abs(even).max()
    assert "symmetric padding cannot equal" in file.with_suffix(".md").read_text()


def test_a_network_of_frames_is_one_in_torch_too(random_encoder, tmp_path):
    export(random_encoder("r3d50", size=16, framewise=True), "pytorchvideo", tmp_path)


@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_torchvision_loads_it(random_encoder, padding, tmp_path):
    from safetensors.torch import load_file
    from torchvision.models.video import r3d_18

    encoder = random_encoder("r3d18", size=16, padding=padding)
    file = export(encoder, "torchvision", tmp_path)
    network = r3d_18(weights=None)
    network.fc = torch.nn.Identity()
    network.load_state_dict(load_file(file), strict=True)
    if padding == "symmetric":
        theirs = plain_features(network, CLIPS).numpy()
        np.testing.assert_allclose(
            theirs, encoder.apply(encoder.params, CLIPS), atol=1e-4 * np.abs(theirs).max()
        )


def test_onnx_runs_without_torch_for_any_batch(random_encoder, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    encoder = random_encoder("r3d50", size=32, frames=8, padding="same", framewise=True)
    native.write(encoder, tmp_path / "source")
    result = export_checkpoint(tmp_path / "source", "onnx", tmp_path / "x.onnx")
    assert result["largest_difference"] <= 1e-5 * result["largest_feature"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "x.md", "x.onnx"]
    clips = np.random.default_rng(5).integers(0, 256, (3, 8, 32, 32, 3), np.uint8)
    theirs = runtime.InferenceSession(str(tmp_path / "x.onnx")).run(None, {"clips": clips})[0]
    np.testing.assert_allclose(theirs, encoder.embed(clips), atol=1e-4 * np.abs(theirs).max())


def test_the_header_says_how_to_build_it(random_encoder):
    about = torch_files.about("pytorchvideo", random_encoder("r3d50", stem_pool=False))
    assert json.loads(json.dumps(about))["arguments"]["stem_pool"] is False
    assert about["padding"] == "same"


def test_without_torch_one_line_says_what_to_install(random_encoder, monkeypatch, tmp_path):
    def missing(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(files.importlib, "import_module", missing)
    native.write(random_encoder("r3d50"), tmp_path / "source")
    with pytest.raises(UserError, match=r"torch is not installed.*cvrl_jax\[export\]"):
        export_checkpoint(tmp_path / "source", "pytorchvideo", tmp_path / "x.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
