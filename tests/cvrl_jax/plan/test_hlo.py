"""Programs read from their text: what runs how often, what is sent, what is computed."""

from __future__ import annotations

import pytest

from cvrl_jax.plan.arithmetic import repeated_flops
from cvrl_jax.plan.collectives import Collective, collectives
from cvrl_jax.plan.hlo import Program

TEXT = """HloModule jit_step, is_scheduled=true, num_partitions=8

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add = f32[] add(%a, %b)
}

%body (state: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %state = (s32[]{:T(128)}, f32[8,4]{1,0:T(8,128)S(1)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%state), index=0
  %x = f32[8,4]{1,0:T(8,128)S(1)} get-tuple-element(%state), index=1
  %w = f32[4,4]{1,0} constant({...})
  %y = f32[8,4]{1,0} dot(%x, %w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %send = (f32[8,4]{1,0}, f32[8,4]{1,0}, u32[]{:S(2)}, u32[]) collective-permute-start(%y)
  %sent = f32[8,4]{1,0} collective-permute-done(%send)
  ROOT %next = (s32[], f32[8,4]) tuple(%i, %sent)
}

%condition (state.1: (s32[], f32[8,4])) -> pred[] {
  %bound = s32[]{:T(128)} constant(5)
  %state.1 = (s32[], f32[8,4]) parameter(0)
  %i.1 = s32[] get-tuple-element(%state.1), index=0
  ROOT %less = pred[] compare(%i.1, %bound), direction=LT
}

ENTRY %main (p: bf16[2,6]) -> f32[] {
  %p = bf16[2,6]{1,0} parameter(0)
  %all = bf16[8,6]{1,0} all-gather(%p), replica_groups=[2,4]<=[8], dimensions={0}
  %part = f32[2,6]{1,0} reduce-scatter(%all), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%sum
  %total = (f32[3]{0}, f32[5]{0}) all-reduce(%part, %part), replica_groups={{0,1}}, to_apply=%sum
  %start = (s32[], f32[8,4]) tuple(%p, %p)
  %loop = (s32[], f32[8,4]) while(%start), condition=%condition, body=%body
  ROOT %out = f32[] constant(0)
}
"""


@pytest.fixture(scope="module")
def program():
    return Program(TEXT)


def test_a_loops_body_runs_as_often_as_its_condition_says(program):
    assert program.runs == {"main": 1, "body": 5}
    assert program.sites == {"main": 1, "body": 1}
    known = TEXT.replace("body=%body", 'body=%body, backend_config={"known_trip_count":{"n":"7"}}')
    assert Program(known).runs["body"] == 7


def test_collectives_by_kind_with_their_bytes(program):
    assert collectives(program) == {
        "all-gather": Collective(1, 96, 72),  # [8, 6] bfloat16 among 4
        "reduce-scatter": Collective(1, 192, 144),  # the whole is 4 times what is left of it
        "all-reduce": Collective(1, 32, 32),  # of (3 + 5) float32 among 2: 2 (n - 1) / n = 1
        "collective-permute": Collective(5, 5 * 128, 5 * 128),
    }


@pytest.mark.parametrize(
    ("groups", "devices"),
    [
        ("{{0,2},{1,3}}", 2),
        ("[2,4]<=[4,2]T(1,0)", 4),
        ("mesh['axis_0'=8] {'axis_0'}", 8),
        ("mesh['axis_0'=2,'axis_1'=4] {'axis_1'}", 4),
        ("mesh['axis_0'=2,'axis_1'=4] {'axis_0','axis_1'}", 8),
        ("mesh['axis_0'=2,'axis_1'=4] {'axis_1':(2)2}", 2),
        ("{}", 8),  # all
    ],
)
def test_among_how_many_devices_a_collective_is(groups, devices):
    text = TEXT.replace("{{0,1}}", groups)
    reduced = collectives(Program(text))["all-reduce"]
    assert reduced == Collective(1, 32, 2 * (32 * (devices - 1) // devices))


def test_what_rounds_repeat(program):
    assert repeated_flops(program) == 4 * 2 * 8 * 4 * 4
    dot, permute_start, done = 128 + 64 + 128, 128 + 128 + 128 + 8, 264 + 128
    assert program.repeated_bytes() == 4 * (dot + permute_start + done)
