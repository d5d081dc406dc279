"""Sentences from files: JSON, CSV, SubRip (.srt) and WebVTT (.vtt)."""

from __future__ import annotations

import csv
import dataclasses
import functools
import html
import io
import json
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import overload

import webvtt
from webvtt.errors import MalformedFileError

from data_pipelines.captions.values import captions_of, within
from data_pipelines.errors import BadVideo
from data_pipelines.video import Caption

SUFFIXES = (".json", ".csv", ".srt", ".vtt")
"""Of the files that can be read."""

_LARGEST = 64 << 20  # bytes of one video's sentences; a day of speech has about 2 MB
_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})(?:[.,](\d+))?"
_TIMING = re.compile(rf"^[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}.*$", re.MULTILINE)
_OVERRIDES = re.compile(r"\{\\[^}]*\}")  # places and fonts, from SubStation Alpha


def read_captions(path: str | pathlib.Path) -> tuple[Caption, ...]:
    """Reads the sentences of one video.

    What JSON may hold, `captions_of` says. CSV names its columns in the first row: `text`, and
    `start` and `end` in seconds if they are known. In SubRip and WebVTT, tags are left out and
    character references such as `&lt;` are resolved; times may lack hours or fractions of a second.

    Raises:
      BadVideo: the file cannot be read, or is malformed.
    """
    path = pathlib.Path(path)
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"more than {_LARGEST >> 20} MB are too much for one video")
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            return captions_of(json.loads(text))
        if path.suffix.lower() == ".csv":
            return captions_of(_csv_rows(text))
        if path.suffix.lower() in SUFFIXES:
            return captions_of(list(_cues(text)))
        raise ValueError(f"its name must end in one of {' '.join(SUFFIXES)}")
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise BadVideo(str(path), f"its sentences cannot be read: {reason}") from error


@dataclasses.dataclass(frozen=True)
class CaptionFile(Sequence[Caption]):
    """The sentences of a file, read when they are first looked at, which may raise BadVideo.

    Attributes:
      path: of the file, for `read_captions`.
      start: of the segment that they are wanted of, seconds; None for the beginning.
      end: of the segment, seconds; None for the end.
    """

    path: str
    start: float | None = None
    end: float | None = None

    @overload
    def __getitem__(self, index: int) -> Caption: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Caption, ...]: ...

    def __getitem__(self, index: int | slice) -> Caption | tuple[Caption, ...]:
        return self._read[index]

    def __len__(self) -> int:
        return len(self._read)

    @property
    def _read(self) -> tuple[Caption, ...]:
        return within(_recent(self.path), self.start, self.end)


# A file is looked at several times for an example, and again much later: none is kept for long.
_recent = functools.lru_cache(maxsize=16)(read_captions)


def _csv_rows(text: str) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if "text" not in (reader.fieldnames or ()):
        raise ValueError(f"it has no column 'text', only {', '.join(reader.fieldnames or ())}")
    rows = list(reader)
    for row in rows:
        if None in row or None in row.values():
            raise ValueError(f"line {reader.line_num} or before: other columns than the header's")
    return rows


def _cues(text: str) -> Iterator[dict[str, str | float]]:
    """Yields the cues of SubRip or WebVTT, whose blocks have one form."""
    text = _TIMING.sub(_plain_timing, text.replace("\r\n", "\n").replace("\r", "\n"))
    if not text.lstrip().startswith("WEBVTT"):
        text = f"WEBVTT\n\n{text}"
    try:
        cues = webvtt.WebVTT.from_string(text).captions
    except MalformedFileError as error:
        raise ValueError(str(error) or "it is no WebVTT") from error
    if not cues and text.partition("\n")[2].strip():
        raise ValueError("it has no cue with times such as 00:01:02.500 --> 00:01:04.000")
    for cue in cues:
        yield {
            "text": html.unescape(_OVERRIDES.sub("", cue.text)),
            "start": _clock(cue.start),
            "end": _clock(cue.end),
        }


def _plain_timing(match: re.Match[str]) -> str:
    """Writes times as WebVTT demands them; an ending such as `align:start` is not needed."""
    times = (match.groups()[:4], match.groups()[4:])
    return " --> ".join(
        f"{int(hours or 0):02d}:{int(minutes):02d}:{int(seconds):02d}.{(part or '0')[:3]:0<3}"
        for hours, minutes, seconds, part in times
    )


def _clock(text: str) -> float:
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
