"""The nearest right name, for the messages of errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns "did you mean 'x'? known: a, b, c" (the first half only where one is near)."""
    known = list(known)
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f"did you mean {matches[0]!r}? " if matches else ""
    return f"{guess}known: {', '.join(known)}"
