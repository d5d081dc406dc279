"""What is said of one file. Runs in a process of its own, since a decoder may hang or crash."""

from __future__ import annotations

import dataclasses
import mimetypes
import os
import pathlib
import stat

import numpy as np

from data_pipelines.census.record import Record
from data_pipelines.decode import FileFacts, Limits, open_video
from data_pipelines.errors import BadVideo
from data_pipelines.sources.files import OUTSIDE, leads_out

_HEAD = 4096  # bytes in which a text shows no control character
_CONTROL = bytes(set(range(32)) - set(b"\a\b\t\n\f\r\x1b"))


def inspect_file(record: Record, root: str, limits: Limits, decode_seconds: float) -> Record:
    """Fills in what a record says of its file's content.

    A file that no video source would list is opened all the same, since videos have many names;
    texts and still pictures among these are no bad videos but "other".

    Args:
      record: what the folder or list says of the file.
      root: the folder that its path is relative to.
      limits: what the file may ask for before it is refused.
      decode_seconds: how long to decode frames, after those of opening; 0 for not at all.
    """
    path = str(pathlib.Path(root, record.path))
    try:
        record = dataclasses.replace(record, captions=tuple(record.captions))
    except BadVideo as bad:
        return dataclasses.replace(record, captions=()).refused(f"{bad.reason} ({bad.path})")
    if not limits.follow_links and leads_out(root, path):
        return record.refused(OUTSIDE.format(root=root))
    try:
        about = os.stat(path)
        record = dataclasses.replace(record, bytes=about.st_size)
        if not stat.S_ISREG(about.st_mode):
            return record.refused(
                "it is not a regular file", "bad" if record.is_listed else "other"
            )
        if not record.is_listed and _is_text(path):
            return record.refused("a text" if about.st_size else "an empty file", "other")
    except OSError as error:
        return record.refused(error.strerror or str(error))
    try:
        with open_video(path, start=record.start, end=record.end, limits=limits) as video:
            facts, size = video.facts(), video.size
            if not record.is_listed and _is_picture(facts.container):
                return record.refused("a still picture", "other")
            record = _described(record, video.times, size, facts)
            if decode_seconds:
                decoded, damaged = video.check(decode_seconds)
                record = dataclasses.replace(record, decoded=decoded, damaged=damaged)
            return record
    except BadVideo as bad:
        is_still = not record.is_listed and _is_still(record.path)
        return record.refused(bad.reason, "other" if is_still else "bad")


def frame_rate(times: np.ndarray, claimed: float) -> tuple[float, float]:
    """Measures the frame rate.

    Args:
      times: float64 [L] seconds, increasing.
      claimed: frames per second that the file claims; believed for a single frame, and where the
        measured rate is within a hundredth of it (29.97 is not 29.96).

    Returns:
      (frames per second, share of irregular intervals as in `Record.irregular`).
    """
    if len(times) < 2:
        return claimed, 0.0
    intervals = np.diff(times)
    usual = float(np.median(intervals))
    irregular = float((np.abs(intervals - usual) > max(0.1 * usual, 2e-3)).mean())
    measured = (len(times) - 1) / float(times[-1] - times[0])
    return claimed if abs(measured / claimed - 1) < 0.01 else measured, irregular


def _described(
    record: Record, times: np.ndarray, size: tuple[int, int], facts: FileFacts
) -> Record:
    fps, irregular = frame_rate(times, facts.rate)
    audio = facts.audio
    return dataclasses.replace(
        record,
        frames=len(times),
        seconds=float(times[-1]) + 1 / fps,
        height=size[0],
        width=size[1],
        fps=fps,
        irregular=irregular,
        container=facts.container,
        codec=facts.codec,
        key_gap=_key_gap(facts),
        audio=audio.codec if audio else "",
        audio_rate=audio.rate if audio else 0,
        audio_channels=audio.channels if audio else 0,
    )


def _key_gap(facts: FileFacts) -> float | None:
    if not len(facts.key_times):
        return None
    return float(np.diff(np.append(facts.key_times, facts.seconds)).max())


def _is_text(path: str) -> bool:
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    return head == head.translate(None, _CONTROL)


def _is_still(path: str) -> bool:
    return (mimetypes.guess_type(path)[0] or "").startswith("image/")


def _is_picture(container: str) -> bool:
    # FFmpeg reads single pictures as "image2", and by their content as "png_pipe" and the like.
    return container == "image2" or container.endswith("_pipe")
