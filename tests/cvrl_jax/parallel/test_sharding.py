"""A state split among the devices by rules: which arrays, how, and what is refused."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from cvrl_jax.parallel.describe import sharding_table
from cvrl_jax.parallel.mesh import make_mesh, replicated
from cvrl_jax.parallel.rules import create_rules
from cvrl_jax.parallel.sharding import placements, state_shardings
from data_pipelines.errors import UserError

SIZES = {"replica": 1, "data": 4, "model": 2}


def struct(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


SHAPES = {
    "attention": {"query": {"kernel": struct(512, 1024), "bias": struct(1024)}},
    "up": {"kernel": struct(512, 2048), "bias": struct(2048)},
    "down": {"kernel": struct(2048, 512), "bias": struct(512)},
    "conv": struct(3, 3, 512, 512),
    "odd": struct(2047, 512),
    "prime": struct(2047, 509),
    "six": struct(6, 509),
    "step": struct(),
}


def specs(preset, own=(), sizes=SIZES):
    return {p.path: p.spec for p in placements(SHAPES, sizes, create_rules(preset, own))}


def test_fsdp_splits_large_arrays_along_their_longest_axis_that_divides():
    assert specs("fsdp") == {
        "attention/query/kernel": P(None, "data"),
        "attention/query/bias": P(),
        "up/kernel": P(None, "data"),
        "up/bias": P(),
        "down/kernel": P("data"),
        "down/bias": P(),
        "conv": P(None, None, "data"),
        "odd": P(None, "data"),
        "prime": P(),
        "six": P(),
        "step": P(),
    }


def test_tensor_splits_columns_then_rows_and_fsdp_what_is_left_of_them():
    tensor = {
        "attention/query/kernel": P(None, "model"),
        "attention/query/bias": P("model"),
        "down/kernel": P("model"),
        "down/bias": P(),
        "conv": P(),
    }
    assert specs("tensor").items() >= tensor.items()
    both = {
        "attention/query/kernel": P("data", "model"),
        "attention/query/bias": P("model"),
        "down/kernel": P("model", "data"),
        "conv": P(None, None, "data"),
    }
    assert specs("fsdp_tensor").items() >= both.items()


def test_rules_of_the_config_come_first_and_every_choice_is_explained():
    own = (("odd|prime", "whole"), ("conv", "_, _, data+model, _"))
    placed = {p.path: p for p in placements(SHAPES, SIZES, create_rules("fsdp", own))}
    assert placed["odd"].spec == P()
    conv = placed["conv"]
    assert conv.spec == P(None, None, ("data", "model"))
    assert (conv.bytes, conv.bytes_per_device) == (4 * 9 * 512**2, 4 * 9 * 512**2 // 8)
    assert conv.why == "conv -> _, _, data+model, _"
    table = sharding_table(list(placed.values()), large=1 << 20).splitlines()
    assert table[1].split()[0] == "conv"  # the largest
    assert " _, _, data+model, _ " in table[1]
    small = sum(p.bytes < 1 << 20 for p in placed.values())
    assert table[-2].split()[:4] == ["small", "arrays", "x", str(small)]
    assert "no axis that 4 devices divide" in sharding_table(
        placements(SHAPES, SIZES, create_rules("fsdp")), large=1 << 20
    )


def test_the_mesh_carries_the_rules():
    mesh = make_mesh({"replica": 1, "data": 4, "model": 2})
    shardings = state_shardings(SHAPES, mesh, create_rules("fsdp"))
    assert shardings["conv"].shard_shape((3, 3, 512, 512)) == (3, 3, 128, 512)
    whole = state_shardings(SHAPES, mesh, ())
    assert all(sharding == replicated(mesh) for sharding in jax.tree.leaves(whole))


@pytest.mark.parametrize(
    ("preset", "own", "says"),
    [
        ("fdsp", (), "did you mean 'fsdp'"),
        ("fsdp", (("conv",),), "a pair"),
        ("fsdp", (("co(nv", "whole"),), "no regular expression"),
        ("fsdp", (("conv", "_, modl"),), "did you mean 'model'"),
        ("fsdp", (("conv", "_, model; fdsp"),), "only 'fsdp'"),
        ("fsdp", (("conv", "_, model, _, model"),), "one axis of an array only"),
        ("fsdp", (("convv", "whole"),), "fits no array"),
        ("fsdp", (("prime", "model, _"),), "does not divide axis 0 of prime.*nearest valid: 1$"),
        ("fsdp", (("six", "data+model, _"),), "axis 0 of six.*nearest valid: 2$"),
    ],
)
def test_an_impossible_rule_is_named_with_advice(preset, own, says):
    with pytest.raises(UserError, match=says) as error:
        specs(preset, own)
    assert "\n" not in str(error.value)
