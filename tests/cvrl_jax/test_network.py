"""A method with its variables as a frozen network."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from cvrl_jax.methods import create_method
from cvrl_jax.network import make_network, run_in_pieces
from cvrl_jax.parallel.mesh import make_mesh


@pytest.fixture(scope="module")
def vatt(tiny_config):
    method = create_method(tiny_config("vatt"))
    return method, jax.jit(method.init)(jax.random.key(0))


def batch_of(method, videos=8, views=2):
    spec, rng = method.inputs, np.random.default_rng(0)
    shape = (videos, views, spec.frames, spec.size, spec.size, 3)
    return {
        "video": rng.integers(0, 256, shape, np.uint8),
        "audio": rng.normal(size=(videos, views, spec.audio.samples)).astype(np.float32),
        "audio_valid": np.ones((videos, views), bool),
        "text": rng.integers(0, 9, (videos, spec.text.sentences, spec.text.tokens), np.int32),
        "label": np.zeros(videos, np.int32),
        "index": np.arange(videos),
        "error": np.full(videos, ""),
    }


def test_tokens_are_those_that_the_feature_is_made_of(vatt):
    method, variables = vatt
    batch = batch_of(method)
    network = make_network(method, make_mesh())(variables)
    outputs = network.embed(batch)
    for modality, length in (("video", 1 + 8), ("audio", 1 + 8)):
        tokens = network.tokens(batch, modality)
        assert tokens is not None
        assert tokens.shape == (8, 2, length, 8)
        assert tokens.dtype == np.float16
        # The first token is the aggregate, and the feature.
        np.testing.assert_allclose(tokens[:, :, 0], outputs[modality], atol=2e-3)
    assert network.inputs == method.inputs


def test_one_compiled_network_serves_any_variables(vatt):
    method, variables = vatt
    batch = batch_of(method)
    networks = make_network(method, make_mesh())
    first = networks(variables).embed(batch)
    other = networks(jax.tree.map(lambda leaf: 1.5 * leaf, variables)).embed(batch)
    assert set(first) == set(other) >= {"video", "audio", "text", "text_vt", "audio_vt"}
    assert not np.allclose(first["video"], other["video"])
    again = networks(variables).tokens(batch, "video")
    assert again is not None
    assert not np.allclose(again[:, :, 0], other["video"], atol=1e-2)


def test_a_network_without_a_transformer_has_no_tokens(tiny_config):
    method = create_method(tiny_config("cvrl"))
    variables = jax.jit(method.init)(jax.random.key(0))
    spec = method.inputs
    batch = {"video": np.zeros((8, 1, spec.frames, spec.size, spec.size, 3), np.uint8)}
    assert make_network(method, make_mesh())(variables).tokens(batch, "video") is None


@pytest.mark.parametrize("most", [1, 8, 24, 64])
def test_views_in_pieces_are_those_of_one_pass_for_any_number_of_devices(most):
    """Each view once and in its place; what fills up a piece is never given back."""
    rng = np.random.default_rng(0)
    batch = {"video": rng.random((5, 7, 3)), "audio": rng.random((5, 7, 2))}
    for devices in (1, 3, 8):
        sizes = []

        def run(piece, devices=devices, sizes=sizes):
            sizes.append(len(piece["video"]))
            assert piece["video"].shape[1:] == (1, 3)
            return {"sum": piece["video"].sum(axis=-1) + piece["audio"].sum(axis=-1)}

        found = run_in_pieces(run, batch, most=most, devices=devices)["sum"]
        np.testing.assert_array_equal(found, batch["video"].sum(-1) + batch["audio"].sum(-1))
        assert len(set(sizes)) == 1
        assert sizes[0] % devices == 0
        assert sizes[0] < most + devices
        assert sum(sizes) - 35 < len(sizes) * devices


def test_sentences_are_embedded_once_per_video_and_not_per_view(vatt):
    method, variables = vatt
    batch = batch_of(method, videos=3, views=2)  # eight devices do not divide three videos
    pieces = make_network(method, make_mesh(), clips=8)(variables).embed(batch)
    whole = make_network(method, make_mesh(), clips=64)(variables).embed(batch)
    assert pieces["text_vt"].shape[:2] == (3, method.inputs.text.sentences)
    assert pieces["video"].shape[:2] == pieces["audio_vt"].shape[:2] == (3, 2)
    for name, value in pieces.items():
        np.testing.assert_allclose(value, whole[name], atol=1e-5)
