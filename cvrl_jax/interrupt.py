"""Ctrl-C and SIGTERM asked for a stop: finish the step, save, say how to go on."""

from __future__ import annotations

import pathlib
import signal
import threading
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Within its `with` block the first signal is only noted; a second one ends the process.

    Attributes:
      signal: number of the signal received, 0 = none. The exit status is 128 + this number.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        # Python allows handlers in the main thread only; elsewhere (notebooks) the caller stops us.
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, signal.SIG_DFL)


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
