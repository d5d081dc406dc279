"""How a run that a signal ended is told apart; without JAX, for the command line."""

from __future__ import annotations

import pathlib


class Stopped(Exception):
    """A signal ended the run early; everything is saved.

    Attributes:
      signal: its number.
    """

    def __init__(self, signal: int, step: int, workdir: pathlib.Path) -> None:
        super().__init__(
            f"stopped by signal {signal} at step {step}, saved in {workdir}; "
            "run the same command to go on"
        )
        self.signal = signal
