"""Weights of other projects: they compute what they computed there, and nothing is ignored."""

import logging
import pickle

import jax
import numpy as np
import pytest

from cvrl_jax.export import layouts, safetensors_file
from cvrl_jax.export.foreign import read_tower
from cvrl_jax.export.names import as_tree, by_name, expected_arrays
from cvrl_jax.models import create_model
from data_pipelines.errors import UserError

LAYOUTS = {
    "pytorchvideo": (layouts.PYTORCHVIDEO, "r3d50"),
    "torchvision": (layouts.TORCHVISION_VIDEO, "r3d10"),
}


def read(library, file, model):
    fields = dict(model)
    wanted = expected_arrays(create_model(fields.pop("name"), **fields), 4, 16)
    return read_tower(library, str(file), wanted, model)


def save(path, state):
    safetensors_file.save(path, state, {})
    return path


@pytest.fixture
def weights(random_encoder):
    """Our arrays of a tiny tower, and its state dict under torchvision's names."""
    encoder = random_encoder("r3d10")
    arrays = by_name(jax.device_get(encoder.variables))
    return arrays, layouts.to_torch(layouts.TORCHVISION_VIDEO, arrays), encoder.description.model


@pytest.mark.parametrize("library", LAYOUTS)
def test_what_was_exported_can_be_imported(random_encoder, library, tmp_path):
    layout, name = LAYOUTS[library]
    encoder = random_encoder(name)
    arrays = by_name(jax.device_get(encoder.variables))
    file = save(tmp_path / "x.safetensors", layouts.to_torch(layout, arrays))
    found = read(library, file, encoder.description.model)
    assert found.keys() == arrays.keys()
    jax.tree.map(np.testing.assert_array_equal, found, arrays)


def test_every_difference_is_listed_and_a_classifier_is_logged(weights, tmp_path, caplog):
    _, state, model = weights
    state["fc.weight"] = np.zeros((3, 32), np.float32)
    with caplog.at_level(logging.INFO):
        read("torchvision", save(tmp_path / "a.safetensors", state), model)
    assert "its classifier is left out: fc.weight" in caplog.text
    assert "config.model.normalization=kinetics; this run has none" in caplog.text
    del state["stem.1.bias"], state["layer2.0.downsample.0.weight"]
    state["layer9.weight"] = np.zeros(3, np.float32)
    state["stem.0.weight"] = state["stem.0.weight"][:, :, :1]
    with pytest.raises(UserError) as caught:
        read("torchvision", save(tmp_path / "b.safetensors", state), model)
    for says in (
        "missing: layer2.0.downsample.0.weight, stem.1.bias;",
        "unexpected: layer9.weight;",
        "of another shape: stem.0.weight [1, 7, 7, 3, 4] instead of [5, 7, 7, 3, 4];",
    ):
        assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_image_kernels_are_inflated_so_that_a_still_video_is_the_image(weights, tmp_path):
    arrays, _, model = weights
    image = {k: x.mean(0, keepdims=True) if x.ndim == 5 else x for k, x in arrays.items()}
    state = layouts.to_torch(layouts.TORCHVISION_IMAGE, image)
    state = {k: x[:, :, 0] if x.ndim == 5 else x for k, x in state.items()}
    found = read("torchvision", save(tmp_path / "a.safetensors", state), model)
    for name, value in found.items():
        if value.ndim == 5:
            np.testing.assert_allclose(value.sum(0), image[name][0], atol=1e-6)
            np.testing.assert_array_equal(value, np.broadcast_to(value[:1], value.shape))
        else:
            np.testing.assert_array_equal(value, arrays[name])


def test_a_tower_without_convolutions_says_so():
    wanted = {"params.encoder.layer0.kernel": np.zeros((2, 2))}
    with pytest.raises(UserError, match=r"weights of residual networks, but .* 'vit_small'"):
        read_tower("torchvision", "x", wanted, {"name": "vit_small"})


def test_files_that_are_none(weights, tmp_path):
    *_, model = weights
    with pytest.raises(UserError, match="there is no file"):
        read("torchvision", tmp_path / "x.safetensors", model)
    (tmp_path / "x.safetensors").write_bytes(b"\x10")
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        read("torchvision", tmp_path / "x.safetensors", model)


def test_torchs_own_files_are_read_as_weights_alone(weights, tmp_path):
    torch = pytest.importorskip("torch")
    arrays, state, model = weights
    wrapped = {"model_state": {k: torch.tensor(x) for k, x in state.items()}, "epoch": 3}
    torch.save(wrapped, tmp_path / "x.pth")
    found = read("torchvision", tmp_path / "x.pth", model)
    jax.tree.map(np.testing.assert_array_equal, found, arrays)
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(UserError, match="holds no state dict"):
        read("torchvision", tmp_path / "list.pth", model)


class _Runs:
    def __reduce__(self):
        return (print, ("code in a pickle ran",))


def test_code_in_a_file_is_never_run(weights, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    *_, model = weights
    torch.save({"x": _Runs()}, tmp_path / "zip.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(_Runs()))
    for name in ("zip.pth", "old.pth"):
        with pytest.raises(UserError, match="code in it is never run"):
            read("torchvision", tmp_path / name, model)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("library", ["torchvision", "torchvision image", "pytorchvideo"])
def test_the_librarys_own_network_gives_the_same_features(library, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    from cvrl_jax.export.torch_files import import_torch

    import_torch()
    torch.manual_seed(0)
    if library == "torchvision":
        from torchvision.models.video import r3d_18

        network = r3d_18(weights=None)
        network.fc = torch.nn.Identity()
        model = {
            "name": "r3d18",
            "stem_kernel": (3, 7, 7),
            "stem_strides": (1, 2, 2),
            "stem_pool": False,
            "temporal_kernels": (3, 3, 3, 3),
            "temporal_strides": (1, 2, 2, 2),
        }
    elif library == "torchvision image":
        from torchvision.models import resnet18

        network = resnet18(weights=None)
        network.fc = torch.nn.Identity()
        model = {"name": "r2d18"}
    else:
        from pytorchvideo.models.resnet import create_resnet

        network = create_resnet(head=None, stem_dim_out=8, stem_conv_kernel_size=(1, 7, 7))
        model = {
            "name": "r3d50",
            "width": 0.125,
            "stem_kernel": (1, 7, 7),
            "stem_strides": (1, 2, 2),
        }
    model["padding"] = "symmetric"
    image = library == "torchvision image"
    save_file(network.state_dict(), tmp_path / "x.safetensors")
    variables = as_tree(read(library.split()[0], tmp_path / "x.safetensors", model))
    clip = np.random.default_rng(0).random((1, 4, 24, 24, 3), np.float32)
    with torch.no_grad():
        pixels = torch.from_numpy(clip.transpose(0, 4, 1, 2, 3))
        theirs = network.eval()(pixels[:, :, 0] if image else pixels)
        theirs = (theirs.mean((2, 3, 4)) if theirs.ndim == 5 else theirs).numpy()
    fields = dict(model)
    tower = create_model(fields.pop("name"), **fields)
    ours = jax.jit(lambda v, x: tower.apply(v, x, False))(variables, clip[:, :1] if image else clip)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
