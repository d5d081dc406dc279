"""The census as tables on the terminal."""

from __future__ import annotations

import pathlib
import shlex
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_pipelines.census import summary as numbers
from data_pipelines.census.report import number
from data_pipelines.census.summary import Summary

_BAD = 20  # shown of a long list; the report holds all
_CLASSES = 30
_COMMONEST = 4


def print_summary(summary: Summary, folder: pathlib.Path) -> None:
    """Prints the counts, the bad files and where the rest is."""
    # In a file or pipe there is no width to keep: a path must stay on its line.
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    console.print(_facts(summary))
    console.print(_classes(summary))
    if summary.bad:
        shown = summary.bad[:_BAD]
        table = Table("bad file", "reason", title_justify="left")
        for record in shown:
            table.add_row(Text(record.name), Text(record.reason))
        console.print(table)
        if len(summary.bad) > len(shown):
            console.print(f"and {len(summary.bad) - len(shown)} more bad files, in the report")
    console.print(f"{folder / 'census.html'}: the report; beside it census.json, files.parquet")
    console.print(Text(_how_to_train(summary, folder / "clean.csv")), soft_wrap=True)


def _how_to_train(summary: Summary, clean: pathlib.Path) -> str:
    flags = {"source": "csv", "manifest": clean, "root": summary.root}
    tests = [split for split in summary.splits() if split not in ("train", "all")]
    if tests and "test" not in tests:
        flags["test_split"] = tests[0]
    written = (f"--config.data.{name}={shlex.quote(str(value))}" for name, value in flags.items())
    return f"{len(summary.clean)} videos are in {clean}; to train from them: {' '.join(written)}"


def _facts(summary: Summary) -> Table:
    readable, duplicates = summary.readable, summary.duplicates()
    table = Table(title=Text(f"Census of {summary.root}"), show_header=False, title_justify="left")

    def row(name: str, text: str) -> None:
        table.add_row(name, Text(text))

    row("videos", f"{len(summary.videos)}: {len(readable)} readable, {len(summary.bad)} bad")
    if summary.missing:
        row("missing", f"{len(summary.missing)} listed videos do not exist")
    if summary.other:
        row("other files", f"{len(summary.other)}, which are no videos")
    row("hours", number(summary.hours))
    for name, values in (
        ("seconds", [record.seconds for record in readable]),
        ("frames", [record.frames for record in readable]),
        ("fps", [record.fps for record in readable]),
        ("keyframe gap, s", [r.key_gap for r in readable if r.key_gap is not None]),
    ):
        found = numbers.low_middle_high(values)
        if found:
            row(name, ", ".join(f"{key} {number(value)}" for key, value in found.items()))
    row("frame rates", _commonest(numbers.frame_rates(readable)))
    row("sizes", _commonest(numbers.resolutions(readable)))
    row("codecs", _commonest(numbers.counts([record.codec for record in readable])))
    row("sound", _commonest(numbers.counts([record.audio or "none" for record in readable])))
    for found in summary.strides():
        allowed = f"up to {found.all} in every video, {found.most} in 95 %, {found.half} in half"
        row(f"stride of {found.frames}", allowed)
    across = sum(map(numbers.is_across, duplicates))
    row("duplicates", f"{len(duplicates)} contents, {across} of them in more than one split")
    row(
        "damaged", f"{sum(bool(r.damaged) for r in readable)} readable videos show damaged pictures"
    )
    depth = "the first frame only" if summary.quick else "every frame"
    if summary.partly_decoded:
        depth += f"; {summary.partly_decoded} long videos in part, for want of time"
    row("decoded", depth)
    return table


def _classes(summary: Summary) -> Table:
    splits, by_class = summary.splits(), summary.by_class()
    table = Table("class")
    for split in splits:
        table.add_column(Text(split), justify="right")
    for name, counted in list(by_class.items())[:_CLASSES]:
        table.add_row(Text(name or "(no class)"), *(str(counted.get(split, 0)) for split in splits))
    if len(by_class) > _CLASSES:
        table.add_row(f"and {len(by_class) - _CLASSES} more classes")
    return table


def _commonest(counted: dict[str, int]) -> str:
    rows = list(counted.items())
    shown = ", ".join(f"{name} ({count})" for name, count in rows[:_COMMONEST])
    return shown + (f" and {len(rows) - _COMMONEST} others" if len(rows) > _COMMONEST else "")
