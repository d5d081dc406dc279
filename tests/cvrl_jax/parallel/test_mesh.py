from __future__ import annotations

import math

import jax
import pytest
from jax.sharding import AxisType

from cvrl_jax.parallel.mesh import AXES, batch_shards, check_divisible, make_mesh, mesh_shape
from data_pipelines.errors import UserError


def sizes(replica, data, model):
    return dict(zip(AXES, (replica, data, model)))


@pytest.mark.parametrize(
    ("asked", "devices", "expected"),
    [
        ((1, -1, 1), 8, (1, 8, 1)),
        ((2, -1, 2), 8, (2, 2, 2)),
        ((-1, 2, 1), 8, (4, 2, 1)),
        ((2, 2, 2), 8, (2, 2, 2)),
        ((1, -1, 1), 1, (1, 1, 1)),
    ],
)
def test_one_size_is_filled_in(asked, devices, expected):
    assert mesh_shape(sizes(*asked), devices) == sizes(*expected)


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ((1, -1, 3), "(replica=1, data=2, model=4) or (replica=1, data=4, model=2)"),
        ((2, 2, 1), "(replica=2, data=4, model=1)"),
        ((-1, -1, 1), "model=1"),
        ((1, 0, 1), "(replica=1, data=8, model=1)"),
        ((1, -2, 1), "nearest valid"),
    ],
)
def test_an_impossible_mesh_is_refused_with_the_nearest(asked, near):
    with pytest.raises(UserError) as error:
        mesh_shape(sizes(*asked), 8)
    message = str(error.value)
    assert near in message
    assert "\n" not in message


def test_the_batch_spans_replica_and_data():
    mesh = make_mesh(sizes(2, 2, 2))
    assert batch_shards(mesh.shape) == 4
    assert math.prod(mesh.shape.values()) == 8
    check_divisible(12, 4, "config.batch_size")
    with pytest.raises(UserError, match="4 devices that share a batch; nearest valid: 8 or 12"):
        check_divisible(10, 4, "config.batch_size")


def test_sizes_that_no_axis_of_a_torus_has_take_parts_of_one(monkeypatch):
    def refuse(*args, **kwargs):
        raise NotImplementedError("Failed to find assignment")

    monkeypatch.setattr(jax, "make_mesh", refuse)
    mesh = make_mesh(sizes(2, 2, 2))
    assert mesh.shape == sizes(2, 2, 2)
    assert mesh.axis_types == (AxisType.Auto,) * 3
