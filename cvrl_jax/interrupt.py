"""Ctrl-C and SIGTERM asked for a stop: finish the step, save, say how to go on.

Of several processes any one may get the signal. JAX's preemption service then finds the next step
that all of them can stop at; it listens to SIGTERM by itself, as a cluster sends it to one process
or to all.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Self

import jax
from jax.experimental import multihost_utils

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Within its `with` block the first signal is only noted; a second one ends the process."""

    def __init__(self) -> None:
        self._signal = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        # Python allows handlers in the main thread only; elsewhere (notebooks) the caller stops us.
        if threading.current_thread() is threading.main_thread():
            if jax.process_count() > 1:
                self._before = {signal.SIGINT: signal.signal(signal.SIGINT, _pass_on)}
            else:
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

    def stopped_by(self, step: int) -> int:
        """Number of the signal to stop for now, 0 = none; the exit status is 128 + this number.

        Args:
          step: updates done. Several processes must ask once before each step; all of them are
            told to stop at the same one, by SIGTERM whatever the signal was.
        """
        if jax.process_count() == 1:
            return self._signal
        return signal.SIGTERM if multihost_utils.reached_preemption_sync_point(step) else 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        signal.signal(number, signal.SIG_DFL)


def _pass_on(number: int, frame: FrameType | None) -> None:
    """Ctrl-C, to JAX as the signal that it listens to."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
