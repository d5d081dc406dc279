from __future__ import annotations

import pytest

from configs import base
from cvrl_jax.config import differences, from_plain, plain, validate
from data_pipelines.errors import UserError


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("batch_size", 12, "nearest valid: 8 or 16"),
        ("batch_size", 0, "at least 1"),
        ("steps", 0, "at least 1"),
        ("data__workers", -1, "must not be negative"),
        ("data__source", "foldr", "did you mean 'folder'"),
        ("data__stride", 0.0, "above 0"),
        ("data__stride", 1.5, "stride_unit=seconds"),
        ("data__sampling", "decreasin", "did you mean 'decreasing'"),
        ("data__last_batch", "padd", "did you mean 'pad'"),
        ("data__crop_area", (0.9, 0.3), "low <= high"),
        ("data__crop_area", (0.3, 1.3), "at 1 or below"),
        ("optimizer__learning_rate", -1.0, "not negative"),
        ("optimizer__learning_rate", float("nan"), "finite"),
        ("method__temperature", 0.0, "above 0 and finite"),
        ("optimizer__betas", (2.0, 3.0), r"\[0, 1\)"),
        ("data__max_bad_fraction", 1.5, r"\[0, 1\]"),
        ("model__name", "r3d51", "r3d50|r3d18"),
        ("method__name", "cvr", "did you mean 'cvrl'"),
        ("augment__recipe", "cvr", "cvrl"),
        ("optimizer__name", "adamx", "did you mean 'adam'"),
        ("optimizer__schedule", "quarter", "did you mean 'quarter_cosine'"),
        ("optimizer__warmup_steps", 100, "shorten the warm-up"),
        ("eval__protocols", ("kn",), "did you mean 'knn'"),
        ("eval__protocols", ("cross_modal_retrieval",), "knows no sound and no text"),
        ("eval__retrieval_ways", -1, "must not be negative"),
        ("eval__attentive__heads", 0, "at least 1"),
        ("eval__crops", 2, "known: 1, 3"),
    ],
)
def test_an_impossible_field_is_named_with_advice(field, value, says, tiny_config):
    with pytest.raises(UserError, match=says) as error:
        validate(tiny_config(**{field: value}))
    assert "\n" not in str(error.value)


def test_a_right_config_is_accepted_and_compares_as_json(tiny_config):
    config = tiny_config()
    validate(config)
    assert plain(config)["data"]["crop_area"] == list(config.data.crop_area)
    assert differences(plain(config), plain(tiny_config())) == []
    changed = plain(tiny_config(seed=3, data__size=8))
    assert differences(plain(config), changed) == ["data.size: 16 -> 8", "seed: 0 -> 3"]


def test_a_config_read_back_is_as_typed_as_the_one_written():
    config = base.get_config()
    again = from_plain(plain(config))
    assert plain(again) == plain(config)
    assert again.eval.protocols == ("knn", "linear")
    again.lock()
    again.optimizer.learning_rate = 0.5  # None in the file, but a float all the same
    with pytest.raises(TypeError):
        again.optimizer.learning_rate = "fast"
