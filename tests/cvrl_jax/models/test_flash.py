"""The TPU's attention kernel, interpreted on a CPU, is attention: values and gradients."""

import jax
import numpy as np
from jax.experimental.pallas import tpu as pltpu

from cvrl_jax.models.attention import attend


def test_flash_equals_fused_where_tokens_do_not_fill_its_tiles():
    rng = np.random.default_rng(0)
    q, k, v, g = (rng.normal(size=(1, 130, 1, 8)).astype(np.float32) for _ in range(4))

    def value_and_gradients(lowering):
        value, pull = jax.vjp(lambda q, k, v: attend(q, k, v, 0.3, lowering=lowering), q, k, v)
        return value, *pull(g)

    expected = value_and_gradients("fused")
    with pltpu.force_tpu_interpret_mode():
        got = value_and_gradients("flash")
    for a, w in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, w, atol=2e-5)
