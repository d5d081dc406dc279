"""The nearest right name, for the messages of errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns "did you mean 'x'? known: a, b, c" (the first half only where one is near).

    A name's initials count as near: `lr` for `learning_rate`.
    """
    known = list(known)
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    matches = matches or [k for k in known if name == "".join(part[:1] for part in k.split("_"))]
    guess = f"did you mean {matches[0]!r}? " if matches else ""
    return f"{guess}known: {', '.join(known)}"
