from __future__ import annotations

import jax
import numpy as np
import pytest

from cvrl_jax.methods import create_method
from cvrl_jax.methods.parts import eval_part
from data_pipelines.errors import UserError


def embedded(tiny_config, view_mean):
    method = create_method(tiny_config("supervised", method__view_mean=view_mean), classes=4)
    variables = jax.jit(method.init)(jax.random.key(0))
    kernel = variables["params"]["head"]["out"]["kernel"]
    variables["params"]["head"]["out"]["kernel"] = 30.0 * kernel  # views that differ
    spec = method.inputs
    shape = (8, 12, spec.frames, spec.size, spec.size, 3)
    clips = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    outputs = jax.jit(method.embed)(variables, {"video": clips})
    flat = outputs["video"].reshape(96, -1)
    logits = np.asarray(eval_part(method.head, variables, "head", flat), np.float64)
    return np.asarray(outputs["probabilities"]), logits.reshape(8, 12, 4)


def softmax(x):
    exponents = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def test_twelve_views_are_averaged_as_probabilities_or_as_logits(tiny_config):
    found, logits = embedded(tiny_config, "probabilities")
    np.testing.assert_allclose(found, softmax(logits).mean(axis=1), atol=1e-5)
    found_by_logits, _ = embedded(tiny_config, "logits")
    np.testing.assert_allclose(found_by_logits, softmax(logits.mean(axis=1)), atol=1e-5)
    assert not np.allclose(found, found_by_logits, atol=1e-3)


def test_another_mean_of_views_is_refused(tiny_config):
    with pytest.raises(UserError, match=r"config\.method\.view_mean = 'logit'; did you mean"):
        create_method(tiny_config("supervised", method__view_mean="logit"), classes=4)
