"""Where the time goes: steps and clips per second, time spent waiting for data, time left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TextIO

from tqdm import tqdm


class StepTimer:
    """Adds up waiting time and steps between two readings."""

    def __init__(self, clips_per_step: int, clock: Callable[[], float] = time.perf_counter) -> None:
        """Starts counting.

        Args:
          clips_per_step: clips of one global batch (videos x views).
          clock: seconds, never going back.
        """
        self._clips_per_step = clips_per_step
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forgets what was counted, for instance after an evaluation in between."""
        self._begin = self._clock()
        self._waited = 0.0
        self._steps = 0

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Wrap around the request for the next batch; counts as waiting for data."""
        begin = self._clock()
        try:
            yield
        finally:
            self._waited += self._clock() - begin

    def step(self) -> None:
        """Counts one step."""
        self._steps += 1

    def read(self) -> dict[str, float]:
        """Returns the rates since the last reading, and starts again.

        Returns:
          "time/steps_per_s", "time/clips_per_s" and "time/data_wait_percent" (0 to 100).
        """
        elapsed = max(self._clock() - self._begin, 1e-9)
        rates = {
            "time/steps_per_s": self._steps / elapsed,
            "time/clips_per_s": self._steps * self._clips_per_step / elapsed,
            "time/data_wait_percent": 100.0 * self._waited / elapsed,
        }
        self.reset()
        return rates


class Progress:
    """A bar on stderr: steps done, steps/s, time left, and the last rates of a `StepTimer`."""

    def __init__(self, total_steps: int, first_step: int = 0, file: TextIO | None = None) -> None:
        """Draws the bar.

        Args:
          total_steps: of the whole run.
          first_step: steps done before, when a run is resumed.
          file: where to draw; None is stderr, and only where that is a terminal, so that the logs
            of batch jobs stay readable.
        """
        self._bar = tqdm(
            total=total_steps,
            initial=first_step,
            unit="step",
            file=file,
            disable=None if file is None else False,
            dynamic_ncols=True,
        )

    def step(self) -> None:
        """Moves the bar on by one step."""
        self._bar.update(1)

    def show(self, rates: Mapping[str, float]) -> None:
        """Shows the result of `StepTimer.read` behind the bar."""
        self._bar.set_postfix_str(
            f"{rates['time/clips_per_s']:.1f} clips/s, "
            f"{rates['time/data_wait_percent']:.0f}% data wait",
            refresh=False,
        )

    def close(self) -> None:
        """Leaves the bar as it is and ends its line."""
        self._bar.close()
