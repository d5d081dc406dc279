"""What the devices send each other, from the text of a compiled program."""

from __future__ import annotations

import dataclasses
import math
import re

from cvrl_jax.plan.hlo import Instruction, Program, shape_bytes

KINDS = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)


@dataclasses.dataclass(frozen=True)
class Collective:
    """All collectives of one kind in one step.

    Attributes:
      count: how many run.
      bytes: of the arrays they work on, per device: the whole of what is reduced, gathered or
        scattered.
      sent: bytes that each device sends for it, by the ring algorithm (2 (n - 1) / n of what is
        reduced among n devices, (n - 1) / n of what is gathered or scattered, everything that is
        permuted).
    """

    count: int
    bytes: int
    sent: int


def collectives(program: Program) -> dict[str, Collective]:
    """By kind, with those in loops counted as often as they run."""
    totals: dict[str, Collective] = {}
    for computation, instruction in program.instructions():
        kind = instruction.opcode.removesuffix("-start")
        if kind not in KINDS:
            continue
        times = program.runs[computation]
        devices = _group_size(instruction, program.devices)
        held = _held(kind, instruction, devices)
        sent = held if kind.startswith("collective") else held * (devices - 1) // devices
        sent *= 2 if kind == "all-reduce" else 1
        before = totals.get(kind, Collective(0, 0, 0))
        totals[kind] = Collective(
            before.count + times, before.bytes + times * held, before.sent + times * sent
        )
    return totals


def _held(kind: str, instruction: Instruction, devices: int) -> int:
    """Bytes of the whole array that it works on."""
    sizes = [shape_bytes(shape) for shape in instruction.shapes]
    if instruction.opcode == "all-gather-start":  # (inputs, outputs)
        return sum(sizes[len(sizes) // 2 :])
    if instruction.opcode == "collective-permute-start":  # (input, output, contexts)
        return sizes[0]
    return sum(sizes) * (devices if kind == "reduce-scatter" else 1)


def _group_size(instruction: Instruction, devices: int) -> int:
    """Among how many devices: all of them where no groups are named.

    Groups are written as {{0,1},{2,3}}, as [groups,size]<=[...], or as axes of a mesh and those
    along which a group lies: mesh['a'=4,'b'=2] {'a'}, or {'a':(2)2} for the inner 2 of its 4.
    """
    attributes = instruction.attributes
    if listed := re.search(r"replica_groups=\{\{([\d,]*)\}", attributes):
        return len(listed[1].split(","))
    if short := re.search(r"replica_groups=\[(\d+),(\d+)\]", attributes):
        return int(short[2])
    if axes := re.search(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}", attributes):
        sizes = dict(re.findall(r"('[^']*')=(\d+)", axes[1]))
        along = re.findall(r"('[^']*')(?::\(\d+\)(\d+))?", axes[2])
        return math.prod(int(part or sizes[axis]) for axis, part in along)
    return devices
