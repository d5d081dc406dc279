"""Stops a run whose numbers are no longer numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import SupportsFloat

from data_pipelines.errors import UserError


def check_finite(step: int, metrics: Mapping[str, SupportsFloat]) -> None:
    """Raises if a metric is NaN or infinite; nothing after that step can be trusted.

    Args:
      step: the step that the metrics belong to.
      metrics: scalars by name.

    Raises:
      UserError: names every such metric, the step, and what usually helps.
    """
    broken = [f"{name}={float(v)}" for name, v in metrics.items() if not math.isfinite(float(v))]
    if broken:
        raise UserError(
            f"step {step}: {', '.join(broken)} is not finite: training has diverged. Lower the "
            "learning rate, lengthen the warm-up or train in float32, then start again from the "
            "last checkpoint before this step"
        )
