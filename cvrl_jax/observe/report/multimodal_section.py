"""The part of the page on retrieval between modalities: its pictures, and what the form needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb

from cvrl_jax.observe.report import filmstrips, svg
from cvrl_jax.observe.report.figures import LegendEntry, project
from cvrl_jax.observe.report.multimodal import Multimodal, Places, Similarity

_MARKERS = {"video": "o", "audio": "^", "text": "s"}
_SIGNS = {"video": "●", "audio": "▲", "text": "■"}
_MAX_MAP_VIDEOS = 150  # more, and their lines hide the points
_STRIP_FRAMES = 4


@dataclasses.dataclass(frozen=True)
class ModalityMap:
    """The drawn map (a data URI), its two legends and how many videos it shows."""

    image: str
    modalities: list[LegendEntry]
    classes: list[LegendEntry]
    videos: int


def draw_similarity(similarity: Similarity) -> str:
    """Draws the matrix as a data URI: the bluer, the more similar.

    A dot marks the most similar column of each row, blue on the diagonal and orange elsewhere.
    """
    values = np.asarray(similarity.values_RxR, np.float64)
    low, high = float(values.min()), float(values.max())
    pixels_RxRx4 = np.empty((*values.shape, 4))
    pixels_RxRx4[..., :3] = to_rgb(svg.SERIES[0])
    pixels_RxRx4[..., 3] = (values - low) / max(high - low, 1e-12)
    figure, axes = svg.new_axes(4.6, 4.5)
    axes.imshow(pixels_RxRx4, interpolation="none", vmin=0, vmax=1)
    best_R = values.argmax(axis=1)
    size = float(np.clip(700 / len(values), 4, 40))
    for right, colour in ((True, svg.INK), (False, svg.SERIES[1])):
        rows = np.flatnonzero((best_R == np.arange(len(values))) == right)
        axes.scatter(best_R[rows], rows, s=size, color=colour, linewidths=0)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(True)
        axes.spines[side].set_color(svg.GRID)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(similarity.columns, fontsize=8.5, color=svg.MUTED)
    axes.set_ylabel(similarity.rows, fontsize=8.5, color=svg.MUTED)
    return svg.to_data_uri(figure)


def draw_modality_map(
    places: Sequence[Places], labels_N: np.ndarray, classes: Sequence[str]
) -> ModalityMap:
    """Draws all modalities in one plane: a shape for each, a line between those of one video.

    Colours are classes where there are not more of them than colours, else modalities.

    Args:
        places: Of at least one modality.
        labels_N: int [N], by video; indices into `classes`, anything else is drawn grey.
        classes: Names.

    Raises:
        ValueError: If there is nothing to map (see `figures.project`).
    """
    videos = np.unique(np.concatenate([place.videos_M for place in places]))
    videos = videos[np.linspace(0, len(videos) - 1, min(len(videos), _MAX_MAP_VIDEOS)).astype(int)]
    kept = [np.isin(place.videos_M, videos) for place in places]
    xy_Mx2 = project(np.concatenate([p.vectors_MxD[k] for p, k in zip(places, kept)]))
    owner_M = np.concatenate([p.videos_M[k] for p, k in zip(places, kept)])
    modality_M = np.repeat([p.modality for p in places], [k.sum() for k in kept])
    label_M = np.asarray(labels_N)[owner_M]
    known = [int(c) for c in np.unique(label_M) if 0 <= c < len(classes)]
    by_class = 0 < len(known) <= len(svg.SERIES)
    figure, axes = svg.new_axes(6.4, 5.0)
    axes.set_axis_off()
    for video in videos:
        axes.plot(*xy_Mx2[owner_M == video].T, color=svg.GRID, linewidth=0.6, zorder=1)
    names = [place.modality for place in places]
    groups = known if by_class else names
    for rank, group in enumerate(groups):
        colour = svg.SERIES[rank]
        _scatter(axes, xy_Mx2, modality_M, (label_M if by_class else modality_M) == group, colour)
    if by_class:
        _scatter(axes, xy_Mx2, modality_M, ~np.isin(label_M, known), svg.MUTED)
    colours = [f"var(--c{rank})" for rank in range(len(groups))]
    return ModalityMap(
        image=svg.to_data_uri(figure),
        modalities=[
            LegendEntry(name, _SIGNS[name], "inherit" if by_class else colours[rank])
            for rank, name in enumerate(names)
        ],
        classes=[LegendEntry(classes[c], "―", colour) for c, colour in zip(known, colours)]
        if by_class
        else [],
        videos=len(videos),
    )


def _scatter(axes, xy_Mx2: np.ndarray, modality_M: np.ndarray, chosen_M: np.ndarray, colour: str):
    for modality, marker in _MARKERS.items():
        xy = xy_Mx2[chosen_M & (modality_M == modality)]
        if len(xy):
            axes.scatter(
                *xy.T, s=22, color=colour, marker=marker, alpha=0.9, linewidths=0, zorder=2
            )


def retrieval_section(multimodal: Multimodal, classes: Sequence[str]) -> dict[str, Any]:
    """What the template needs of this part."""
    try:
        modality_map: dict[str, Any] = {
            "drawn": draw_modality_map(multimodal.places, multimodal.labels_N, classes)
        }
    except ValueError as error:
        modality_map = {"missing": f"No map is drawn: {error}."}
    return {
        "directions": multimodal.directions,
        "recalls": sorted({k for d in multimodal.directions for k in d.recalls}),
        "left_out": {name: count for name, count in multimodal.left_out.items() if count},
        "similarities": [
            {"rows": s.rows, "columns": s.columns, "count": len(s.values_RxR), "image": image}
            for s in multimodal.similarities
            for image in [draw_similarity(s)]
        ],
        "queries": [
            {
                "sentence": query.sentence,
                "rank": f"{query.rank:g}",
                "first": query.rank < 2,
                "among": query.among,
                "strip": _strip(query.frames_FxHxWx3),
                "found": [
                    {
                        "strip": _strip(found.frames_FxHxWx3),
                        "similarity": f"{found.similarity:.2f}",
                        "right": found.right,
                    }
                    for found in query.found
                ],
            }
            for query in multimodal.queries
        ],
        "map": modality_map,
    }


def _strip(frames_FxHxWx3: np.ndarray) -> str:
    return filmstrips.filmstrip(frames_FxHxWx3, _STRIP_FRAMES, rows=2)
