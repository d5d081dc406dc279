"""Names of files as text."""

from __future__ import annotations

import os


def as_utf8(path: str) -> str:
    """The path as text: bytes of it that are not UTF-8 appear as `\\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
