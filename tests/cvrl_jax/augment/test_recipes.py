import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from cvrl_jax import augment
from cvrl_jax.augment import color
from data_pipelines.errors import UserError

KEY = jax.random.key(0)
CLIPS = np.random.default_rng(0).integers(0, 256, (16, 2, 32, 32, 3), np.uint8)
VIEW_1, VIEW_2 = augment.views("cvrl")


@functools.cache
def compiled(view, per_frame):
    return jax.jit(lambda key, clips: augment.apply((VIEW_1, VIEW_2)[view], key, clips, per_frame))


def cvrl(key, clips, view=0, per_frame=False):
    return compiled(view, per_frame)(key, clips)


def names(recipe):
    return {step.op.__name__: step.probability for step in recipe}


def test_published_numbers():
    common = {"horizontal_flip": 0.5, "color_jitter": 0.8, "greyscale": 0.2}
    assert names(VIEW_1) == common | {"gaussian_blur": 1.0}
    assert names(VIEW_2) == common | {"gaussian_blur": 0.1, "solarise": 0.2}
    for recipe in augment.views("simclr_symmetric"):
        assert names(recipe) == common | {"gaussian_blur": 0.5}
    assert names(augment.views("linear")[0]) == {"horizontal_flip": 0.5}
    for recipe in augment.views("vatt"):
        assert names(recipe) == {"horizontal_flip": 0.5, "additive_jitter": 0.8}
        numbers = {"brightness": 32 / 255, "contrast": 0.4, "saturation": 0.4, "hue": 0.2}
        assert recipe[1].numbers == numbers
        weaker = augment.scaled(recipe, 0.5)[1].numbers
        assert weaker == {name: n / 2 for name, n in numbers.items()}
    # Mirroring before colour, greys and blur after it, solarisation last.
    assert list(names(VIEW_2)) == [*common, "gaussian_blur", "solarise"]


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(UserError, match="'cvlr' is unknown; did you mean 'cvrl'"):
        augment.views("cvlr")


def test_none_only_converts():
    got = augment.apply(augment.views("none")[0], KEY, CLIPS)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, CLIPS / 255.0, atol=1e-6)


@pytest.mark.parametrize("view", [0, 1])
def test_range_and_shape(view):
    got = np.asarray(cvrl(KEY, CLIPS, view))
    assert got.shape == CLIPS.shape
    assert got.dtype == np.float32
    assert got.min() >= 0.0
    assert got.max() <= 1.0
    assert np.std(got) > 0.05


@pytest.mark.parametrize("view", [0, 1])
def test_bfloat16_is_float32_but_for_rounding(view):
    expected = np.asarray(cvrl(KEY, CLIPS, view))
    got = jax.jit(lambda: augment.apply((VIEW_1, VIEW_2)[view], KEY, CLIPS, dtype=jnp.bfloat16))()
    assert got.dtype == jnp.bfloat16
    errors = np.abs(np.asarray(got, np.float32) - expected)
    assert errors.mean() < 2**-9  # half a unit in the last place of numbers near 1 is as much
    assert errors.max() < 2**-6  # a few of these, times the jitter's factors


def test_what_moves_pixels_alone_does_not_round_them():
    got = augment.apply(augment.views("linear")[0], KEY, CLIPS, dtype=jnp.bfloat16)
    wanted = np.asarray(jnp.asarray(CLIPS / 255.0, jnp.bfloat16))
    for clip, mirrored, result in zip(wanted, wanted[:, :, :, ::-1], np.asarray(got)):
        assert np.array_equal(result, clip) or np.array_equal(result, mirrored)


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.8, 1.0])
def test_an_op_is_applied_with_its_probability(probability):
    invert = augment.Step(lambda key, clip: 1.0 - clip, probability)
    black = np.zeros((2000, 1, 1, 1, 3), np.uint8)
    got = jax.jit(lambda clips: augment.apply((invert,), KEY, clips))(black)
    share = np.mean(np.ravel(got[:, 0, 0, 0, 0]))
    np.testing.assert_allclose(share, probability, atol=0.0 if probability in (0, 1) else 0.03)


def test_steps_draw_independently():
    half = tuple(
        augment.Step(lambda key, clip, channel: clip.at[..., channel].set(1.0), 0.5, {"channel": c})
        for c in (0, 1)
    )
    got = augment.apply(half, KEY, np.zeros((2000, 1, 1, 1, 3), np.uint8))
    both = np.mean(np.asarray(got[:, 0, 0, 0, 0] * got[:, 0, 0, 0, 1]))
    np.testing.assert_allclose(both, 0.25, atol=0.03)


@pytest.mark.parametrize("view", [0, 1])
def test_frames_share_one_draw(view):
    got = np.asarray(cvrl(KEY, np.repeat(CLIPS[:, :1], 2, axis=1), view))
    np.testing.assert_allclose(got[:, 0], got[:, 1], atol=1e-6)


def test_frames_draw_apart_if_asked_to():
    got = np.asarray(cvrl(KEY, np.repeat(CLIPS[:, :1], 2, axis=1), per_frame=True))
    unlike = np.max(np.abs(got[:, 0] - got[:, 1]), axis=(1, 2, 3)) > 0.05
    assert np.mean(unlike) > 0.8


def test_clips_differ_and_keys_differ():
    same = np.repeat(CLIPS[:1], 16, axis=0)
    got = np.asarray(cvrl(KEY, same))
    assert len({clip.tobytes() for clip in got}) == 16
    assert not np.allclose(got, cvrl(jax.random.key(1), same), atol=0.05)
    np.testing.assert_array_equal(got, cvrl(KEY, same))


def test_a_clip_does_not_depend_on_the_batch_it_is_in():
    recipe = (augment.Step(color.brightness, 0.5), *augment.views("linear")[0])
    apply = jax.jit(lambda clips: augment.apply(recipe, KEY, clips))
    whole, part = apply(CLIPS), apply(CLIPS[:5])
    np.testing.assert_allclose(whole[:5], part, atol=1e-6)


def test_eight_devices_equal_one_without_talking():
    expected = cvrl(KEY, CLIPS)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    clips = jax.device_put(CLIPS, NamedSharding(mesh, P("data")))
    key = jax.device_put(KEY, NamedSharding(mesh, P()))
    program = compiled(0, False).lower(key, clips).compile()
    got = program(key, clips)
    assert got.sharding.device_set == set(jax.devices())
    assert got.addressable_shards[0].data.shape[0] == 2
    np.testing.assert_allclose(got, expected, atol=1e-5)
    for collective in ("all-gather", "all-reduce", "all-to-all", "collective-permute"):
        assert collective not in program.as_text()
