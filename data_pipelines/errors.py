"""The two kinds of failure: a request that cannot be met, and a video that cannot be read."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """What an error of another library says first, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class UserError(ValueError):
    """A request that cannot be met. Its one-line message says what, where, and how to fix it."""


class BadVideo(Exception):
    """One video that cannot be read; the run goes on without it.

    Attributes:
      path: the file, as the user named it.
      reason: one line saying what is wrong with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)  # both in args, so that it survives pickling between workers
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"
