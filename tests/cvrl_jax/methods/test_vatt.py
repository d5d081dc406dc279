"""VATT: what each loss sees, what is missing, shared transformers, what `embed` gives."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from cvrl_jax import losses
from cvrl_jax.methods import create_method
from cvrl_jax.methods.towers import clip_tower, with_shared_encoder
from cvrl_jax.models import count_parameters
from data_pipelines.errors import UserError

B, K = 8, 2
KEY = jax.random.key(3)
# Compiling takes far longer than the few runs of what was compiled.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def batch_of(method, seed=0):
    spec, rng = method.inputs, np.random.default_rng(seed)
    return {
        "video": rng.integers(0, 256, (B, *spec.clip_shape), np.uint8),
        "audio": rng.uniform(-1, 1, (B, 1, spec.audio.samples)).astype(np.float32),
        "audio_valid": np.ones((B, 1), bool),
        "text": rng.integers(1, 60, (B, K, spec.text.tokens), np.int32),
        "valid": np.ones(B, bool),
    }


def step_of(method):
    return jit(
        jax.value_and_grad(
            lambda params, rest, batch: method.loss(rest | {"params": params}, batch, KEY),
            has_aux=True,
        )
    )


def agnostic(tiny_config, **changes):
    config = tiny_config("vatt", model__shared=True, **changes)
    stack = {"layers": 1, "width": 8, "mlp": 16, "heads": 2, "head_size": 4, "dtype": "float32"}
    ends = {"pre_projection": True, "post_projection": 8}
    for modality in ("video", "audio"):
        config.model[modality].update(**ends)
    config.model.text = ConfigDict(
        {"name": "text_small", "grid": (4,), "vocabulary": 100, "word_size": 6, **stack, **ends}
    )
    return config


@pytest.fixture(scope="module")
def case(tiny_config):
    method = create_method(tiny_config("vatt"))
    variables = jit(method.init)(jax.random.key(0))
    step = step_of(method)
    return method, variables, lambda batch: step(variables["params"], variables, batch)


def norms(grads):
    return {
        name: float(sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(part)))
        for name, part in grads.items()
    }


def test_the_loss_is_the_sum_of_both_pairs(case, tiny_config):
    method, variables, step = case
    (loss, aux), _ = step(batch_of(method))
    parts = aux.metrics["video_audio_loss"], aux.metrics["video_text_loss"]
    np.testing.assert_allclose(loss, sum(parts), rtol=1e-6)
    assert set(aux.metrics) == {
        f"video_{other}_{what}" for other in ("audio", "text") for what in ("loss", "accuracy")
    }
    weighted = create_method(tiny_config("vatt", method__audio_weight=0.5, method__text_weight=2.0))
    other, _ = weighted.loss(variables, batch_of(method), KEY)
    np.testing.assert_allclose(other, 0.5 * parts[0] + 2 * parts[1], rtol=1e-5)
    released = create_method(tiny_config("vatt", method__nce="released"))
    assert float(released.loss(variables, batch_of(method), KEY)[0]) > float(loss)


def test_without_text_in_the_batch_its_loss_is_0_and_its_tower_still(case):
    method, _, step = case
    batch = batch_of(method)
    (loss, aux), grads = step(batch | {"text": np.zeros_like(batch["text"])})
    assert float(aux.metrics["video_text_loss"]) == 0.0
    np.testing.assert_allclose(loss, aux.metrics["video_audio_loss"])
    sizes = norms(grads)
    assert sizes["text_tower"] == 0
    assert sizes["video_tower"] > 0
    assert sizes["audio_tower"] > 0
    assert np.isfinite(sum(sizes.values()))


def test_without_sound_in_the_batch_its_loss_is_0_and_its_tower_still(case):
    method, _, step = case
    batch = batch_of(method)
    silent = {"audio": np.zeros_like(batch["audio"]), "audio_valid": np.zeros((B, 1), bool)}
    (loss, aux), grads = step(batch | silent)
    assert float(aux.metrics["video_audio_loss"]) == 0.0
    np.testing.assert_allclose(loss, aux.metrics["video_text_loss"])
    sizes = norms(grads)
    assert sizes["audio_tower"] == 0
    assert sizes["text_tower"] > 0
    assert np.isfinite(sum(sizes.values()))


def test_one_example_without_sound_or_text_counts_in_the_other_loss_alone(case):
    method, _, step = case
    batch = batch_of(method)
    batch["audio_valid"][2] = False
    batch["text"][5] = 0
    batch["text"][6, 1] = 0
    (_, aux), _ = step(batch)
    other = {key: value.copy() for key, value in batch.items()}
    other["audio"][2] = np.nan
    (_, same), _ = step(other)
    jax.tree.map(np.testing.assert_array_equal, aux.metrics, same.metrics)
    jax.tree.map(np.testing.assert_array_equal, aux.collections, same.collections)


def test_the_pairs_are_those_of_the_common_spaces(case):
    """With running statistics in place of the batch's, the losses follow from `embed`."""
    method, variables, _ = case
    batch = batch_of(method)
    found = method.embed(variables, batch)
    for name, shape in {
        "video": (B, 1, 8), "audio": (B, 1, 8), "text": (B, K, 8), "video_va": (B, 1, 8),
        "audio_va": (B, 1, 8), "video_vt": (B, 1, 8), "text_vt": (B, K, 8), "audio_vt": (B, 1, 8),
    }.items():  # fmt: skip
        assert found[name].shape == shape
        assert found[name].dtype == jnp.float32
        if "_" in name:
            np.testing.assert_allclose(np.linalg.norm(found[name], axis=-1), 1.0, rtol=1e-5)
    loss = losses.mil_nce(found["video_vt"][:, 0], found["text_vt"])
    assert np.isfinite(loss)
    for keys in (("video",), ("audio",), ("text",), ("audio", "text")):
        some = method.embed(variables, {key: batch[key] for key in keys})
        assert {name.partition("_")[0] for name in some} == set(keys)
        for name, z in some.items():
            np.testing.assert_allclose(z, found[name], rtol=1e-5, atol=1e-6)


def test_drop_token_makes_steps_random_and_embed_not(case):
    method, variables, _ = case
    batch = batch_of(method)
    first, second = (method.loss(variables, batch, jax.random.key(seed))[0] for seed in (0, 1))
    assert float(first) != float(second)
    for a, b in zip(*(method.embed(variables, batch)["video"] for _ in range(2))):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def shared(tiny_config):
    method = create_method(agnostic(tiny_config))
    return method, jit(method.init)(jax.random.key(0))


class TestShared:
    def test_the_transformer_is_kept_once_and_learns_from_all(self, shared):
        method, variables = shared
        params = variables["params"]
        assert set(params) == {"encoder", "video_tower", "audio_tower", "text_tower", "heads"}
        assert all("encoder" not in params[f"{m}_tower"] for m in ("video", "audio", "text"))
        batch = batch_of(method)
        step = step_of(method)
        (_, aux), grads = step(params, variables, batch)
        wordless = batch | {"text": np.zeros_like(batch["text"])}
        (_, _), without_text = step(params, variables, wordless)
        assert norms(grads)["encoder"] > 0
        assert norms(without_text)["encoder"] > 0
        assert norms(without_text)["encoder"] != norms(grads)["encoder"]
        assert set(aux.collections) == set(variables) - {"params"}

    def test_its_clip_tower_stands_alone(self, shared):
        method, variables = shared
        clips = np.random.default_rng(0).uniform(size=(2, *method.inputs.clip_shape[1:]))
        tower = method.towers["video"]
        whole = clip_tower(variables)
        shapes = jax.eval_shape(lambda: tower.init(jax.random.key(0), jnp.asarray(clips), False))
        assert jax.tree.map(np.shape, whole) == jax.tree.map(np.shape, shapes)
        batch = {"video": (clips[:, None] * 255).astype(np.uint8)}
        np.testing.assert_allclose(
            method.embed(variables, batch)["video"][:, 0],
            tower.apply(whole, batch["video"][:, 0].astype(np.float32) / 255, False),
            rtol=1e-5,
            atol=1e-6,
        )

    def test_towers_that_cannot_share_are_named(self, tiny_config):
        config = agnostic(tiny_config)
        config.model.audio.heads = 4
        with pytest.raises(UserError, match=r"config\.model\.audio\.heads = 4.*video\.heads = 2"):
            create_method(config)
        config = agnostic(tiny_config)
        config.model.text = ConfigDict({"name": "text_linear", "vocabulary": 100})
        with pytest.raises(UserError, match="the text tower has no transformer"):
            create_method(config)


def test_without_a_section_there_is_no_tower(tiny_config):
    config = tiny_config("vatt")
    del config.model["text"]
    method = create_method(config)
    assert method.inputs.text is None
    variables = jit(method.init)(jax.random.key(0))
    batch = batch_of(create_method(tiny_config("vatt")))
    del batch["text"]
    (_, aux), grads = step_of(method)(variables["params"], variables, batch)
    assert set(aux.metrics) == {"video_audio_loss", "video_audio_accuracy"}
    assert all(size > 0 for size in norms(grads).values())


def test_a_residual_network_may_be_the_video_tower_and_its_statistics_move(tiny_config):
    """MMV (arXiv 2006.16228) is this method with convolutional towers."""
    config = tiny_config("vatt")
    config.model.video = ConfigDict({"name": "r3d10", "width": 0.0625})
    method = create_method(config)
    variables = jit(method.init)(jax.random.key(0))
    (_, aux), _ = step_of(method)(variables["params"], variables, batch_of(method))
    assert set(aux.collections["batch_stats"]) == {"video_tower", "heads"}
    before, after = (
        jax.tree.leaves(v["batch_stats"]["video_tower"]) for v in (variables, aux.collections)
    )
    assert any(not np.allclose(a, b) for a, b in zip(before, after, strict=True))


def remove(section, *names):
    for name in names:
        del section[name]


def replace(section, name, value):
    remove(section, name)
    section[name] = value


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.model.update(vidoe=c.model.video), "did you mean 'video'"),
        (lambda c: replace(c.model, "video", 3), r"config\.model\.video must be a section"),
        (lambda c: remove(c.model, "video"), r"needs config\.model\.video"),
        (lambda c: remove(c.model, "audio", "text"), r"config\.model\.audio or \.text"),
        (
            lambda c: remove(c.data, "audio"),
            "must be a section of rate, samples",
        ),
        (lambda c: c.data.text.update(tokns=3), r"config\.data\.text must be a section"),
        (lambda c: c.model.text.update(vocabulary=5), "the tokenizer .* set it to at least"),
        (lambda c: c.head.update(form="papr"), "did you mean 'paper'"),
        (lambda c: remove(c.method, "nce"), r"needs config\.method\.nce"),
        (lambda c: c.method.update(nce="papr"), "did you mean 'paper'"),
        (lambda c: c.data.text.update(tokenizer="nowhere.txt"), "no file"),
    ],
)
def test_what_does_not_fit_is_explained(change, says, tiny_config):
    from cvrl_jax.config import validate

    config = tiny_config("vatt")
    with config.unlocked():
        change(config)
    with pytest.raises(UserError, match=says):
        validate(config)


def test_full_size_counts():
    from configs.vatt_mbs import get_config

    method = create_method(get_config())
    params = jax.eval_shape(method.init, jax.random.key(0))["params"]
    words = count_parameters(params["text_tower"]["words"])
    # The sheet's 260.9 million: of its 19.0 for text, 0.15 project word2vec's vectors.
    assert (count_parameters(params) - words) / 1e6 == pytest.approx(260.9, abs=0.2)
    assert with_shared_encoder({"params": params})["params"] is params
