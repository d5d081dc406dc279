"""What one file may ask for, and what is said of one that cannot be read."""

from __future__ import annotations

import dataclasses
import time


class Unreadable(Exception):
    """What is wrong with a file, in one line; the reader adds the path."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a file may ask for before it is refused, whatever its header claims.

    Attributes:
      pixels: largest height times width of a picture; 8K DCI by default, the largest that cameras
        deliver (106 MB of RGB).
      frames: most frames in a file; by default 46 hours at 30 a second (160 MB of timeline).
      hours: longest time that its frames may span.
      seconds: longest time that opening it, or decoding the frames of one example, may take.
      follow_links: whether it may lie outside the root of its source, behind a link.
    """

    pixels: int = 8192 * 4320
    frames: int = 5_000_000
    hours: float = 24.0
    seconds: float = 60.0
    follow_links: bool = False


DEFAULT = Limits()


class Deadline:
    """Counts down the seconds of one operation."""

    def __init__(self, limits: Limits) -> None:
        """Starts counting."""
        self._seconds = limits.seconds
        self._end = time.monotonic() + limits.seconds

    def check(self) -> None:
        """Raises Unreadable once the time is over."""
        if time.monotonic() > self._end:
            raise Unreadable(f"reading it took more than {self._seconds:g} s and was given up")


def one_line(error: BaseException) -> str:
    """What an error says, without line breaks."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())
