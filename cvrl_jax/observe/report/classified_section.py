"""The part of the page on classes: accuracy of each, worst confusions, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import PercentFormatter

from cvrl_jax.observe.report import filmstrips, svg
from cvrl_jax.observe.report.classified import Classified

_STRIP_FRAMES = 4


def draw_reliability(classified: Classified) -> str:
    """Draws accuracy over confidence as a data URI; the diagonal is a classifier to be believed."""
    figure, axes = svg.new_axes(4.2, 3.6)
    bins = len(classified.count_K)
    edges = np.arange(bins) / bins
    right = np.nan_to_num(classified.right_K)
    weight = classified.count_K / max(classified.count_K.max(initial=0), 1)
    axes.plot([0, 1], [0, 1], color=svg.MUTED, linewidth=1, linestyle=(0, (4, 3)))
    for edge, height, share in zip(edges, right, weight):
        if share:  # the more videos, the fuller the colour
            axes.bar(
                edge, height, 1 / bins, align="edge", color=svg.SERIES[0],
                alpha=0.25 + 0.75 * float(share), linewidth=0,
            )  # fmt: skip
    some = classified.count_K > 0
    axes.plot(
        classified.confidence_K[some], classified.right_K[some], "o", color=svg.SERIES[1], ms=4
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("probability of the predicted class", fontsize=8.5, color=svg.MUTED)
    axes.set_ylabel("right", fontsize=8.5, color=svg.MUTED)
    return svg.to_data_uri(figure)


def classified_section(classified: Classified, classes: Sequence[str]) -> dict[str, Any]:
    """What the template needs of this part."""
    accuracy_C = np.where(classified.count_C > 0, classified.accuracy_C, np.inf)
    order = [int(c) for c in np.argsort(accuracy_C, kind="stable") if classified.count_C[c] > 0]
    return {
        "classes": [
            {
                "name": classes[c],
                "accuracy": float(classified.accuracy_C[c]),
                "bar": round(100 * float(classified.accuracy_C[c]), 1),
                "count": int(classified.count_C[c]),
            }
            for c in order
        ],
        "without": int((classified.count_C == 0).sum()),
        "confused": [
            {
                "actual": pair.actual,
                "predicted": pair.predicted,
                "videos": pair.videos,
                "share": pair.share,
                "examples": [
                    {
                        "strip": filmstrips.filmstrip(e.frames_FxHxWx3, _STRIP_FRAMES, rows=2),
                        "confidence": e.confidence,
                    }
                    for e in pair.examples
                ],
            }
            for pair in classified.confused
        ],
        "reliability": draw_reliability(classified),
        "error": classified.calibration_error,
        "videos": int(classified.count_K.sum()),
    }
