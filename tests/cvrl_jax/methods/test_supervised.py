from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.evaluation.views import mean_over_views
from cvrl_jax.methods import create_method
from cvrl_jax.methods.parts import eval_part
from data_pipelines.errors import UserError


@pytest.fixture(scope="module")
def method_and_variables(tiny_config):
    method = create_method(tiny_config("supervised"), classes=4)
    return method, jax.jit(method.init)(jax.random.key(0))


def batch_of(method, labels, valid=None, views=1):
    spec, rng = method.inputs, np.random.default_rng(0)
    shape = (len(labels), views, spec.frames, spec.size, spec.size, 3)
    valid = np.ones(len(labels), bool) if valid is None else valid
    clips = rng.integers(0, 256, shape, np.uint8)
    return {"video": clips, "label": np.asarray(labels), "valid": valid}


def test_views_are_told_apart_and_averaged_as_probabilities_or_as_logits(method_and_variables):
    method, variables = method_and_variables
    outputs = jax.jit(method.embed)(
        variables, {"video": batch_of(method, [0] * 8, views=3)["video"]}
    )
    flat = outputs["video"].reshape(24, -1)
    expected = np.asarray(eval_part(method.head, variables, "head", flat)).reshape(8, 3, 4)
    np.testing.assert_allclose(outputs["logits"], expected, atol=1e-5)

    logits = 30.0 * expected.astype(np.float64)  # views that differ

    def softmax(x):
        return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)

    mean, by_logits = (mean_over_views(logits, how) for how in ("probabilities", "logits"))
    np.testing.assert_allclose(mean, softmax(logits).mean(axis=1))
    np.testing.assert_allclose(by_logits, softmax(logits.mean(axis=1)))
    several = mean_over_views(logits, "probabilities", several=True)
    np.testing.assert_allclose(several, (1 / (1 + np.exp(-logits))).mean(axis=1))


def test_several_labels_get_a_sigmoid_each(method_and_variables):
    method, variables = method_and_variables
    targets = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1, 2, 3]]
    targets[0, 1] = 1.0
    valid = np.array([True] * 7 + [False])
    batch = batch_of(method, targets, valid)
    loss, aux = method.loss(variables, batch, jax.random.key(0))
    logits = eval_part(method.head, variables, "head", aux.features[:, 0])
    p = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    entropy = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).sum(axis=1)
    assert float(loss) == pytest.approx(entropy[valid].mean(), rel=1e-4)
    assert aux.metrics == {}


def test_mixing_dropout_and_smoothing_act_in_training_alone(tiny_config, method_and_variables):
    plain, variables = method_and_variables
    changed = create_method(
        tiny_config("supervised", method__mixup=0.8, method__cutmix=1.0, method__dropout=0.5,
                    method__label_smoothing=0.1), classes=4,
    )  # fmt: skip
    batch = batch_of(plain, [0, 1, 2, 3, -1, 1, 2, 3])
    losses = [float(m.loss(variables, batch, jax.random.key(1))[0]) for m in (plain, changed)]
    assert np.isfinite(losses).all()
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)
    seen = {"video": jnp.asarray(batch["video"])}
    a, b = (m.embed(variables, seen)["logits"] for m in (plain, changed))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("field", "value"), [("dropout", 1.0), ("label_smoothing", -0.1)])
def test_impossible_fields_are_named(field, value, tiny_config):
    with pytest.raises(UserError, match=rf"config\.method\.{field} = {value}"):
        create_method(tiny_config("supervised", **{f"method__{field}": value}), classes=4)


def test_data_without_classes_is_refused(tiny_config):
    with pytest.raises(UserError, match="at least two classes, but the data has 1"):
        create_method(tiny_config("supervised"), classes=1)
