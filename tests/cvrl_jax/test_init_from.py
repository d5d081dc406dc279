"""Starting from the video tower of another run, at the same size or at another."""

from __future__ import annotations

import jax
import numpy as np
import PIL.Image
import pytest

from cvrl_jax.checkpoint import Checkpoints
from cvrl_jax.config import plain
from cvrl_jax.init_from import load_tower
from cvrl_jax.methods import create_method
from cvrl_jax.methods.towers import clip_tower
from cvrl_jax.models.positions import resize_matrix
from cvrl_jax.network import make_network
from cvrl_jax.parallel.mesh import make_mesh
from cvrl_jax.train import train
from cvrl_jax.workdir import Workdir
from data_pipelines.errors import UserError

MODEL = {"name": "vit_small", "patch": (2, 8, 8)}


def vatt_config(tiny_config, **changes):
    return tiny_config("vatt", **changes)


def saved(folder, config):
    """A checkpoint of an untrained run of `config`; (its folder, method, variables)."""
    method = create_method(config, classes=4)
    variables = jax.device_get(jax.jit(method.init)(jax.random.key(5)))
    checkpoints = Checkpoints(folder / "checkpoints")
    host = {"config": plain(config), "classes": list("abcd")}
    checkpoints.save(1, {"variables": variables}, host, {})
    checkpoints.close()
    return str(folder), method, variables


@pytest.fixture(scope="module")
def vatt(tiny_config, tmp_path_factory):
    return saved(tmp_path_factory.mktemp("vatt"), vatt_config(tiny_config))


def fine_tuning(tiny_config, size=16, frames=4, grid=(2, 2, 2), **fields):
    """The config of a classifier on VATT's video tower."""
    config = tiny_config("supervised")
    video = vatt_config(tiny_config).model.video.copy_and_resolve_references()
    with config.unlocked():
        config.model = video
    config.model.update(grid=grid, drop_token=0.0)
    with config.unlocked():
        config.model.update(fields)
    config.data.update(size=size, frames=frames)
    return config


def test_the_video_tower_of_vatt_is_taken_and_says_the_same(tiny_config, vatt):
    folder, method, variables = vatt
    classifier = create_method(fine_tuning(tiny_config), classes=4)
    tower = load_tower(folder, classifier, MODEL)
    jax.tree.map(np.testing.assert_array_equal, tower["params"], variables["params"]["video_tower"])
    mine = jax.device_get(jax.jit(classifier.init)(jax.random.key(0)))
    mine["params"] |= {"tower": tower["params"]}
    clips = np.random.default_rng(0).integers(0, 256, (8, 2, 4, 16, 16, 3), np.uint8)
    outputs = [
        make_network(m, make_mesh())(v).embed({"video": clips})["video"]
        for m, v in ((method, variables), (classifier, mine))
    ]
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-6)


@pytest.mark.parametrize("how", ["cubic", "spline"])
def test_position_tables_are_fitted_to_a_larger_picture(tiny_config, vatt, how):
    folder, _, variables = vatt
    config = fine_tuning(tiny_config, size=24, grid=(2, 3, 3), position_resize=how)
    classifier = create_method(config, classes=4)
    tower = load_tower(folder, classifier, MODEL | {"position_resize": how})["params"]["positions"]
    pretrained = variables["params"]["video_tower"]["positions"]
    np.testing.assert_array_equal(tower["axis0"], pretrained["axis0"])
    for axis in ("axis1", "axis2"):
        assert tower[axis].shape == (3, 8)
        np.testing.assert_allclose(
            tower[axis], resize_matrix(2, 3, how) @ pretrained[axis], atol=1e-6
        )
    # A larger grid says at once what fitting the old tables on the way would have said.
    small = create_method(fine_tuning(tiny_config, size=24, position_resize=how), classes=4)
    clips = np.random.default_rng(0).integers(0, 256, (8, 1, 4, 24, 24, 3), np.uint8)
    outputs = []
    for method in (classifier, small):
        mine = jax.device_get(jax.jit(method.init)(jax.random.key(0)))
        mine["params"] |= {
            "tower": load_tower(folder, method, MODEL | {"position_resize": how})["params"]
        }
        outputs.append(make_network(method, make_mesh())(mine).embed({"video": clips})["video"])
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-5)


def test_a_grid_that_is_neither_theirs_nor_the_clips_is_refused(tiny_config, vatt):
    folder, _, _ = vatt
    method = create_method(fine_tuning(tiny_config, size=32, grid=(2, 3, 3)), classes=4)
    with pytest.raises(UserError, match=r'--config.model.grid="\(2, 4, 4\)", so'):
        load_tower(folder, method, MODEL)


def test_an_image_takes_the_first_row_of_time_by_the_spline(tiny_config, vatt):
    folder, _, variables = vatt
    config = fine_tuning(tiny_config, frames=2, grid=(1, 2, 2), position_resize="spline")
    tower = load_tower(
        folder, create_method(config, classes=4), MODEL | {"position_resize": "spline"}
    )["params"]["positions"]
    pretrained = variables["params"]["video_tower"]["positions"]["axis0"]
    np.testing.assert_allclose(tower["axis0"], pretrained[:1], atol=1e-6)


def test_a_tower_of_a_shared_transformer_is_taken_with_it(tiny_config, tmp_path):
    config = vatt_config(tiny_config)
    config.model.shared = True
    # Towers that share agree in their fields.
    config.model.text.update(name="text_small", relative_bias="")
    folder, method, variables = saved(tmp_path / "shared", config)
    tower = clip_tower(variables)["params"]
    assert "encoder" in tower
    assert "encoder" not in variables["params"]["video_tower"]
    classifier = create_method(fine_tuning(tiny_config), classes=4)
    loaded = load_tower(folder, classifier, MODEL)["params"]
    jax.tree.map(np.testing.assert_array_equal, loaded, tower)
    assert method.inputs.audio is not None


def test_what_does_not_fit_is_said_with_the_section_to_copy(tiny_config, vatt, tmp_path):
    folder, _, _ = vatt
    other = create_method(fine_tuning(tiny_config, layers=2), classes=4)
    with pytest.raises(UserError, match=r"use the model\.video section"):
        load_tower(folder, other, MODEL)
    cvrl, _, _ = saved(tmp_path / "cvrl", tiny_config("cvrl"))
    with pytest.raises(UserError, match=r"use the model section"):
        load_tower(cvrl, other, MODEL)
    with pytest.raises(UserError, match="several towers"):
        load_tower(folder, create_method(vatt_config(tiny_config)), MODEL)


def test_fine_tuning_from_vatt_at_another_size_with_twelve_views(tiny_config, vatt, tmp_path):
    folder, _, _ = vatt
    config = fine_tuning(tiny_config, size=24, grid=(2, 3, 3))
    config.eval.view_mean = "logits"
    config.update(init_from=folder, steps=2)
    config.eval.update(protocols=(), clips=4, crops=3)
    result = train(config, tmp_path / "run")
    assert result["step"] == 2
    assert np.isfinite(result["loss"])


def test_images_are_classified_as_clips_of_one_frame(tiny_config, vatt, tmp_path):
    folder, _, _ = vatt
    rng = np.random.default_rng(0)
    for label, value in (("dark", 30), ("light", 220)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(value - 20, value + 20, (20, 24, 3)).astype(np.uint8)
            PIL.Image.fromarray(pixels).save(tmp_path / "images" / label / f"{i}.png")
    config = fine_tuning(tiny_config, frames=2, grid=(1, 2, 2), position_resize="spline")
    config.update(init_from=folder, steps=2)
    config.data.update(source="folder", root=str(tmp_path / "images"), train_videos=0)
    config.data.update(test_videos=0)
    config.eval.update(protocols=())
    train(config, tmp_path / "run")
    first = Workdir(tmp_path / "run").read_metrics()[0]
    assert first["eval_left_out"] == 0
    assert 0 <= first["classifier_top1"] <= 1


def test_one_table_of_all_places_is_fitted_too(tiny_config, tmp_path):
    fields = {"position_form": "joint"}
    folder, _, variables = saved(tmp_path, fine_tuning(tiny_config, **fields))
    config = fine_tuning(tiny_config, size=24, grid=(2, 3, 3), **fields)
    tower = load_tower(folder, create_method(config, classes=4), config.model.to_dict())
    table = variables["params"]["tower"]["positions"]["joint"].reshape(2, 2, 2, 8)
    weights = resize_matrix(2, 3, "cubic")
    expected = np.einsum("bh,cw,thwd->tbcd", weights, weights, table).reshape(18, 8)
    np.testing.assert_allclose(tower["params"]["positions"]["joint"], expected, atol=1e-6)
