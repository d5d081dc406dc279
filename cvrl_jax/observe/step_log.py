"""The rows of training steps: fetched one step late, so that the device is never waited for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from cvrl_jax.observe.finite import check_finite
from cvrl_jax.observe.progress import Progress, StepTimer
from cvrl_jax.observe.writers import Writer


class StepLog:
    """Holds the metrics of the last step on the device until the next one is under way.

    Args:
      writer: where rows go.
      timer: of the loop; its rates are part of a row.
      progress: the bar that shows them.
      every: steps between rows.
      last: the last step; it always gets a row.
    """

    def __init__(
        self, writer: Writer, timer: StepTimer, progress: Progress, every: int, last: int
    ) -> None:
        self._writer = writer
        self._timer = timer
        self._progress = progress
        self._every = every
        self._last = last
        self._held: tuple[int, Mapping[str, Any], Mapping[str, float]] | None = None

    def hold(self, step: int, arrays: Mapping[str, Any], host: Mapping[str, float]) -> None:
        """Takes the metrics of `step`: device arrays, and numbers already on the host."""
        self._timer.step()
        self._progress.step()
        self._held = step, arrays, host

    def is_due(self, step: int) -> bool:
        """Whether `step` gets a row."""
        return step % self._every == 0 or step == self._last

    def write(self, about_to_save: bool = False) -> None:
        """Writes the held row if one is due; a state about to be saved is checked in any case.

        Raises:
          UserError: a metric is not finite.
        """
        if self._held is None:
            return
        (step, arrays, host), self._held = self._held, None
        due = self.is_due(step)
        if not due and not about_to_save:
            return
        scalars = {name: float(value) for name, value in jax.device_get(arrays).items()}
        check_finite(step, scalars)
        if due:
            rates = self._timer.read()
            self._progress.show(rates)
            self._writer.write_scalars(step, scalars | dict(host) | rates)
