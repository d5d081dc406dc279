"""Vision transformers, opened by transformers."""

import json

import numpy as np
import pytest

from cvrl_jax.export import huggingface, native
from cvrl_jax.export.foreign import read_tower
from cvrl_jax.export.names import by_name
from cvrl_jax.export.write import export_checkpoint
from data_pipelines.errors import UserError

pytest.importorskip("torch")
pytest.importorskip("pytorchvideo")


@pytest.mark.parametrize("fields", [{}, {"position_norm": True, "position_resize": "spline"}])
def test_vivit_computes_the_same(random_encoder, fields, tmp_path):
    pytest.importorskip("transformers")
    encoder = random_encoder("vit", size=16, **fields)
    native.write(encoder, tmp_path / "source")
    result = export_checkpoint(tmp_path / "source", "huggingface", tmp_path / "x")
    assert result["largest_difference"] <= 1e-5 * result["largest_feature"]
    names = {path.name for path in (tmp_path / "x").iterdir()}
    assert names == {"config.json", "model.safetensors", "preprocessor_config.json", "README.md"}
    clips = np.random.default_rng(4).integers(0, 256, (3, 4, 16, 16, 3), np.uint8)
    theirs = huggingface.run(tmp_path / "x", clips)
    np.testing.assert_allclose(theirs, encoder.embed(clips), atol=1e-5 * np.abs(theirs).max())


def test_videomae_computes_the_same(random_encoder, tmp_path):
    transformers = pytest.importorskip("transformers")
    encoder = random_encoder("vit", pooling="mean", position_form="sinusoid", grid=[2, 4, 4])
    native.write(encoder, tmp_path / "source")
    result = export_checkpoint(tmp_path / "source", "huggingface", tmp_path / "x")
    assert result["largest_difference"] <= 1e-5 * result["largest_feature"]
    assert "VideoMAEModel.from_pretrained" in (tmp_path / "x" / "README.md").read_text()
    assert isinstance(
        transformers.AutoModel.from_pretrained(tmp_path / "x"), transformers.VideoMAEModel
    )
    # And back again, pixels included.
    model = encoder.description.model
    wanted = {name: np.asarray(x) for name, x in by_name(encoder.variables).items()}
    found = read_tower("huggingface", str(tmp_path / "x"), wanted, model)
    for name, value in found.items():
        if not name.endswith("key.bias"):
            np.testing.assert_allclose(value, wanted[name], atol=1e-6, err_msg=name)


def test_its_preprocessor_gives_the_towers_pixels(random_encoder, tmp_path):
    transformers = pytest.importorskip("transformers")
    huggingface.import_torch()
    huggingface.write(random_encoder("vit"), tmp_path / "x")
    processor = transformers.VivitImageProcessor.from_pretrained(tmp_path / "x")
    frames = list(np.random.default_rng(4).integers(0, 256, (4, 16, 16, 3), np.uint8))
    pixels = processor(frames, return_tensors="np")["pixel_values"][0]
    expected = np.stack(frames).transpose(0, 3, 1, 2) / 127.5 - 1
    np.testing.assert_allclose(pixels, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"pooling": "mean_norm", "grid": [2, 4, 4]},
            "as VideoMAE is; this has pooling='mean_norm'",
        ),
        ({"pooling": "mean", "position_form": "sinusoid"}, r"grid=\(2, 3, 4\), where clips have"),
        ({"biases": False, "norm": "rms"}, "this has biases=False, norm='rms'"),
        ({"head_size": 4}, r"this has heads \* head_size = 8, not the width"),
    ],
)
def test_other_transformers_do_not_fit(random_encoder, fields, says, tmp_path):
    with pytest.raises(UserError, match=says):
        huggingface.write(random_encoder("vit", **fields), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_the_config_is_that_of_the_tower(random_encoder, tmp_path):
    huggingface.write(random_encoder("vit"), tmp_path / "x")
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    assert (config["num_frames"], config["image_size"], config["tubelet_size"]) == (
        4,
        16,
        [2, 4, 4],
    )
