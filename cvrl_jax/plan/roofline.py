"""The least time that a step can take, by what its chip can do at most."""

from __future__ import annotations

import dataclasses

from cvrl_jax.plan.chips import Chip
from cvrl_jax.plan.compiled import Figures


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Bounds on the time of one step, in seconds; they may overlap, so the greatest counts.

    Attributes:
      arithmetic: all operations at the peak of bfloat16.
      memory: all bytes accessed at the bandwidth of HBM.
      links: all bytes sent over all links at once.
      intensity: operations per byte of memory accessed.
      ridge: the same where a chip's arithmetic and its memory would be equally busy.
    """

    arithmetic: float
    memory: float
    links: float
    intensity: float
    ridge: float

    @property
    def seconds(self) -> float:
        """No step is faster."""
        return max(self.arithmetic, self.memory, self.links)

    @property
    def bound_by(self) -> str:
        """What keeps it from being faster: 'arithmetic', 'memory' or 'links'."""
        bounds = {"arithmetic": self.arithmetic, "memory": self.memory, "links": self.links}
        return max(bounds, key=lambda name: bounds[name])


def roofline(figures: Figures, chip: Chip) -> Roofline | None:
    """Of a step that fits; None of one that does not."""
    if figures.flops is None or figures.bytes_accessed is None:
        return None
    sent = sum(collective.sent for collective in figures.collectives.values())
    return Roofline(
        arithmetic=figures.flops / chip.flops,
        memory=figures.bytes_accessed / chip.bandwidth,
        links=sent / chip.links,
        intensity=figures.flops / max(figures.bytes_accessed, 1),
        ridge=chip.flops / chip.bandwidth,
    )
