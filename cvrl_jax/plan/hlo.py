"""Reads the text of a compiled program: its instructions, and how often each runs.

The compiler's own totals count the body of a loop once, however often it runs; `Program` knows
better. https://openxla.org/xla/operation_semantics describes the operations.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_BITS = {"pred": 8, "bf16": 16, "token": 0, "opaque": 0}
_SHAPE = re.compile(r"\b(pred|bf16|token|opaque|[suf]\d+\w*|c64|c128)\[([\d,]*)\]")
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_CALLED = re.compile(r"(?:calls|to_apply|body|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_DEVICES = re.compile(r"\b(?:num_partitions|replica_count)=(\d+)")
_FREE = ("parameter", "tuple", "get-tuple-element", "constant", "bitcast", "while", "call")

Shape = tuple[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a program.

    Attributes:
      name: within its computation.
      shapes: (type, sizes) of each array that it puts out.
      opcode: what it does.
      operands: names of instructions of the same computation.
      attributes: the rest of the line.
    """

    name: str
    shapes: tuple[Shape, ...]
    opcode: str
    operands: tuple[str, ...]
    attributes: str

    @property
    def bytes(self) -> int:
        """That it puts out."""
        return sum(shape_bytes(shape) for shape in self.shapes)


def shape_bytes(shape: Shape) -> int:
    """Of an array, without padding."""
    kind, sizes = shape
    bits = _BITS.get(kind)
    if bits is None:
        digits = re.search(r"\d+", kind)
        bits = int(digits.group()) if digits else 0
    return math.prod(sizes) * bits // 8


class Program:
    """A compiled program.

    Args:
      text: of it, as `compiled.as_text()` gives it.

    Attributes:
      devices: that it runs on.
      computations: their instructions, by both names.
    """

    def __init__(self, text: str) -> None:
        sizes = _DEVICES.findall(text.partition("\n")[0])
        self.devices = math.prod(int(size) for size in sizes)
        self.computations: dict[str, dict[str, Instruction]] = {}
        self._entry = ""
        current: dict[str, Instruction] = {}
        for line in text.splitlines():
            header = _HEADER.match(line)
            if header and " = " not in line.partition("(")[0]:
                current = self.computations.setdefault(header[2], {})
                self._entry = header[2] if header[1] else self._entry
            elif found := _INSTRUCTION.match(line):
                instruction = _parse(found[1], found[2])
                current[instruction.name] = instruction

    @functools.cached_property
    def runs(self) -> dict[str, int]:
        """How often each computation runs in one run of the program."""
        return self._count(with_loops=True)

    @functools.cached_property
    def sites(self) -> dict[str, int]:
        """The same with every loop taken for one round."""
        return self._count(with_loops=False)

    def instructions(self) -> Iterator[tuple[str, Instruction]]:
        """All that ever run, each with the name of its computation."""
        for computation in self.runs:
            for instruction in self.computations[computation].values():
                yield computation, instruction

    def operand_shapes(self, computation: str, instruction: Instruction) -> list[Shape]:
        """Of the first array of each operand."""
        there = self.computations[computation]
        return [there[name].shapes[0] for name in instruction.operands if name in there]

    def repeated_bytes(self) -> int:
        """Bytes that loops read and write in all rounds but their first."""
        fused = {
            called
            for _, instruction in self.instructions()
            if instruction.opcode == "fusion"
            for called in _CALLED.findall(instruction.attributes)
        }
        total = 0
        for computation, instruction in self.instructions():
            again = self.runs[computation] - self.sites[computation]
            if again and computation not in fused and instruction.opcode not in _FREE:
                there = self.computations[computation]
                read = sum(there[n].bytes for n in instruction.operands if n in there)
                total += again * (read + instruction.bytes)
        return total

    def _count(self, with_loops: bool) -> dict[str, int]:
        counts: dict[str, int] = collections.Counter()

        def visit(name: str, times: int) -> None:
            counts[name] += times
            for instruction in self.computations[name].values():
                rounds = 1
                if instruction.opcode == "while" and with_loops:
                    rounds = self._trip_count(instruction)
                for called in self._called(instruction):
                    visit(called, times * rounds)

        visit(self._entry, 1)
        return dict(counts)

    def _called(self, instruction: Instruction) -> list[str]:
        if instruction.opcode.startswith(("reduce", "all-reduce", "scatter", "sort", "select")):
            return []  # what they call is a sum or a comparison of two numbers
        names = _CALLED.findall(instruction.attributes)
        for branches in _BRANCHES.findall(instruction.attributes):
            names += [name.strip().lstrip("%") for name in branches.split(",")]
        return [name for name in names if name in self.computations]

    def _trip_count(self, instruction: Instruction) -> int:
        """How often the body of a loop runs: what its counter, from 0 on, is compared with."""
        known = re.search(r'known_trip_count[^\d]*"?(\d+)', instruction.attributes)
        if known:
            return int(known[1])
        condition = re.search(r"condition=%?([\w.\-]+)", instruction.attributes)
        bounds = [
            int(found.attributes)
            for found in self.computations.get(condition[1] if condition else "", {}).values()
            if found.opcode == "constant" and found.attributes.lstrip("-").isdigit()
        ]
        return max([bound for bound in bounds if bound > 0], default=1)


def _parse(name: str, rest: str) -> Instruction:
    kind, rest = _split_type(rest)
    opcode, _, rest = rest.partition("(")
    end = _closing(rest)
    inside, attributes = rest[:end], rest[end + 1 :]
    if opcode == "constant":
        attributes = inside
    return Instruction(
        name=name,
        shapes=tuple(
            (found[1], tuple(int(n) for n in found[2].split(",") if n))
            for found in _SHAPE.finditer(kind)
        ),
        opcode=opcode.strip(),
        operands=tuple(re.findall(r"%([\w.\-]+)", inside)),
        attributes=attributes,
    )


def _split_type(text: str) -> tuple[str, str]:
    if not text.startswith("("):
        kind, _, rest = text.partition(" ")
        return kind, rest
    end = 1 + _closing(text[1:])
    return text[: end + 1], text[end + 2 :]


def _closing(text: str) -> int:
    """Where the parenthesis closes that was opened just before `text`."""
    depth = 1
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return place
    return len(text)
