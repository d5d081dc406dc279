"""`cvrl_jax.load`: of runs, exports and what is neither."""

import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

import cvrl_jax
from cvrl_jax.checkpoint import find_checkpoint, load_variables
from cvrl_jax.config import from_plain, plain
from cvrl_jax.export import native, safetensors_file
from cvrl_jax.loading import describe, make_encoder
from cvrl_jax.methods import create_method, method_names
from cvrl_jax.methods.towers import clip_tower
from data_pipelines.errors import UserError


def test_a_run_gives_what_its_method_embeds(trained):
    encoder = cvrl_jax.load(trained.workdir)
    clips = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), np.uint8)
    variables, host = load_variables(find_checkpoint(trained.workdir))
    config: ConfigDict = from_plain(host["config"])
    config.model.dtype = "float32"
    expected = create_method(config).embed(variables, {"video": clips[:, None]})["video"][:, 0]
    np.testing.assert_allclose(encoder.embed(clips), expected, atol=1e-5)
    assert encoder.description.origin["step"] == 4
    assert "loss" in encoder.description.origin["metrics"]
    d = encoder.description
    assert (d.frames, d.stride, d.stride_unit, d.size) == (4, 2.0, "frames", 16)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", method_names())
def test_an_encoder_is_what_its_method_embeds(name, shared, tiny_config):
    config = tiny_config(name)
    if shared and "shared" not in config.model:
        pytest.skip("a method of one tower")
    if shared:
        config.model.shared = True
        del config.model.text  # T5's transformer is another one
    for section in (config.model, *config.model.values()):
        if isinstance(section, ConfigDict) and "dtype" in section:
            section.dtype = "float32"
    method = create_method(config, classes=3)
    variables = jax.jit(method.init)(jax.random.key(0))
    encoder = make_encoder(describe(plain(config), {}), clip_tower(variables), "float32", "a test")
    clips = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), np.uint8)
    expected = method.embed(variables, {"video": clips[:, None]})["video"][:, 0]
    np.testing.assert_allclose(encoder.embed(clips), expected, atol=1e-5)


def test_a_notebook_needs_no_flags_and_no_other_framework(trained):
    program = f"""
import sys
import cvrl_jax
assert "jax" not in sys.modules
import numpy as np
encoder = cvrl_jax.load({str(trained.workdir)!r})
print(encoder.embed(np.zeros((2, 4, 16, 16, 3), np.uint8)).shape)
assert not {{"torch", "tensorflow"}} & set(sys.modules)
"""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "(2, 32)"


@pytest.mark.parametrize("format", [native, safetensors_file])
def test_exports_come_back_bit_for_bit(random_encoder, format, tmp_path):
    encoder = random_encoder(normalization="kinetics")
    format.write(encoder, tmp_path / "x")
    again = cvrl_jax.load(tmp_path / "x")
    jax.tree.map(np.testing.assert_array_equal, again.variables, encoder.variables)
    assert again.description == encoder.description
    assert cvrl_jax.load(tmp_path / "x", dtype="bfloat16").tower.dtype == "bfloat16"


def test_a_file_cut_off_anywhere_is_one_line(random_encoder, tmp_path):
    whole = tmp_path / "whole.safetensors"
    safetensors_file.write(random_encoder(), whole)
    content = whole.read_bytes()
    cut = tmp_path / "cut.safetensors"
    for length in (0, 5, 100, len(content) // 2, len(content) - 1):
        cut.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"cut\.safetensors cannot be read") as caught:
            cvrl_jax.load(cut)
        assert "\n" not in str(caught.value)


def test_a_damaged_native_export_is_one_line(random_encoder, tmp_path):
    native.write(random_encoder(), tmp_path / "x")
    for file in (tmp_path / "x" / "variables").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UserError, match="its arrays cannot be read") as caught:
        cvrl_jax.load(tmp_path / "x")
    assert "\n" not in str(caught.value)


def test_arrays_of_another_tower_are_listed(random_encoder, tmp_path):
    encoder = random_encoder()
    native.write(encoder, tmp_path / "x")
    file = tmp_path / "x" / "encoder.json"
    file.write_text(file.read_text().replace("r3d10", "r3d18"))
    with pytest.raises(UserError, match=r"not those of r3d18 .*missing: .*stage0_block1\.conv0"):
        cvrl_jax.load(tmp_path / "x")


def test_what_is_nothing_to_load(tmp_path, trained_copy):
    with pytest.raises(UserError, match="no checkpoint in"):
        cvrl_jax.load(tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        cvrl_jax.load(tmp_path / "nothing")
    with pytest.raises(UserError, match="are not published yet; train them"):
        cvrl_jax.load("cvrl_r3d50")
    with pytest.raises(UserError, match="did you mean 'cvrl_r3d50'"):
        cvrl_jax.load("cvrl_r3d5")
    step = find_checkpoint(trained_copy)
    shutil.rmtree(step / "state")
    with pytest.raises(UserError, match="cannot be read"):
        cvrl_jax.load(step)


def test_weights_of_another_project_are_told_apart(tmp_path):
    safetensors_file.save(tmp_path / "x.safetensors", {"fc.bias": np.zeros(3, np.float32)}, {})
    with pytest.raises(UserError, match=r"no export of cvrl_jax; .*init_from=LIBRARY:FILE"):
        cvrl_jax.load(tmp_path / "x.safetensors")
    (tmp_path / "encoder.json").write_text(json.dumps({"format": "other", "version": 1}))
    with pytest.raises(UserError, match="format 'other'"):
        cvrl_jax.load(tmp_path)
