"""How the arrays of a state lie on the devices, as a table to read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from cvrl_jax.parallel.sharding import Placement

LARGE = 1 << 20  # bytes from which on an array has a line of its own


def sharding_table(placed: Sequence[Placement], large: int = LARGE) -> str:
    """One line for each large array, one for all small ones, and the sum.

    Args:
      placed: see `placements`.
      large: bytes from which on an array is large.

    Returns:
      Lines of: name, type and shape, mesh axes that split it, bytes of the whole, bytes per device,
      and the rule that chose.
    """
    ordered = sorted(placed, key=lambda p: -p.bytes)
    rows = [("array", "shape", "split over", "whole", "per device", "rule")]
    for array in itertools.takewhile(lambda p: p.bytes >= large, ordered):
        shape = f"{array.dtype}{list(array.shape)}"
        sizes = size(array.bytes), size(array.bytes_per_device)
        rows.append((array.path, shape, str(array.spec)[len("PartitionSpec") :], *sizes, array.why))
    small = [array for array in placed if array.bytes < large]
    for name, arrays in ((f"{len(small)} small arrays", small), ("all", placed)):
        sizes = size(sum(a.bytes for a in arrays)), size(sum(a.bytes_per_device for a in arrays))
        rows.append((name, "", "", *sizes, ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def size(count: float) -> str:
    """Bytes for people: '1.50 GiB'."""
    for unit in ("B", "KiB", "MiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.2f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"
