"""Curves of the metrics over the steps: one small figure for each thing to watch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from cvrl_jax.observe.report import svg

_SMOOTH_FROM = 60  # points; shorter curves are drawn as they are


@dataclasses.dataclass(frozen=True)
class Panel:
    """One small figure: its heading, the metrics that belong to it and what to look for.

    Accuracies get a scale from 0 to 100 %, noisy curves a running mean.
    """

    title: str
    names: tuple[str, ...]
    caption: str
    accuracy: bool = False
    chance_of: str = ""  # whose chance is drawn: "classes" or "retrieval"
    noisy: bool = False


PANELS = (
    Panel(
        "Loss",
        ("loss",),
        "Should fall fast, then slowly. Flat from the start: not learning.",
        noisy=True,
    ),
    Panel(
        "Loss by pair of modalities",
        ("video_audio_loss", "video_text_loss"),
        "Both should fall. One that stays at log of the batch size learns nothing.",
        noisy=True,
    ),
    Panel(
        "Retrieval on held-out videos (R@1)",
        ("text_to_video_r1", "video_to_text_r1", "audio_to_video_r1", "video_to_audio_r1"),
        "How often the right answer comes first. Should rise well above the dashed line: chance.",
        accuracy=True,
        chance_of="retrieval",
    ),
    Panel(
        "Accuracy on held-out videos",
        ("knn_top1", "linear_top1", "classifier_top1"),
        "The measure that counts: should rise well above the dashed line, which is chance.",
        accuracy=True,
        chance_of="classes",
    ),
    Panel(
        "Contrast accuracy",
        ("contrast_accuracy",),
        "How often a clip finds its partner in the batch. Close to 100 % very early: the task is "
        "too easy.",
        accuracy=True,
        noisy=True,
    ),
    Panel(
        "Matches within the batch",
        ("video_audio_accuracy", "video_text_accuracy"),
        "How often a video finds its own sound or sentence among those of the batch.",
        accuracy=True,
        noisy=True,
    ),
    Panel(
        "Feature spread (std)",
        ("feature_std",),
        "Spread of the features: 1 is the healthiest, a fall towards 0 means collapse.",
    ),
    Panel(
        "Effective rank (RankMe)",
        ("rankme",),
        "How many directions the features use. A fall towards 1 means collapse.",
    ),
    Panel(
        "Alignment",
        ("alignment",),
        "Distance between two clips of one video: lower is closer.",
    ),
    Panel(
        "Uniformity",
        ("uniformity",),
        "Lower is a more even spread on the sphere; 0 means that all points coincide.",
    ),
    Panel("Learning rate", ("learning_rate", "lr"), "Warm-up, then decay, as configured."),
    Panel(
        "Clips per second",
        ("clips_per_s",),
        "Speed of training; should be level. A slow fall deserves a look.",
        noisy=True,
    ),
    Panel(
        "Waiting for data (%)",
        ("data_wait_percent",),
        "Part of the time in which the devices had no batch. High: give the data more workers.",
        noisy=True,
    ),
)


@dataclasses.dataclass(frozen=True)
class Curve:
    """A drawn panel, as a data URI."""

    title: str
    caption: str
    image: str


def draw_curves(
    history: Sequence[Mapping[str, Any]],
    chance: float | None = None,
    retrieval_chance: float | None = None,
) -> tuple[list[Curve], list[str]]:
    """Draws the panels that the history has metrics for.

    Args:
        history: Records with an integer "step" and numbers; other values and non-finite numbers
            are skipped. Where a step occurs twice (a resumed run), the later record counts.
        chance: Accuracy of guessing a class, in [0, 1], or None.
        retrieval_chance: R@1 of guessing, in [0, 1], or None.

    Returns:
        The curves, and the names of the numeric metrics that no panel shows.
    """
    series = _collect(history)
    chances = {"classes": chance, "retrieval": retrieval_chance}
    curves, shown = [], set()
    for panel in PANELS:
        mine = {key: points for key, points in series.items() if _belongs(key, panel)}
        if mine:
            shown.update(mine)
            curves.append(
                Curve(panel.title, panel.caption, _draw(panel, mine, chances.get(panel.chance_of))),
            )
    return curves, sorted(set(series) - shown)


def _collect(history: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    series: dict[str, dict[int, float]] = {}
    for record in history:
        if "step" not in record:
            continue
        for key, value in record.items():
            is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            if key != "step" and is_number and math.isfinite(float(value)):
                series.setdefault(key, {})[int(record["step"])] = float(value)
    return series


def _belongs(key: str, panel: Panel) -> bool:
    return key.rsplit("/", 1)[-1] in panel.names


def _draw(panel: Panel, series: Mapping[str, Mapping[int, float]], chance: float | None) -> str:
    figure, axes = svg.new_axes(3.7, 2.25)
    for colour, (key, points) in zip(svg.SERIES, sorted(series.items())):
        steps = np.array(sorted(points))
        values = np.array([points[step] for step in steps])
        marker = "o" if len(steps) <= 15 else None
        if panel.noisy and len(steps) >= _SMOOTH_FROM:
            axes.plot(steps, values, color=colour, linewidth=0.6, alpha=0.35)
            values = _running_mean(values, max(5, len(values) // 40))
        axes.plot(steps, values, color=colour, linewidth=1.6, label=key, marker=marker, ms=3)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    if panel.accuracy:
        axes.set_ylim(0, 1.02)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if chance is not None:
        axes.axhline(chance, color=svg.MUTED, linewidth=1, linestyle=(0, (4, 3)), label="chance")
    if len(axes.get_legend_handles_labels()[1]) > 1:
        axes.legend(frameon=False, fontsize=8.5, labelcolor=svg.MUTED, handlelength=1.4)
    axes.grid(axis="y", color=svg.GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: _short(step)))
    axes.set_xlabel("step", fontsize=8.5, color=svg.MUTED)
    return svg.to_data_uri(figure)


def _running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Centred mean over `width` points, over fewer at the ends."""
    kernel = np.ones(width)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def _short(step: float) -> str:
    if abs(step) >= 1e6:
        return f"{step / 1e6:g}M"
    return f"{step / 1e3:g}k" if abs(step) >= 1e3 else f"{step:g}"
