"""Sentences from values that JSON or a table hold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from data_pipelines.video import Caption

_TEXTS = ("text", "caption", "sentence")


def captions_of(value: Any) -> tuple[Caption, ...]:
    """Reads sentences from a value in one of the usual forms.

    - a text, or a list of texts: sentences about all of the video;
    - a list of objects {"text": ..., "start": ..., "end": ...}; "caption" and "sentence" are other
      names of "text", and times may be missing;
    - an object of lists {"text": [...], "start": [...], "end": [...]}, as HowTo100M has it.

    Empty sentences are left out, and those whose times make no sense: below 0 or ending before they
    begin. Times are in seconds.

    Raises:
      ValueError: another form, lists of different lengths, or a time that is no number.
    """
    if isinstance(value, str):
        value = [value]
    if isinstance(value, Mapping):
        value = _rows(value)
    if not isinstance(value, list | tuple):
        raise ValueError(f"sentences must be a text, a list or an object, not {_short(value)}")
    return tuple(caption for item in value if (caption := _caption(item)) is not None)


def within(
    captions: Iterable[Caption], start: float | None, end: float | None
) -> tuple[Caption, ...]:
    """Those sentences that overlap a segment of their video, by the segment's clock.

    Args:
      captions: of the whole video.
      start: of the segment, seconds; None for the beginning.
      end: of the segment, seconds; None for the end.
    """
    begin = start or 0.0
    return tuple(
        dataclasses.replace(
            caption,
            start=None if caption.start is None else caption.start - begin,
            end=None if caption.end is None else caption.end - begin,
        )
        for caption in captions
        if (caption.end is None or caption.end > begin)
        and (end is None or caption.start is None or caption.start < end)
    )


def _rows(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = next((name for name in _TEXTS if isinstance(columns.get(name), list)), None)
    if name is None:
        return [dict(columns)]
    lists = {"text": columns[name]} | {
        time: columns[time] for time in ("start", "end") if columns.get(time) is not None
    }
    if not all(isinstance(values, list) for values in lists.values()):
        raise ValueError("text, start and end must all be lists, or none of them")
    lengths = {column: len(values) for column, values in lists.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{length} of {column}" for column, length in lengths.items())
        raise ValueError(f"the lists of sentences differ in length: {found}")
    return [dict(zip(lists, row)) for row in zip(*lists.values())]


def _caption(item: Any) -> Caption | None:
    if isinstance(item, str):
        item = {"text": item}
    if not isinstance(item, Mapping):
        raise ValueError(f"a sentence must be a text or an object, not {_short(item)}")
    name = next((name for name in _TEXTS if name in item), None)
    if name is None:
        raise ValueError(f"a sentence has no field 'text': {_short(dict(item))}")
    text = item[name]
    if not isinstance(text, str):
        if text is None or (isinstance(text, float) and math.isnan(text)):
            return None  # what becomes of an empty cell on its way through other programs
        text = str(text)
    start, end = _seconds(item.get("start")), _seconds(item.get("end"))
    text = " ".join(text.split())
    if not text or (start or 0.0) < 0 or (end is not None and end < (start or 0.0)):
        return None
    return Caption(text, start, end)


def _seconds(value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ValueError(f"the time of a sentence is {_short(value)}, not seconds")
    return seconds


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
