"""The part of the page on how alike the layers of two networks are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb

from cvrl_jax.observe.report import svg

_MAX_WRITTEN = 14  # rows; with more, the numbers do not fit into their cells


@dataclasses.dataclass(frozen=True)
class Layers:
    """The layers of two networks, or of one and itself, compared.

    Attributes:
        similarity: In [0, 1] by layer of the one and layer of the other, from the bottom up; NaN
            where it is not defined.
        other: What the other network is, e.g. its checkpoint; "" = the same one.
    """

    similarity: Mapping[str, Mapping[str, float]]
    other: str = ""


def draw_layers(layers: Layers) -> str:
    """Draws the matrix as a data URI, bottom layers below and at the left: the bluer, the more."""
    rows, columns = list(layers.similarity), list(next(iter(layers.similarity.values())))
    values_RxC = np.array([[layers.similarity[row][column] for column in columns] for row in rows])
    pixels_RxCx4 = np.empty((*values_RxC.shape, 4))
    pixels_RxCx4[..., :3] = to_rgb(svg.SERIES[0])
    pixels_RxCx4[..., 3] = np.nan_to_num(values_RxC)
    figure, axes = svg.new_axes(
        float(np.clip(0.42 * len(columns) + 1.6, 3.6, 8.0)),
        float(np.clip(0.42 * len(rows) + 1.4, 3.4, 7.6)),
    )
    axes.imshow(pixels_RxCx4, interpolation="none", origin="lower")
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(True)
        axes.spines[side].set_color(svg.GRID)
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    if max(values_RxC.shape) <= _MAX_WRITTEN:
        for row, column in np.argwhere(np.isfinite(values_RxC)):
            text = f"{100 * values_RxC[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=svg.INK)
    axes.set_xlabel("the other" if layers.other else "the same", fontsize=8.5, color=svg.MUTED)
    axes.set_ylabel("this network", fontsize=8.5, color=svg.MUTED)
    return svg.to_data_uri(figure)


def layers_section(layers: Layers) -> dict[str, Any]:
    """What the template needs of this part."""
    return {
        "image": draw_layers(layers),
        "rows": len(layers.similarity),
        "columns": len(next(iter(layers.similarity.values()))),
        "other": layers.other,
    }
