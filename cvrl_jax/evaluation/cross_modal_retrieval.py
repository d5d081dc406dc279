"""Cross-modal retrieval: every modality of the test videos searched by every other one."""

from __future__ import annotations

import logging

import numpy as np

from cvrl_jax.evaluation.cross_modal import (
    Items,
    clips,
    groups_of,
    retrieval_in_groups,
    sentences,
)
from cvrl_jax.evaluation.features import Features

# Which common space two modalities are compared in (VATT, section 3.2). Text and sound meet in the
# space of text, as in MMV (arXiv 2006.16228, section 3.1).
SPACES = {("text", "video"): "vt", ("audio", "video"): "va", ("text", "audio"): "vt"}

log = logging.getLogger(__name__)


def retrieval_metrics(features: Features, ways: int) -> dict[str, float]:
    """Zero-shot retrieval in all directions that the features allow.

    Clips of a video are averaged: their unit vectors, scaled to unit norm again. Where there are
    several, the mean of their cosines is measured too. Each sentence is a query by itself, and the
    best of a video's sentences its answer. A video without sound, without text or that could not be
    read takes part in no search of what it lacks. Ties: see `cross_modal`.

    Args:
      features: of the videos to search, with outputs such as "text_vt" and "video_vt".
      ways: videos per search: groups of that many neighbours, each searched by itself; what does
        not fill one is left out. 0 = all at once.

    Returns:
      For each direction such as "text_to_video" what `Ranking.metrics` gives, and the same under
      "text_to_video_mean_cosine" where there are several clips, and "text_to_video_chance_r1";
      "chance_r1", that of text-to-video, or without text of audio-to-video;
      "retrieval_without_text" and "retrieval_without_audio": videos left out for that. Only the
      last two where nothing can be compared.
    """
    metrics: dict[str, float] = {}
    for modalities, space in SPACES.items():
        names = [f"{modality}_{space}" for modality in modalities]
        if not all(name in features.outputs for name in names):
            continue
        first, second = (features.is_present(name).any(axis=1) for name in names)
        videos = np.flatnonzero(first & second)
        if not len(videos):
            log.warning("no retrieval between %s and %s: no video has both", *modalities)
            continue
        groups = groups_of(videos, ways)
        several = any(
            features.outputs[name].shape[1] > 1
            for name, modality in zip(names, modalities)
            if modality != "text"
        )
        for suffix, unit in (("", True), *((("_mean_cosine", False),) if several else ())):
            items = [_items(features, name, unit) for name in names]
            for a, b in ((0, 1), (1, 0)):
                ranking = retrieval_in_groups(items[a], items[b], groups)
                direction = f"{modalities[a]}_to_{modalities[b]}"
                metrics |= ranking.metrics(f"{direction}{suffix}")
                metrics[f"{direction}_chance_r1"] = ranking.chance_r1
                metrics.setdefault("chance_r1", ranking.chance_r1)
    for modality, present in features.present.items():
        without = features.valid_N & ~present.any(axis=1)
        metrics[f"retrieval_without_{modality}"] = float(without.sum())
    return metrics


def _items(features: Features, name: str, unit: bool) -> Items:
    present = features.is_present(name)
    if name.startswith("text"):
        return sentences(features.outputs[name], present)
    return clips(features.outputs[name], present, unit=unit)
