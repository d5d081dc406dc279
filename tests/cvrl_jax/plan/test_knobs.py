"""Chips by name, bounds by their peaks, and what is tried where a step does not fit."""

from __future__ import annotations

import dataclasses

import pytest

from cvrl_jax.plan.chips import CHIPS, parse_topology
from cvrl_jax.plan.collectives import Collective
from cvrl_jax.plan.compiled import Figures
from cvrl_jax.plan.knobs import next_knob
from cvrl_jax.plan.roofline import roofline
from data_pipelines.errors import UserError

KINDS = {"parameters": 2, "statistics": 0, "optimizer": 4, "temporaries": 300}


def test_slices_by_name():
    slice_ = parse_topology("v5p:2x2x4")
    assert (slice_.devices, slice_.platform, slice_.accelerator_type) == (16, "tpu", "v5p-32")
    assert parse_topology("v5e:4x4").accelerator_type == "v5litepod-16"
    assert parse_topology("cpu:8").devices == 8
    assert parse_topology("cpu").chip is None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("v5f:4x4", "did you mean 'v5"),
        ("v5e", "as in v5e:4x4"),
        ("v5e:4x4x4", "has 2 axes"),
        ("v5p:4x4", "as in v5p:4x4x4"),
        ("v5e:0x4", "has 2 axes"),
        ("cpu:none", "cpu or cpu:NUMBER"),
    ],
)
def test_an_impossible_slice_is_refused(name, says):
    with pytest.raises(UserError, match=says):
        parse_topology(name)


def test_the_slowest_part_bounds_a_step():
    sent = {"all-reduce": Collective(1, 0, int(1e9))}
    chip = dataclasses.replace(CHIPS["v5e"], flops=1e12, bandwidth=1e9, links=1e8)
    bound = roofline(Figures(True, {}, flops=2e12, bytes_accessed=4e9, collectives=sent), chip)
    assert bound is not None
    assert (bound.arithmetic, bound.memory, bound.links) == (2.0, 4.0, 10.0)
    assert (bound.seconds, bound.bound_by) == (10.0, "links")
    assert (bound.intensity, bound.ridge) == (500.0, 1000.0)
    assert roofline(Figures(False, {}), chip) is None


def changes(config, kinds, memory):
    """What is set, one thing after the other, where nothing helps."""
    found, knob = [], next_knob(config, Figures(False, kinds), memory, 8)
    while knob is not None:
        found.append(knob[1])
        knob = next_knob(knob[2], Figures(False, kinds), memory, 8)
    return found


def test_knobs_come_cheapest_first(tiny_config):
    config = tiny_config("cvrl", batch_size=64)
    assert changes(config, KINDS, memory=20) == [
        "config.model.dtype = bfloat16",
        "config.model.remat = block",
        "config.parallel.preset = fsdp",
        "config.parallel.chunks = 8",  # as many as there are examples on a device
        "config.batch_size = 32",
        "config.batch_size = 16",
        "config.batch_size = 8",
    ]
    assert config.parallel.chunks == 1  # what was given is left as it was
    assert changes(config, KINDS | {"temporaries": 30}, memory=20)[3:5] == [
        "config.parallel.chunks = 4",  # 30 / 4 fits beside a state of 6, 30 / 2 does not
        "config.parallel.chunks = 8",
    ]
    small_state = changes(config, KINDS, memory=100)
    assert "config.parallel.preset = fsdp" not in small_state


def test_every_tower_is_changed(tiny_config):
    knob = next_knob(tiny_config("vatt"), Figures(False, KINDS), 10, 8)
    assert knob is not None
    assert knob[1].count("dtype = bfloat16") == 3


def test_what_brought_nothing_is_not_tried_again(tiny_config):
    spent = ("remat", "preset", "chunks")
    config, names = tiny_config("cvrl", batch_size=32), []
    while knob := next_knob(config, Figures(False, KINDS), 20, 8, spent):
        name, _, config = knob
        names.append(name)
    assert names == ["dtype", "batch_size", "batch_size"]
