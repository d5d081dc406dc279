"""VideoMAE and image ViTs of transformers: equal features where the networks are equal."""

import json
import shutil

import jax
import numpy as np
import pytest

from cvrl_jax.export import torch_files
from cvrl_jax.export.foreign import read_tower
from cvrl_jax.export.names import as_tree, expected_arrays
from cvrl_jax.models import create_model
from data_pipelines.errors import UserError

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 8,
    "patch_size": 4,
}
TOWER = {"name": "vit_small", "layers": 2, "width": 16, "mlp": 24, "heads": 2, "head_size": 8,
         "epsilon": 1e-12}  # fmt: skip
VIDEOMAE = TOWER | {"patch": (2, 4, 4), "grid": (2, 2, 2), "position_form": "sinusoid"}
VIT = TOWER | {"patch": (2, 4, 4), "grid": (1, 2, 2), "position_form": "joint"}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def saved(folder, network, **preprocessor):
    torch = pytest.importorskip("torch")
    for parameter in network.parameters():  # that every bias and scale matters
        torch.nn.init.normal_(parameter, std=0.3)
    network.eval().save_pretrained(folder)
    if preprocessor:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


@pytest.fixture(scope="module")
def transformers():
    pytest.importorskip("torch")
    pytest.importorskip("pytorchvideo")
    torch_files.import_torch()  # knows how to import torchvision where others fail
    return pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def videomae(transformers, tmp_path_factory):
    """(folder of a network that was fine-tuned, the network)."""
    config = transformers.VideoMAEConfig(num_frames=4, tubelet_size=2, **SMALL)
    network = transformers.VideoMAEForVideoClassification(config)
    return saved(tmp_path_factory.mktemp("videomae"), network), network


def load(folder, model):
    tower = create_model(**model)
    frames, size = model["grid"][0] * model["patch"][0], model["grid"][1] * model["patch"][1]
    wanted = expected_arrays(tower, frames, size)
    found = read_tower("huggingface", str(folder), wanted, model)
    assert {name: x.shape for name, x in found.items()} == {n: x.shape for n, x in wanted.items()}
    return lambda clips: jax.jit(lambda v, x: tower.apply(v, x, False))(as_tree(found), clips)


def pixels(frames, mean=MEAN, std=STD):
    """Clips in [0, 1], and as transformers wants them."""
    torch = pytest.importorskip("torch")
    clips = np.random.default_rng(0).random((2, frames, 8, 8, 3), np.float32)
    normal = ((clips - np.float32(mean)) / np.float32(std)).transpose(0, 1, 4, 2, 3)
    return clips, torch.from_numpy(np.ascontiguousarray(normal, np.float32))


def test_a_fine_tuned_videomae_gives_the_same_features(videomae, caplog):
    folder, network = videomae
    clips, theirs = pixels(4)
    tokens = network.videomae(theirs).last_hidden_state
    expected = network.fc_norm(tokens.mean(1)).detach().numpy()
    with caplog.at_level("INFO"):
        ours = load(folder, VIDEOMAE | {"pooling": "mean_norm"})(clips)
    np.testing.assert_allclose(ours, expected, atol=2e-5 * np.abs(expected).max())
    assert "left out: classifier.bias, classifier.weight" in caplog.text
    assert "there is no" in caplog.text  # preprocessor_config.json


def test_a_pretrained_videomae_gives_the_same_features(transformers, tmp_path, caplog):
    config = transformers.VideoMAEConfig(
        num_frames=4, tubelet_size=2, use_mean_pooling=False, decoder_hidden_size=8,
        decoder_num_attention_heads=2, decoder_num_hidden_layers=1, **SMALL,
    )  # fmt: skip
    network = transformers.VideoMAEForPreTraining(config)
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    folder = saved(tmp_path / "x", network, image_mean=mean, image_std=std)
    clips, theirs = pixels(4, mean, std)
    expected = network.videomae(theirs).last_hidden_state.mean(1).detach().numpy()
    with caplog.at_level("INFO"):
        ours = load(folder, VIDEOMAE | {"pooling": "mean"})(clips)
    np.testing.assert_allclose(ours, expected, atol=2e-5 * np.abs(expected).max())
    assert "left out: decoder." in caplog.text


def test_names_as_videomae_was_published_are_read_too(videomae, tmp_path):
    torch_file = pytest.importorskip("safetensors.torch")
    folder, _ = videomae
    shutil.copytree(folder, tmp_path / "old")
    file = tmp_path / "old" / "model.safetensors"
    state = torch_file.load_file(file)
    for name in list(state):
        for new, old in (("query.bias", "q_bias"), ("value.bias", "v_bias")):
            if name.endswith(new):
                state[name.replace(new, old)] = state.pop(name)
    torch_file.save_file(state, file)
    clips, _ = pixels(4)
    model = VIDEOMAE | {"pooling": "mean_norm"}
    np.testing.assert_array_equal(load(folder, model)(clips), load(file, model)(clips))


def test_a_still_clip_is_the_image_of_a_vit(transformers, tmp_path):
    network = transformers.ViTModel(transformers.ViTConfig(**SMALL))
    folder = saved(tmp_path / "x", network, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    clips, theirs = pixels(1, (0.5,) * 3, (0.5,) * 3)
    expected = network(theirs[:, 0]).last_hidden_state[:, 0].detach().numpy()
    ours = load(folder, VIT)(clips.repeat(2, axis=1))
    np.testing.assert_allclose(ours, expected, atol=2e-5 * np.abs(expected).max())
    larger = VIT | {"grid": (3, 4, 4)}  # positions are interpolated, and the same at all times
    fitted = read_tower("huggingface", str(folder), expected_arrays(create_model(**larger), 6, 16),
                        larger)  # fmt: skip
    table = fitted["params.positions.joint"].reshape(3, 16, 16)
    np.testing.assert_array_equal(table[0], table[2])
    mean = network.embeddings.position_embeddings[0, 1:].mean(0).detach().numpy()
    np.testing.assert_allclose(table[0].mean(0), mean, atol=0.05)


def test_another_network_is_refused_with_the_fields_to_set(videomae, tmp_path):
    folder, _ = videomae
    wanted = {"params.agg": np.zeros((1, 16))}
    with pytest.raises(UserError) as caught:
        read_tower("huggingface", str(folder), wanted, TOWER | {"name": "vit_base", "heads": 4})
    for field in ("heads=2", "patch=(2,4,4)", "grid=(2,2,2)", "position_form=sinusoid",
                  "pooling=mean_norm"):  # fmt: skip
        assert f"config.model.{field}" in str(caught.value)
    assert "width" not in str(caught.value)
    with pytest.raises(UserError, match=r"weights of vision transformers, but .* 'r3d50'; choose"):
        read_tower("huggingface", str(folder), wanted, {"name": "r3d50"})


def test_missing_and_unexpected_arrays_are_listed(videomae, tmp_path):
    torch_file = pytest.importorskip("safetensors.torch")
    folder, _ = videomae
    shutil.copytree(folder, tmp_path / "x")
    file = tmp_path / "x" / "model.safetensors"
    state = torch_file.load_file(file)
    state["extra.weight"] = state.pop("fc_norm.bias")
    torch_file.save_file(state, file)
    model = VIDEOMAE | {"pooling": "mean_norm"}
    with pytest.raises(UserError, match=r"missing: params\.norm\.bias; unexpected: extra\.weight;"):
        load(tmp_path / "x", model)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        load(tmp_path / "x", model)
    file.unlink()
    with pytest.raises(UserError, match=r"there is no model\.safetensors"):
        load(tmp_path / "x", model)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "there is no readable"),
        ("{", "is no JSON"),
        ("[]", "is no JSON object"),
        ('{"model_type": "bert"}', "is of type 'bert'; videomae and vit are read"),
        ('{"model_type": "vit"}', "its config.json lacks 'hidden_size'"),
        ('{"model_type": "vit", "hidden_act": "relu"}', "has the activation 'relu'"),
    ],
)
def test_other_folders_are_one_line(tmp_path, text, says):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=says) as caught:
        read_tower("huggingface", str(tmp_path), {}, VIT)
    assert "\n" not in str(caught.value)
