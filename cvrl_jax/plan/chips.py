"""What accelerators can do, and the names of their slices."""

from __future__ import annotations

import dataclasses
import math
import re

from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest

GIB = 1 << 30


@dataclasses.dataclass(frozen=True)
class Chip:
    """Published figures of one chip.

    Attributes:
      flops: peak, bfloat16, per second.
      memory: bytes of HBM.
      bandwidth: of HBM, bytes per second.
      links: bytes per second that it can send to its neighbours, all links together (half of what
        is published as bidirectional).
      accelerator: what the accelerator type of a slice begins with,
      per_chip: and what its number counts for each chip.
      source: of the figures.
    """

    flops: float
    memory: int
    bandwidth: float
    links: float
    accelerator: str
    per_chip: int
    source: str


_DOCS = "https://cloud.google.com/tpu/docs"
CHIPS = {
    "v4": Chip(275e12, 32 * GIB, 1228e9, 300e9, "v4", 2, f"{_DOCS}/v4"),
    "v5e": Chip(197e12, 16 * GIB, 819e9, 200e9, "v5litepod", 1, f"{_DOCS}/v5e"),
    "v5p": Chip(459e12, 95 * GIB, 2765e9, 600e9, "v5p", 2, f"{_DOCS}/v5p"),
    "v6e": Chip(918e12, 32 * GIB, 1638e9, 400e9, "v6e", 1, f"{_DOCS}/v6e"),
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """Devices to plan for.

    Attributes:
      name: as written, such as 'v5e:4x4', 'cpu:8' or 'gpu'.
      platform: 'tpu', 'cpu' or 'gpu'.
      devices: how many; 0 = all that this machine has.
      chip: what one can do; None where it is not in the table.
    """

    name: str
    platform: str
    devices: int
    chip: Chip | None

    @property
    def kind(self) -> str:
        """'v5e' of 'v5e:4x4'."""
        return self.name.partition(":")[0]

    @property
    def accelerator_type(self) -> str:
        """The name of a TPU slice, such as 'v5litepod-16'."""
        assert self.chip is not None
        return f"{self.chip.accelerator}-{self.devices * self.chip.per_chip}"


def parse_topology(name: str) -> Topology:
    """Reads 'v5e:4x4', 'v5p:2x2x4', 'cpu', 'cpu:8' or 'gpu'.

    Raises:
      UserError: it is none of these.
    """
    kind, _, shape = name.partition(":")
    known = (*CHIPS, "cpu", "gpu")
    if kind not in known:
        raise UserError(f"--topology={name}: {kind!r} is unknown; {nearest(kind, known)}")
    if kind not in CHIPS:
        if shape and not (shape.isdigit() and int(shape) > 0):
            raise UserError(f"--topology={name}: write {kind} or {kind}:NUMBER")
        return Topology(name, kind, int(shape or 0), None)
    axes = 3 if kind in ("v4", "v5p") else 2
    if not re.fullmatch(r"[1-9]\d*" + r"x[1-9]\d*" * (axes - 1), shape):
        example = "x".join("4" * axes)
        raise UserError(
            f"--topology={name}: {kind} has {axes} axes, each at least 1, as in {kind}:{example}"
        )
    devices = math.prod(int(size) for size in shape.split("x"))
    return Topology(name, "tpu", devices, CHIPS[kind])
