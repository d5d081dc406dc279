"""CVRL's released checkpoints: every array under its name, from files that TensorFlow wrote."""

import contextlib
import importlib.util
import logging
import pathlib
import shutil

import jax
import numpy as np
import pytest

from cvrl_jax.export.foreign import read_tower
from cvrl_jax.export.from_tensorflow import layout_of
from cvrl_jax.export.names import expected_arrays
from cvrl_jax.export.tensor_bundle import read_bundle
from cvrl_jax.models import create_model
from data_pipelines.errors import UserError

FOLDER = pathlib.Path(__file__).parent
MODEL = {"name": "r3d50", "width": 1 / 64}


def writer():
    file = FOLDER / "tensorflow_checkpoint.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expected(**model):
    return expected_arrays(create_model(**model), 4, 16)


@pytest.fixture(scope="module")
def tiny():
    return expected(**MODEL)


@pytest.fixture
def prefix(tmp_path):
    for file in (FOLDER / "data").glob("r3d50.*"):
        shutil.copy(file, tmp_path)
    return tmp_path / "r3d50"


def check(prefix, wanted):
    found = read_tower("tensorflow", str(prefix), wanted, MODEL)
    assert found.keys() == wanted.keys()
    for ours, theirs in layout_of(wanted).names(wanted).items():
        np.testing.assert_array_equal(
            found[ours], writer().value_of(theirs, wanted[ours].shape), err_msg=ours
        )


def test_every_array_is_found_under_its_name(prefix, tiny, caplog):
    with caplog.at_level(logging.INFO):
        check(prefix, tiny)
        check(prefix.with_name("r3d50.index"), tiny)
    assert not caplog.text  # nothing left out; the pixels and the padding are CVRL's


def test_what_tensorflow_writes_here_and_now_is_read(tiny, tmp_path):
    pytest.importorskip("tensorflow")
    check(writer().write(str(tmp_path / "x")), tiny)


def test_names_are_the_model_gardens(tiny):
    names = layout_of(tiny).names(tiny)
    value = "/.ATTRIBUTES/VARIABLE_VALUE"
    assert names["params.stem.conv.kernel"] == f"backbone/layer_with_weights-0/kernel{value}"
    assert (
        names["batch_stats.stage1_block0.shortcut.norm.bn.var"]
        == f"backbone/layer_with_weights-5/_norm0/moving_variance{value}"
    )
    assert (
        names["params.stage3_block2.conv2.norm.bn.scale"]
        == f"backbone/layer_with_weights-17/_norm3/gamma{value}"
    )


def test_every_difference_is_listed(prefix, tiny):
    wanted = dict(tiny)
    name = "params.stem.conv.kernel"
    wanted[name] = jax.ShapeDtypeStruct((3, 7, 7, 3, 1), np.float32)
    wanted["params.stage3_block3.conv2.conv.kernel"] = wanted[name]
    del wanted["params.stem.norm.bn.scale"]
    with pytest.raises(UserError) as caught:
        read_tower("tensorflow", str(prefix), wanted, MODEL)
    for says in (
        "missing: backbone/layer_with_weights-18/_expand_conv/kernel",
        "unexpected: backbone/layer_with_weights-1/gamma",
        "of another shape: backbone/layer_with_weights-0/kernel",
    ):
        assert says in str(caught.value)
    with pytest.raises(UserError, match=r"weights of residual networks, but .* 'vit_small'"):
        read_tower("tensorflow", str(prefix), {"params.agg": np.zeros(1)}, {"name": "vit_small"})


def test_other_pixels_are_told(prefix, tiny, caplog):
    model = MODEL | {"normalization": "kinetics", "padding": "symmetric"}
    read_tower("tensorflow", str(prefix), tiny, model)
    assert "config.model.normalization=none; this run has kinetics" in caplog.text
    assert "config.model.padding=same; this run has symmetric" in caplog.text


def test_what_is_missing_cut_off_or_no_checkpoint_is_one_line(prefix):
    index = prefix.with_name("r3d50.index")
    data = prefix.with_name("r3d50.data-00000-of-00001")
    with pytest.raises(UserError, match=r"no file .*other\.index; a TensorFlow checkpoint is"):
        read_bundle(prefix.with_name("other"))
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cut off or of another kind"):
        read_bundle(prefix)
    data.unlink()
    with pytest.raises(UserError, match=r"no file .*data-00000-of-00001 beside"):
        read_bundle(prefix)
    rows = index.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):  # however it is damaged, there is an answer of one line or none
        damaged = bytearray(rows[: rng.integers(len(rows))] if rng.random() < 0.3 else rows)
        for place in rng.integers(max(len(damaged), 1), size=rng.integers(1, 30)):
            damaged[place : place + 1] = bytes([rng.integers(256)])
        index.write_bytes(damaged)
        data.write_bytes(whole)
        with contextlib.suppress(UserError):
            read_bundle(prefix)
