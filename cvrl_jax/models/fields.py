"""Checks of a tower's fields before anything is built from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest


def check_fields(
    tower: Any, choices: Mapping[str, tuple[str, ...]], fractions: tuple[str, ...] = ()
) -> None:
    """Raises a UserError that names the first field with an impossible value.

    Tuples must be as long as their default (one that is empty by default may have one entry), and
    all they hold above 0; whole numbers must be at least 1, or not negative where 0 is the default.

    Args:
      tower: a Linen module.
      choices: the names that a field may have.
      fractions: fields in [0, 1).
    """
    for field, known in choices.items():
        value = getattr(tower, field)
        if value not in known:
            raise UserError(f"model field {field}={value!r}; {nearest(str(value), known)}")
    for field in fractions:
        if not 0 <= getattr(tower, field) < 1:
            raise UserError(f"model field {field}={getattr(tower, field)!r}: must lie in [0, 1)")
    for field in dataclasses.fields(tower):
        value, usual = getattr(tower, field.name), field.default
        if isinstance(usual, tuple):
            lengths = (len(usual),) if usual else (0, 1)
            right = (
                isinstance(value, tuple)
                and len(value) in lengths
                and all(number > 0 for number in value)
            )
            kind = "numbers above 0" if float in map(type, usual) else "integers of at least 1"
            advice = f"give {lengths[-1]} {kind}"
        elif type(usual) is int:
            right, advice = value >= min(usual, 1), f"must be at least {min(usual, 1)}"
        else:
            continue
        if not right:
            raise UserError(f"model field {field.name}={value!r}: {advice}")
