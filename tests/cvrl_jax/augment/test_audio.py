import jax
import jax.numpy as jnp
import numpy as np

from cvrl_jax.augment import AudioAugmentation

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def test_off_changes_nothing():
    wave = RNG.uniform(-1, 1, (3, 100)).astype(np.float32)
    np.testing.assert_array_equal(AudioAugmentation()(KEY, wave), wave)


def test_noise_follows_the_loudest_sample_and_silence_stays():
    wave = np.zeros((3, 20_000), np.float32)
    wave[1, 5], wave[2, 7] = 0.5, -1.0
    noise = np.asarray(jax.jit(AudioAugmentation(noise=0.01))(KEY, wave)) - wave
    np.testing.assert_allclose(noise.std(axis=1), [0.0, 0.005, 0.01], rtol=0.03)
    assert abs(np.corrcoef(noise[1], noise[2])[0, 1]) < 0.05


def test_mixup_keeps_most_of_ones_own_and_adds_the_last():
    wave = np.eye(4, dtype=np.float32)
    own = []
    mix = jax.jit(AudioAugmentation(mixup=True))
    for seed in range(200):
        mixed = np.asarray(mix(jax.random.key(seed), wave))
        np.testing.assert_allclose(mixed.sum(axis=1), 1.0, rtol=1e-6)
        share = np.diagonal(mixed)
        np.testing.assert_allclose(mixed[np.arange(4), np.arange(4) - 1], 1 - share, rtol=1e-5)
        own.append(share)
    np.testing.assert_allclose(np.mean(own), 10 / 12, atol=0.02)  # of Beta(10, 2)
    assert np.std(own, axis=1).mean() > 0.05


def test_a_key_is_a_draw():
    wave = jnp.asarray(RNG.uniform(-1, 1, (2, 50)), jnp.float32)
    augment = AudioAugmentation(noise=0.1, mixup=True)
    np.testing.assert_array_equal(augment(KEY, wave), augment(KEY, wave))
    assert not np.allclose(augment(KEY, wave), augment(jax.random.key(1), wave))
