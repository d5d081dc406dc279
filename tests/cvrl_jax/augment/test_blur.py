import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from cvrl_jax.augment import blur

KEY = jax.random.key(0)


@pytest.mark.parametrize(("height", "radius"), [(224, 11), (112, 5), (64, 3), (32, 1), (16, 0)])
def test_radius_follows_the_height(height, radius):
    assert blur.kernel_radius(height) == radius


@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-6), ("bfloat16", 2**-7)])
def test_equals_a_separable_convolution_with_zero_padding(dtype, error):
    clip = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 64, 40, 3)), dtype)
    taps = np.exp(-0.5 * (np.arange(-3, 4) / 1.3) ** 2)
    taps /= taps.sum()
    expected = np.asarray(clip, np.float64)
    for axis in (1, 2):
        expected = ndimage.correlate1d(expected, taps, axis=axis, mode="constant", cval=0.0)
    got = blur.gaussian_blur(KEY, clip, sigma_min=1.3, sigma_max=1.3)
    np.testing.assert_allclose(got, expected, atol=error)


def test_an_impulse_stays_in_its_frame_and_its_channel():
    clip = np.zeros((3, 64, 64, 3), np.float32)
    clip[1, 30, 30, 2] = 1.0
    got = np.array(blur.gaussian_blur(KEY, clip, 1.0, 1.0))
    np.testing.assert_allclose(got.sum(), 1.0, rtol=1e-5)
    assert got[1, 33, 33, 2] > 0.0
    assert got[1, 34, 30, 2] == 0.0
    got[1, :, :, 2] = 0.0
    np.testing.assert_array_equal(got, 0.0)


def test_sigma_is_uniform_in_its_range():
    impulse = np.zeros((1, 64, 64, 3), np.float32)
    impulse[0, 30, 30] = 1.0
    keys = jax.random.split(KEY, 200)
    blurred = jax.vmap(lambda key: blur.gaussian_blur(key, impulse, 0.5, 2.0)[0, 30:32, 30, 0])
    centre, beside = np.asarray(jax.jit(blurred)(keys), np.float64).T
    sigma = np.sqrt(-0.5 / np.log(beside / centre))
    assert sigma.min() > 0.5 - 1e-3
    assert sigma.max() < 2.0 + 1e-3
    np.testing.assert_allclose(sigma.mean(), 1.25, atol=0.1)
    np.testing.assert_allclose(sigma.std(), 1.5 / np.sqrt(12), atol=0.05)


def test_the_narrowest_blur_changes_nothing_and_white_stays_in_range():
    clip = np.ones((1, 32, 32, 3), np.float32)
    np.testing.assert_allclose(blur.gaussian_blur(KEY, clip, 0.1, 0.1), clip, atol=1e-6)
    assert np.max(blur.gaussian_blur(KEY, clip, 2.0, 2.0)) <= 1.0
