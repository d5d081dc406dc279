"""From contents to the page: draws each part, or says why it is not there, and fills the form."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cvrl_jax.observe.report import curves, figures, filmstrips, svg
from cvrl_jax.observe.report.classified_section import classified_section
from cvrl_jax.observe.report.contents import NeighbourQuery, ReportContents, SummaryNumber
from cvrl_jax.observe.report.layers_section import layers_section
from cvrl_jax.observe.report.multimodal_section import retrieval_section
from data_pipelines.pages import render, write_whole

_STRIP_FRAMES = 6
_NEIGHBOUR_FRAMES = 4
_MAX_TABLE_ROWS = 200


def write_report(path: str | os.PathLike[str], contents: ReportContents) -> None:
    """Writes the report as one HTML file that needs nothing else: no network, no script.

    The file appears in one piece: a reader never finds half a page.

    Args:
        path: Where to; folders are made as needed, an older report is replaced.
        contents: What to show.
    """
    filters = {"percent": _percent, "number": _number}
    page = render("cvrl_jax.observe.report", "template.html.j2", _sections(contents), **filters)
    write_whole(pathlib.Path(path), page)


def _sections(contents: ReportContents) -> dict[str, Any]:
    """What the template needs. Each part is a dict; one with the key "missing" holds the reason."""
    return {
        "contents": contents,
        "light": svg.css_variables(),
        "dark": svg.css_variables(dark=True),
        "summary": [_summary(number) for number in contents.summary or ()],
        "duration": _duration(contents.wall_seconds),
        "curves": _part(_curves, contents),
        "clips": _part(_clips, contents),
        "retrieval": retrieval_section(contents.multimodal, contents.classes)
        if contents.multimodal
        else None,
        "map": _part(_map, contents),
        "neighbours": _part(_neighbours, contents),
        "confusion": _part(_confusion, contents),
        "classified": classified_section(contents.classified, contents.classes)
        if contents.classified
        else None,
        "layers": layers_section(contents.layers) if contents.layers else None,
        "census": _part(_census, contents),
        "config": None if contents.config is None else _pretty(contents.config),
    }


def _part(draw: Callable[[ReportContents], dict[str, Any]], contents: ReportContents) -> dict:
    try:
        return draw(contents)
    except _MissingError as missing:
        return {"missing": str(missing)}


class _MissingError(Exception):
    """A part that cannot be shown; its text says why, for the reader of the page."""


def _summary(number: SummaryNumber) -> dict[str, Any]:
    show = _percent if number.percent else _number
    gain = None
    if number.before is not None:
        difference = number.value - number.before
        gain = f"{100 * difference:+.1f} points" if number.percent else f"{difference:+.3g}"
    return {
        "name": number.name,
        "value": show(number.value),
        "before": None if number.before is None else show(number.before),
        "chance": None if number.chance is None else show(number.chance),
        "gain": gain,
        "better": number.before is not None and number.value > number.before,
        "bar": _bar(number) if number.percent else None,
    }


def _bar(number: SummaryNumber) -> dict[str, float | None]:
    """Positions on a bar from 0 to 100, in percent of its width."""
    marks = {"value": number.value, "before": number.before, "chance": number.chance}
    return {
        name: None if mark is None else round(100 * min(max(mark, 0.0), 1.0), 1)
        for name, mark in marks.items()
    }


def _curves(contents: ReportContents) -> dict[str, Any]:
    if not contents.history:
        raise _MissingError("No metrics were recorded for this run.")
    retrieval_chance = contents.multimodal.chance_r1 if contents.multimodal else None
    drawn, others = curves.draw_curves(contents.history, contents.chance, retrieval_chance)
    if contents.multimodal:  # its table has them
        others = [name for name in others if "_to_" not in name]
    if not drawn:
        raise _MissingError("The recorded metrics hold nothing that this page draws.")
    return {"panels": drawn, "others": others}


def _clips(contents: ReportContents) -> dict[str, Any]:
    clips = contents.clips_NxVxTxHxWx3
    if clips is None or not len(clips):
        raise _MissingError("No augmented clips were handed to this report.")
    return {
        "videos": [
            [
                {
                    "animation": filmstrips.animation(clip, contents.clips_fps),
                    "strip": filmstrips.filmstrip(clip, _STRIP_FRAMES),
                }
                for clip in of_video
            ]
            for of_video in clips
        ],
        "are_pairs": clips.shape[1] == 2,
        "frames": clips.shape[2],
        "strip_frames": min(_STRIP_FRAMES, clips.shape[2]),
        "size": f"{clips.shape[4]} × {clips.shape[3]}",
    }


def _map(contents: ReportContents) -> dict[str, Any]:
    if contents.vectors_MxD is None or contents.vector_labels_M is None:
        raise _MissingError("No embeddings were handed to this report.")
    try:
        drawn = figures.draw_map(contents.vectors_MxD, contents.vector_labels_M, contents.classes)
    except ValueError as error:
        raise _MissingError(f"No map is drawn: {error}.") from error
    return {"drawn": drawn, "given": len(contents.vectors_MxD)}


def _neighbours(contents: ReportContents) -> dict[str, Any]:
    if not contents.neighbours:
        raise _MissingError("No neighbour search was handed to this report.")
    return {"queries": [_query(query) for query in contents.neighbours]}


def _query(query: NeighbourQuery) -> dict[str, Any]:
    known = query.label is not None
    found = [
        {
            "strip": filmstrips.filmstrip(video.frames_FxHxWx3, _NEIGHBOUR_FRAMES, rows=2),
            "label": video.label,
            "similarity": f"{video.similarity:.2f}",
            "right": video.label == query.label if known and video.label is not None else None,
        }
        for video in query.neighbours
    ]
    return {
        "strip": filmstrips.filmstrip(query.frames_FxHxWx3, _NEIGHBOUR_FRAMES, rows=2),
        "label": query.label,
        "found": found,
    }


def _confusion(contents: ReportContents) -> dict[str, Any]:
    if contents.true_K is None or contents.predicted_K is None:
        raise _MissingError("No class predictions were handed to this report.")
    try:
        drawn = figures.draw_confusion(contents.true_K, contents.predicted_K, contents.classes)
    except ValueError as error:
        raise _MissingError(f"No confusion matrix is drawn: {error}.") from error
    return {"drawn": drawn, "classes": len(contents.classes)}


def _census(contents: ReportContents) -> dict[str, Any]:
    if contents.census is None:
        raise _MissingError("No census of the data was handed to this report.")
    tables = [
        _table("Files that could not be read", contents.census.get("bad_files")),
        _table("Videos left out", contents.census.get("left_out")),
    ]
    facts = {
        name.replace("_", " "): _number(value)
        for name, value in contents.census.items()
        if name not in ("bad_files", "left_out")
    }
    return {"facts": facts, "tables": tables}


def _table(title: str, rows: Sequence[tuple[str, str]] | None) -> dict[str, Any]:
    rows = list(rows or ())
    return {
        "title": title,
        "count": len(rows),
        "rows": rows[:_MAX_TABLE_ROWS],
        "more": max(0, len(rows) - _MAX_TABLE_ROWS),
    }


def _pretty(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2, default=str, ensure_ascii=False)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
