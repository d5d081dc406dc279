"""What mesh, batch and method have to do with each other."""

from __future__ import annotations

import pytest

from cvrl_jax.config import validate
from data_pipelines.errors import UserError


@pytest.mark.parametrize(
    ("method", "changes", "says"),
    [
        ("cvrl", {"parallel__mesh__model": 3}, "nearest valid: .*model=2"),
        ("cvrl", {"parallel__preset": "tensr"}, "did you mean 'tensor'"),
        ("cvrl", {"parallel__chunks": 0}, "at least 1"),
        ("cvrl", {"parallel__chunks": 3}, "8 devices times 3 parts.*nearest valid: 24"),
        ("cvrl", {"parallel__accumulate": 2, "batch_size": 16}, "parallel.chunks = 2 instead"),
        ("vatt", {"parallel__accumulate": 2, "batch_size": 16}, "fewer negatives"),
        (
            "cvrl_vit",
            {"parallel__preset": "tensor", "parallel__mesh__model": 4},
            "does not divide the 2 attention heads of the tower; nearest valid: 2",
        ),
        (
            "cvrl_vit",
            {"parallel__preset": "tensor", "parallel__mesh__model": 4, "model__heads": 6},
            "the 6 attention heads of the tower; nearest valid: 2$",  # 3 and 6 do not divide 8
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(method, changes, says, tiny_config):
    with pytest.raises(UserError, match=says) as error:
        validate(tiny_config(method, **changes))
    assert "\n" not in str(error.value)


def test_other_devices_than_those_here_may_be_asked_for(tiny_config):
    config = tiny_config(batch_size=48, eval__batch_size=48)
    validate(config, devices=24)
    with pytest.raises(UserError, match="nearest valid: 32 or 64"):
        validate(config, devices=32)


def test_methods_that_compare_nothing_may_accumulate(tiny_config):
    validate(tiny_config("byol", parallel__accumulate=2, batch_size=16))
