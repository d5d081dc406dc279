"""Figures as tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table


def print_table(rows: Iterable[Sequence[object]], header: Sequence[str], digits: int = 2) -> None:
    """Prints rows whose numbers are rounded to `digits` places."""
    table = Table()
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(f"{x:.{digits}f}" if isinstance(x, float) else str(x) for x in row))
    Console().print(table)
