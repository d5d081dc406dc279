"""Which types a step computes in: bfloat16 in towers, float32 in all else."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxprs_in_params

from cvrl_jax.methods import create_method
from cvrl_jax.models import create_model
from cvrl_jax.models.precision import check_kept
from cvrl_jax.state import state_shapes
from data_pipelines.errors import UserError


def equations(jaxpr):
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield eqn
        for inner in jaxprs_in_params(eqn.params):
            yield from equations(inner)


@pytest.mark.parametrize("name", ["cvrl", "cvrl_vit"])
def test_towers_multiply_in_bfloat16_and_logits_in_float32(name, tiny_config):
    config = tiny_config(name, model__dtype="bfloat16", augment__recipe="none")
    method = create_method(config)
    check_kept(state_shapes(method, optax.adam(1e-3)))
    video = jax.ShapeDtypeStruct((8, *method.inputs.clip_shape), jnp.uint8)
    batch = {"video": video, "valid": jax.ShapeDtypeStruct((8,), jnp.bool_)}
    variables = jax.eval_shape(method.init, jax.random.key(0))
    traced = jax.make_jaxpr(lambda v, b: method.loss(v, b, jax.random.key(0)))(variables, batch)
    tower, logits = [], []
    for eqn in equations(traced):
        if eqn.primitive.name in ("dot_general", "conv_general_dilated"):
            types = {v.aval.dtype for v in eqn.invars}
            rows, *_, width = eqn.invars[0].aval.shape  # of embeddings: 8 videos, two views each
            small = rows <= 16 and width == config.head.out
            (logits if small and eqn.outvars[0].aval.ndim == 2 else tower).append(types)
        if eqn.primitive.name in ("reduce_sum", "exp", "rsqrt", "log"):
            assert eqn.invars[0].aval.dtype != jnp.bfloat16, eqn
    assert {jnp.dtype(jnp.bfloat16)} in tower
    assert logits
    assert all(types == {jnp.dtype(jnp.float32)} for types in logits)
    loss, aux = jax.eval_shape(lambda v, b: method.loss(v, b, jax.random.key(0)), variables, batch)
    assert loss.dtype == aux.features.dtype == jnp.float32


def test_what_is_not_float32_is_found():
    check_kept({"a": np.zeros(1, np.float32), "step": np.int32(0), "key": jax.random.key(0)})
    with pytest.raises(TypeError, match=r"\['b'\] is bfloat16"):
        check_kept({"a": np.zeros(1, np.float32), "b": jnp.zeros(1, jnp.bfloat16)})


def test_float16_is_not_offered():
    with pytest.raises(UserError, match="dtype='float16'; "):
        create_model("r3d18", dtype="float16")
