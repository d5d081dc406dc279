import jax
import numpy as np

from cvrl_jax.augment import flip


def test_only_left_and_right_are_exchanged():
    clip = np.arange(2 * 2 * 3 * 3, dtype=np.float32).reshape(2, 2, 3, 3)
    got = flip.horizontal_flip(jax.random.key(0), clip)
    for t, y, x in np.ndindex(2, 2, 3):
        np.testing.assert_array_equal(got[t, y, x], clip[t, y, 2 - x])
