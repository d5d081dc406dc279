import colorsys
import itertools

import jax
import numpy as np
import pytest

from cvrl_jax.augment import color

CLIP = np.random.default_rng(0).uniform(size=(2, 3, 2, 3)).astype(np.float32)
KEYS = [jax.random.key(seed) for seed in range(8)]
JITTER = jax.jit(color.color_jitter)


def in_hsv(clip, change):
    """`change(h, s, v)` applied pixel by pixel, in float64."""
    pixels = np.asarray(clip, np.float64).reshape(-1, 3)
    changed = [colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*p))) for p in pixels]
    return np.array(changed).reshape(clip.shape)


def scaled(clip, factor, pivot):
    return np.clip(pivot + (np.asarray(clip, np.float64) - pivot) * factor, 0, 1)


def channel_means(clip):
    return np.asarray(clip, np.float64).mean(axis=(0, 1, 2))


ORACLES = {
    "brightness": lambda clip, f: scaled(clip, f, 0.0),
    "contrast": lambda clip, f: scaled(clip, f, channel_means(clip)),
    "saturation": lambda clip, f: in_hsv(clip, lambda h, s, v: (h, min(s * f, 1.0), v)),
    "hue": lambda clip, turn: in_hsv(clip, lambda h, s, v: ((h + turn) % 1.0, s, v)),
}


def drawn(op):
    """The number that `op(clip)` draws, read off what it does to a clip that shows it."""

    def seen(*pixels):
        row = np.array([*pixels, *pixels][:2], np.float32)
        return np.asarray(op(np.broadcast_to(row, CLIP.shape)))[0, 0]

    grey, spread = seen([0.5] * 3)[0, 0] / 0.5, seen([0.45] * 3, [0.55] * 3)
    pale, red = seen([0.6, 0.5, 0.5])[0], seen([1, 0, 0])[0]
    return {
        "brightness": float(grey),
        "contrast": float(spread[1, 0] - spread[0, 0]) / 0.1,
        "saturation": float(1 - pale.min() / pale.max()) * 6,
        "hue": (colorsys.rgb_to_hsv(*red.tolist())[0] + 0.5) % 1.0 - 0.5,
    }


@pytest.mark.parametrize(("name", "strength"), [("brightness", 0.8), ("contrast", 0.8),
                                                ("saturation", 0.8), ("hue", 0.2)])  # fmt: skip
def test_op_equals_its_oracle_and_draws_from_its_range(name, strength):
    op = jax.jit(getattr(color, name))
    numbers = []
    for key in KEYS:
        numbers.append(drawn(lambda clip, key=key: op(key, clip))[name])
        got = op(key, CLIP)
        np.testing.assert_allclose(got, ORACLES[name](CLIP, numbers[-1]), atol=2e-5)
    centre = 0.0 if name == "hue" else 1.0
    offsets = np.array(numbers) - centre
    assert np.all(np.abs(offsets) <= strength + 1e-5)
    assert offsets.max() > strength / 4
    assert offsets.min() < -strength / 4


def test_jitter_is_the_four_ops_in_some_order():
    strengths = {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}
    off = dict.fromkeys(strengths, 0.0)
    orders = set()
    for key in KEYS:
        # A draw does not depend on the strengths of the other ops, so each can be read off alone.
        numbers = {
            name: drawn(lambda clip, on=off | {name: s}, key=key: JITTER(key, clip, **on))[name]
            for name, s in strengths.items()
        }
        got = JITTER(key, CLIP, **strengths)
        errors = {}
        for order in itertools.permutations(strengths):
            expected = CLIP
            for name in order:
                expected = ORACLES[name](expected, numbers[name])
            errors[order] = np.max(np.abs(expected - got))
        best = min(errors, key=errors.__getitem__)
        assert errors[best] < 5e-5
        orders.add(best)
    assert len(orders) >= 4


@pytest.mark.parametrize("clip", [CLIP, np.zeros_like(CLIP), np.ones_like(CLIP), CLIP.round()])
def test_jitter_of_strength_zero_changes_nothing(clip):
    got = JITTER(KEYS[0], clip, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    np.testing.assert_allclose(got, clip, atol=2e-6)


def test_contrast_keeps_the_mean_of_the_clip_not_of_the_frame():
    clip = np.stack([np.full((2, 2, 3), 0.4), np.full((2, 2, 3), 0.6)]).astype(np.float32)
    got = np.asarray(color.contrast(KEYS[0], clip))
    np.testing.assert_allclose(got.mean(), 0.5, atol=1e-6)
    assert abs(np.ptp(got) - 0.2) > 0.01  # a mean per frame would leave both frames as they are


def test_greys_have_no_hue_to_turn():
    grey = np.repeat(CLIP[..., :1], 3, axis=-1)
    np.testing.assert_allclose(color.hue(KEYS[0], grey), grey, atol=1e-6)
    np.testing.assert_allclose(color.saturation(KEYS[0], grey), grey, atol=1e-6)


def test_greyscale_is_luma_in_every_channel():
    got = color.greyscale(KEYS[0], CLIP)
    expected = CLIP @ np.array([0.2989, 0.587, 0.114])
    for channel in range(3):
        np.testing.assert_allclose(got[..., channel], expected, atol=1e-6)


def test_solarise_inverts_from_the_threshold_up():
    clip = np.array([0.0, 0.49, 0.5, 0.75, 1.0, 0.2], np.float32).reshape(1, 1, 2, 3)
    got = color.solarise(KEYS[0], clip)
    np.testing.assert_allclose(np.ravel(got), [0.0, 0.49, 0.5, 0.25, 0.0, 0.2], atol=1e-6)
    got = color.solarise(KEYS[0], clip, threshold=0.1)
    np.testing.assert_allclose(np.ravel(got), [0.0, 0.51, 0.5, 0.25, 0.0, 0.8], atol=1e-6)


def test_vatts_jitter_adds_one_number_then_saturation_contrast_and_hue():
    jitter = jax.jit(color.additive_jitter, static_argnames=("contrast", "saturation", "hue"))
    offsets = []
    for key in KEYS:
        bright = np.asarray(jitter(key, CLIP, 32 / 255, 0.0, 0.0, 0.0)).astype(np.float64)
        inside = (bright > 0) & (bright < 1)
        added = (bright - CLIP)[inside]
        np.testing.assert_allclose(added, added.mean(), atol=1e-5)
        offsets.append(added.mean())
        keys = jax.random.split(key, 4)
        expected = np.clip(CLIP + added.mean(), 0, 1).astype(np.float32)
        expected = color.saturation(keys[1], expected, 0.4)
        expected = color.contrast(keys[2], expected, 0.4)
        expected = color.hue(keys[3], expected, 0.2)
        np.testing.assert_allclose(jitter(key, CLIP), expected, atol=1e-4)
    assert max(np.abs(offsets)) <= 32 / 255
    assert np.std(offsets) > 0.03
