"""The map of the embeddings and the confusion matrix."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from cvrl_jax.observe.report import svg

MAX_MAP_POINTS = 1500  # t-SNE takes seconds up to here, minutes beyond
MAX_LEGEND_CLASSES = 20
_MAX_NAMED_CLASSES = 60
_MARKERS = ("o", "^")  # ten colours in two shapes make twenty classes


@dataclasses.dataclass(frozen=True)
class LegendEntry:
    """A class on the map: its name, its sign and its CSS colour."""

    name: str
    sign: str
    colour: str


@dataclasses.dataclass(frozen=True)
class EmbeddingMap:
    """The drawn map (a data URI), its legend (empty if too many classes) and its size."""

    image: str
    legend: list[LegendEntry]
    points: int
    classes: int


@dataclasses.dataclass(frozen=True)
class Confusion:
    """The drawn matrix (a data URI) and what it says in numbers.

    Attributes:
        image: The matrix as a data URI.
        accuracy: Fraction of the counted videos on the diagonal.
        videos: How many were counted.
        left_out: How many were not, because a label was no class.
        worst: (true class, predicted class, fraction of the true class), the largest confusions.
    """

    image: str
    accuracy: float
    videos: int
    left_out: int
    worst: list[tuple[str, str, float]]


def project(vectors_MxD: np.ndarray, seed: int = 0) -> np.ndarray:
    """t-SNE to the plane (van der Maaten and Hinton 2008) of length-normalised vectors.

    Args:
        vectors_MxD: float [M, D], with M >= 5 and D >= 2, finite, not all alike.
        seed: Of the optimisation; the same input gives the same map.

    Returns:
        float [M, 2].

    Raises:
        ValueError: If there is nothing to map, with the reason in words.
    """
    if vectors_MxD.ndim != 2 or len(vectors_MxD) < 5 or vectors_MxD.shape[1] < 2:
        raise ValueError("a map needs at least five vectors of two or more dimensions")
    x_MxD = np.asarray(vectors_MxD, np.float64)
    if not np.isfinite(x_MxD).all():
        raise ValueError("some embeddings are not finite (NaN or infinite): training diverged")
    x_MxD = x_MxD / np.maximum(np.linalg.norm(x_MxD, axis=1, keepdims=True), 1e-12)
    if x_MxD.std(axis=0).max() < 1e-6:
        raise ValueError("all embeddings point the same way: the representation has collapsed")
    kept = min(50, len(x_MxD) - 1, x_MxD.shape[1])
    perplexity = min(30.0, (len(x_MxD) - 1) / 3)
    # One thread: OpenMP's many short loops crawl when other processes keep the cores busy.
    with threadpool_limits(1):
        x_MxK = PCA(kept, svd_solver="full").fit_transform(x_MxD)
        return TSNE(2, init="pca", perplexity=perplexity, random_state=seed).fit_transform(x_MxK)


def draw_map(vectors_MxD: np.ndarray, labels_M: np.ndarray, classes: Sequence[str]) -> EmbeddingMap:
    """Draws the embeddings in the plane, coloured by class.

    Args:
        vectors_MxD: float [M, D]; of more than `MAX_MAP_POINTS` a fixed random part is drawn.
        labels_M: int [M], indices into `classes`; anything else is drawn grey.
        classes: Names; up to `MAX_LEGEND_CLASSES` present ones get a legend.

    Raises:
        ValueError: If there is nothing to map (see `project`).
    """
    labels_M = np.asarray(labels_M)
    if len(vectors_MxD) > MAX_MAP_POINTS:
        chosen = np.random.default_rng(0).permutation(len(vectors_MxD))[:MAX_MAP_POINTS]
        vectors_MxD, labels_M = vectors_MxD[chosen], labels_M[chosen]
    xy_Mx2 = project(vectors_MxD)
    figure, axes = svg.new_axes(6.4, 5.0)
    axes.set_axis_off()
    size = float(np.clip(6000 / len(xy_Mx2), 7, 40))
    unlabelled = (labels_M < 0) | (labels_M >= len(classes))
    present = [int(c) for c in np.unique(labels_M[~unlabelled])]
    legend = []
    if unlabelled.any():
        axes.scatter(*xy_Mx2[unlabelled].T, s=size, color=svg.MUTED, alpha=0.5, linewidths=0)
        legend.append(LegendEntry("no label", "●", "var(--muted)"))
    for rank, label in enumerate(present):
        colour = rank % len(svg.SERIES)
        shape = rank // len(svg.SERIES) % len(_MARKERS)
        xy = xy_Mx2[labels_M == label]
        axes.scatter(
            *xy.T, s=size, color=svg.SERIES[colour], marker=_MARKERS[shape], alpha=0.85,
            linewidths=0,
        )  # fmt: skip
        legend.append(LegendEntry(classes[label], "●▲"[shape], f"var(--c{colour})"))
    if len(present) > MAX_LEGEND_CLASSES:
        legend = []
    return EmbeddingMap(svg.to_data_uri(figure), legend, len(xy_Mx2), len(present))


def draw_confusion(
    true_K: np.ndarray, predicted_K: np.ndarray, classes: Sequence[str]
) -> Confusion:
    """Draws the confusion matrix, each row (true class) normalised to 1.

    Args:
        true_K: int [K], indices into `classes`; a pair with any other value is left out.
        predicted_K: int [K], likewise.
        classes: Names, in the order of the rows and columns.

    Raises:
        ValueError: If no pair is left.
    """
    true_K, predicted_K = np.asarray(true_K), np.asarray(predicted_K)
    count = len(classes)
    good = (true_K >= 0) & (true_K < count) & (predicted_K >= 0) & (predicted_K < count)
    if not good.any():
        raise ValueError("no video has both a true and a predicted class")
    counts_CxC = np.zeros((count, count))
    np.add.at(counts_CxC, (true_K[good], predicted_K[good]), 1)
    rates_CxC = counts_CxC / np.maximum(counts_CxC.sum(axis=1, keepdims=True), 1)

    off_CxC = rates_CxC * (1 - np.eye(count))
    order = np.argsort(-off_CxC, axis=None, kind="stable")[:8]
    worst = [
        (str(classes[t]), str(classes[p]), float(off_CxC[t, p]))
        for t, p in zip(*np.unravel_index(order, off_CxC.shape))
        if off_CxC[t, p] > 0
    ]
    return Confusion(
        _draw_matrix(rates_CxC, classes),
        float((true_K[good] == predicted_K[good]).mean()),
        int(good.sum()),
        int((~good).sum()),
        worst,
    )


def _draw_matrix(rates_CxC: np.ndarray, classes: Sequence[str]) -> str:
    """Blue on the diagonal, orange off it; opacity is the rate's root, so that leaks are seen."""
    count = len(classes)
    side = float(np.clip(0.32 * count, 3.0, 7.2))
    figure, axes = svg.new_axes(side + 1.4, side + 1.2)
    pixels_CxCx4 = np.empty((count, count, 4))
    pixels_CxCx4[..., :3] = to_rgb(svg.SERIES[1])
    pixels_CxCx4[np.arange(count), np.arange(count), :3] = to_rgb(svg.SERIES[0])
    pixels_CxCx4[..., 3] = np.sqrt(rates_CxC)
    axes.imshow(pixels_CxCx4, interpolation="none")
    for side_name in ("top", "right", "left", "bottom"):
        axes.spines[side_name].set_visible(True)
        axes.spines[side_name].set_color(svg.GRID)
    if count <= _MAX_NAMED_CLASSES:
        size = 8 if count <= 20 else 8 - 3 * (count - 20) / 40
        names = [name if len(name) <= 24 else name[:23] + "…" for name in classes]
        axes.set_xticks(range(count), names, rotation=90, fontsize=size)
        axes.set_yticks(range(count), names, fontsize=size)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    if count <= 12:
        for row, column in zip(*np.nonzero(rates_CxC >= 0.005)):
            text = f"{100 * rates_CxC[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=svg.INK)
    axes.set_xlabel("predicted", fontsize=8.5, color=svg.MUTED)
    axes.set_ylabel("true", fontsize=8.5, color=svg.MUTED)
    return svg.to_data_uri(figure)
