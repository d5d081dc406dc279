"""The census as one HTML page that needs nothing else: no network, no script."""

from __future__ import annotations

from typing import Any

from data_pipelines import pages
from data_pipelines.census import summary as numbers
from data_pipelines.census.histogram import histogram
from data_pipelines.census.summary import Summary

_ROWS = 1000  # shown of a long list; files.parquet holds all
_BARS = 12  # shown of a long tail


def render(summary: Summary) -> str:
    """Returns the page. What a file's name or content says is escaped."""
    contents = _contents(summary)
    return pages.render(
        "data_pipelines.census", "census.html.j2", contents, number=number, size=_size
    )


def number(value: float) -> str:
    """Three digits or, from 1000 on, all before the point."""
    if isinstance(value, int) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _contents(summary: Summary) -> dict[str, Any]:
    readable, duplicates = summary.readable, summary.duplicates()
    unlisted = [record.name for record in readable if not record.is_listed]
    seconds = [record.seconds for record in readable]
    gaps = [record.key_gap for record in readable if record.key_gap is not None]
    return {
        "summary": summary,
        "bytes": sum({record.path: record.bytes for record in summary.videos}.values()),
        "by_class": summary.by_class(),
        "splits": summary.splits(),
        "reasons": summary.bad_by_reason(),
        "bad": summary.bad,
        "seconds": numbers.low_middle_high(seconds),
        "frames": numbers.low_middle_high([record.frames for record in readable]),
        "fps": numbers.low_middle_high([record.fps for record in readable]),
        "rates": numbers.frame_rates(readable),
        "resolutions": numbers.resolutions(readable),
        "strides": summary.strides(),
        "duplicates": [(same, numbers.is_across(same)) for same in duplicates],
        "across": sum(map(numbers.is_across, duplicates)),
        "copies": sum(bool(record.copy_of) for record in readable),
        "damaged": [record for record in readable if record.damaged],
        "unlisted": len(unlisted),
        "unlisted_example": unlisted[0] if unlisted else "",
        "rows": _ROWS,
        "charts": {
            "Durations": histogram(seconds, "s"),
            "Sizes": _bars(numbers.resolutions(readable)),
            "Frame rates": _bars(numbers.frame_rates(readable)),
            "Longest time between keyframes": histogram(gaps, "s"),
            "Codecs": _bars(numbers.counts([r.codec for r in readable])),
            "File formats": _bars(numbers.counts([r.container for r in readable])),
            "Sound": _bars(numbers.counts([r.audio or "none" for r in readable])),
        },
    }


def _bars(counted: dict[str, int]) -> list[tuple[str, int]]:
    rows = list(counted.items())
    if len(rows) <= _BARS:
        return rows
    rest = rows[_BARS - 1 :]
    return [*rows[: _BARS - 1], (f"{len(rest)} others", sum(count for _, count in rest))]


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"
