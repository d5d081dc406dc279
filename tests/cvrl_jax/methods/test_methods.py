"""What every method must do, on a small batch."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from cvrl_jax.methods import create_method, method_names
from cvrl_jax.parallel.mesh import batch_sharding, make_mesh, replicated
from data_pipelines.errors import UserError

B, CLASSES = 8, 4
KEY = jax.random.key(3)
# Compiling takes far longer than the one or two runs of what was compiled.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def make_batch(method, seed=0):
    spec = method.inputs
    rng = np.random.default_rng(seed)
    shape = (B, spec.views, spec.frames, spec.size, spec.size, 3)
    batch = {
        "video": rng.integers(0, 256, shape, np.uint8),
        "label": rng.integers(0, CLASSES, B, np.int32),
        "valid": np.ones(B, bool),
    }
    if spec.audio:
        wave = rng.uniform(-1, 1, (B, spec.views, spec.audio.samples)).astype(np.float32)
        batch |= {"audio": wave, "audio_valid": np.ones((B, spec.views), bool)}
    if spec.text:
        shape = (B, spec.text.sentences, spec.text.tokens)
        batch["text"] = rng.integers(1, 100, shape, np.int32)
    return batch


@pytest.fixture(
    scope="module",
    params=["byol", "cvrl", "simclr", "supervised", "simclr_r2d", "cvrl_vit", "vatt"],
)
def case(request, tiny_config):
    name = request.param
    changes = {"model__name": "r2d10"} if "r2d" in name else {}
    method = create_method(tiny_config(name.removesuffix("_r2d"), **changes), CLASSES)
    variables = jit(method.init)(jax.random.key(0))
    step = jit(
        jax.value_and_grad(
            lambda params, variables, batch: method.loss(
                variables | {"params": params}, batch, KEY
            ),
            has_aux=True,
        )
    )
    return method, variables, lambda batch, v=variables: step(v["params"], v, batch)


def test_every_method_there_is_is_tested():
    assert method_names() == ["byol", "cvrl", "simclr", "supervised", "vatt"]


def test_unknown_method_and_fields(tiny_config):
    config = tiny_config()
    config.method.name = "cvrll"
    with pytest.raises(UserError, match="did you mean 'cvrl'"):
        create_method(config)
    config = tiny_config()
    with config.unlocked():
        config.method.tmperature = 0.1
    with pytest.raises(
        UserError, match=r"config\.method\.tmperature .* did you mean 'temperature'"
    ):
        create_method(config)
    config = tiny_config()
    with config.unlocked():
        del config.method["temperature"]
    with pytest.raises(UserError, match=r"needs config\.method\.temperature"):
        create_method(config)
    with pytest.raises(UserError, match="at least two classes"):
        create_method(tiny_config("supervised"), classes=0)


@pytest.mark.parametrize("name", ["cvrl", "vatt"])
def test_clips_are_augmented_in_the_type_that_their_tower_computes_in(tiny_config, name):
    config = tiny_config(name)
    assert create_method(config).augmentation.dtype == jnp.float32
    for section in (config.model, *config.model.values()):
        if isinstance(section, ConfigDict) and "dtype" in section:
            section.dtype = "bfloat16"
    assert create_method(config).augmentation.dtype == jnp.bfloat16


def test_augment_and_embed(case):
    method, variables, _ = case
    batch = make_batch(method)
    clips = jit(method.augment)(batch, KEY)
    assert clips.shape == batch["video"].shape
    assert clips.dtype == jnp.float32
    assert float(clips.min()) >= 0
    assert float(clips.max()) <= 1
    embed = jit(method.embed)
    features = embed(variables, batch)
    assert features["video"].shape[:2] == batch["video"].shape[:2]
    assert features["video"].dtype == jnp.float32
    # A video's features do not depend on its neighbours.
    alone = embed(variables, {"video": np.roll(batch["video"], 1, axis=0)})["video"]
    np.testing.assert_allclose(np.roll(alone, -1, axis=0), features["video"], rtol=1e-5, atol=1e-6)


def test_loss_is_finite_with_gradients_and_state_of_unchanged_form(case):
    method, variables, step = case
    (loss, aux), grads = step(make_batch(method))
    assert np.isfinite(loss)
    assert aux.features.shape[:2] == (B, method.inputs.views)
    norm = sum(float(jnp.abs(g).sum()) for g in jax.tree.leaves(grads))
    assert np.isfinite(norm)
    assert norm > 0
    assert set(aux.collections) == set(variables) - {"params"}
    shapes = jax.tree.map(np.shape, {k: variables[k] for k in aux.collections})
    assert jax.tree.map(np.shape, aux.collections) == shapes
    after = method.after_update(variables | aux.collections, jnp.float32(0.1))
    assert jax.tree.map(np.shape, after) == jax.tree.map(np.shape, variables)


def test_what_an_invalid_example_holds_changes_nothing(case):
    method, _, step = case
    batch = make_batch(method)
    batch["valid"][2] = False
    other = {key: value.copy() for key, value in batch.items()}
    other["video"][2] = 255 - other["video"][2]
    other["label"][2] = (other["label"][2] + 1) % CLASSES
    if "audio" in other:
        other["audio"][2] = np.nan
        other["text"][2] += 1
    (loss, aux), grads = step(batch)
    (other_loss, other_aux), other_grads = step(other)
    assert float(loss) == float(other_loss)
    jax.tree.map(np.testing.assert_array_equal, grads, other_grads)
    jax.tree.map(np.testing.assert_array_equal, aux.collections, other_aux.collections)
    jax.tree.map(np.testing.assert_array_equal, aux.metrics, other_aux.metrics)
    (whole, _), _ = step(batch | {"valid": np.ones(B, bool)})
    assert float(whole) != float(loss)


def test_loss_and_gradients_are_the_same_on_one_and_eight_devices(case):
    method, variables, on_one_device = case
    batch = make_batch(method)
    batch["valid"][5] = False
    mesh = make_mesh()
    on_eight = jit(
        jax.value_and_grad(lambda p, v, b: method.loss(v | {"params": p}, b, KEY), has_aux=True),
        in_shardings=(replicated(mesh), replicated(mesh), batch_sharding(mesh)),
    )
    (loss, aux), grads = on_one_device(batch)
    (loss8, aux8), grads8 = on_eight(variables["params"], variables, batch)
    assert len(loss8.sharding.device_set) == 8
    state, state8 = aux.collections, aux8.collections
    # float32; only the order of sums differs.
    np.testing.assert_allclose(loss8, loss, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), state8, state)
    # Gradients of kernels before a BatchNorm cancel almost to zero, hence the norm as yardstick.
    for a, b in zip(jax.tree.leaves(grads8), jax.tree.leaves(grads), strict=True):
        assert np.linalg.norm(a - b) <= 1e-3 * np.linalg.norm(b) + 1e-5
