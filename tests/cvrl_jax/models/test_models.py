"""`create_model` builds by name and explains what it cannot build."""

import jax.numpy as jnp
import pytest

from cvrl_jax.models import MODELS, create_model
from data_pipelines.errors import UserError


@pytest.mark.parametrize("name", MODELS)
def test_every_name_builds(name):
    tower = create_model(name)
    assert tower.feature_size >= 512
    if name.startswith("r"):
        assert tower.depth == int(name[3:])


def test_lists_and_type_names_from_a_config_are_taken():
    tower = create_model("r3d18", temporal_kernels=[3, 3, 3, 3], dtype="bfloat16")
    assert tower.temporal_kernels == (3, 3, 3, 3)
    assert tower.dtype == jnp.bfloat16
    hash(tower)  # a module may be a static argument of jit


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("r3d5", {}, "model 'r3d5' is unknown; did you mean 'r3d50'"),
        ("r3d50", {"widht": 2}, "no field 'widht'; did you mean 'width'.*stem_kernel"),
        ("r3d50", {"depth": 18}, "no field 'depth'"),
        ("r3d50", {"padding": "SAME"}, "padding='SAME'.*same, symmetric"),
        ("r3d50", {"lowering": "fast"}, "lowering='fast'.*auto, direct, split"),
        ("r3d50", {"temporal_kernels": (1, 3)}, "temporal_kernels.*4 integers"),
        ("r3d50", {"stem_strides": (0, 2, 2)}, "stem_strides.*at least 1"),
        ("r3d50", {"dtype": "float17"}, "dtype='float17'"),
        ("r3d50", {"width": 0.001}, "width=0.001.*1/64"),
    ],
)
def test_what_cannot_be_built_is_explained(name, fields, message):
    with pytest.raises(UserError, match=message):
        create_model(name, **fields)
