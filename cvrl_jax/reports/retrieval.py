"""Gathers what report.html shows of retrieval between modalities."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from cvrl_jax.evaluation.cross_modal import (
    RECALLS,
    Items,
    clips,
    cross_modal_retrieval,
    groups_of,
    similarities,
)
from cvrl_jax.evaluation.cross_modal_retrieval import SPACES
from cvrl_jax.evaluation.features import Features
from cvrl_jax.evaluation.knn import normalise
from cvrl_jax.evaluation.specs import evaluation_spec
from cvrl_jax.evaluation.suite import Results
from cvrl_jax.observe.report import Direction, Found, Multimodal, Places, SentenceQuery, Similarity
from data_pipelines.errors import BadVideo
from data_pipelines.examples import clip_stretch, read_clips
from data_pipelines.sources import Sources
from data_pipelines.spec import InputSpec
from data_pipelines.text import chosen_sentences
from data_pipelines.video import Source

_QUERIES = 8
_FOUND = 3
_FRAMES = 6  # of a filmstrip
_MAX_MATRIX = 64  # videos of a similarity matrix


def gather_retrieval(
    results: Results | None,
    sources: Sources,
    config: ConfigDict,
    inputs: InputSpec,
    untrained: dict[str, Any],
) -> Multimodal | None:
    """What the report shows; None where the last evaluation retrieved nothing.

    Matrices and sentences are of the first search alone, where there are several.

    Args:
      results: of the last evaluation.
      sources: of the run.
      config: of the run.
      inputs: what the method wants delivered.
      untrained: metrics by name before training.
    """
    if results is None or sources.test is None or "chance_r1" not in results.metrics:
        return None
    features, metrics, ways = results.test, results.metrics, config.eval.retrieval_ways
    searches = {
        modalities: search
        for modalities in (("text", "video"), ("audio", "video"))
        if (search := _first_search(features, modalities, ways)) is not None
    }
    spec = evaluation_spec(config, config.eval.clips, 1, inputs)
    queries = []
    if ("text", "video") in searches:
        queries = _queries(*searches["text", "video"], sources.test, spec)
    return Multimodal(
        directions=_directions(metrics, untrained),
        chance_r1=metrics["chance_r1"],
        among=max((len(rows.videos_M) for rows, _ in searches.values()), default=0),
        left_out={name: int(metrics[f"retrieval_without_{name}"]) for name in features.present},
        similarities=[
            _matrix(modalities, *search, features.class_N)
            for modalities, search in searches.items()
        ],
        queries=queries,
        places=_places(features),
        labels_N=features.class_N,
    )


def _directions(metrics: dict[str, float], untrained: dict[str, Any]) -> list[Direction]:
    return [
        Direction(
            name=f"{a} → {b}",
            recalls={k: metrics[f"{a}_to_{b}_r{k}"] for k in RECALLS},
            median_rank=metrics[f"{a}_to_{b}_median_rank"],
            mean_rank=metrics[f"{a}_to_{b}_mean_rank"],
            untrained_r1=untrained.get(f"{a}_to_{b}_r1"),
        )
        for x, y in SPACES
        for a, b in ((x, y), (y, x))
        if f"{a}_to_{b}_r1" in metrics
    ]


def _one_each(features: Features, name: str) -> Items:
    """Of every video that has it: the mean of its clips, or its first sentence."""
    present = features.is_present(name)
    if not name.startswith("text"):
        return clips(features.outputs[name], present)
    videos_M = np.flatnonzero(present.any(axis=1))
    first_M = present[videos_M].argmax(axis=1)
    return Items(normalise(features.outputs[name][videos_M, first_M]), videos_M)


def _first_search(
    features: Features, modalities: tuple[str, str], ways: int
) -> tuple[Items, Items] | None:
    """Queries and answers, one of each video of the first group, in the same order."""
    names = [f"{modality}_{SPACES[modalities]}" for modality in modalities]
    if not all(name in features.outputs for name in names):
        return None
    rows, columns = (_one_each(features, name) for name in names)
    group = groups_of(np.intersect1d(rows.videos_M, columns.videos_M), ways)[0]
    return (rows.of(group), columns.of(group)) if len(group) else None


def _matrix(
    modalities: tuple[str, str], rows: Items, columns: Items, labels_N: np.ndarray
) -> Similarity:
    order = np.argsort(labels_N[rows.videos_M[:_MAX_MATRIX]], kind="stable")
    values = similarities(rows.vectors_MxD[order], columns.vectors_MxD[order])
    return Similarity(*modalities, values)


def _queries(rows: Items, columns: Items, source: Source, spec: InputSpec) -> list[SentenceQuery]:
    """Sentences spread over the search, each with the videos it finds."""
    ranks = cross_modal_retrieval(rows, columns).ranks
    chosen = np.unique(np.linspace(0, len(ranks) - 1, _QUERIES).round().astype(int))
    queries = []
    for row in chosen.tolist():
        frames, sentence = _clip_and_sentence(source, int(rows.videos_M[row]), spec)
        if frames is None:
            continue
        similarity_G = similarities(rows.vectors_MxD[row : row + 1], columns.vectors_MxD)[0]
        found = []
        for place in np.argsort(-similarity_G, kind="stable")[:_FOUND].tolist():
            theirs, _ = _clip_and_sentence(source, int(columns.videos_M[place]), spec)
            if theirs is not None:
                found.append(Found(theirs, float(similarity_G[place]), place == row))
        queries.append(SentenceQuery(sentence, frames, float(ranks[row]), len(similarity_G), found))
    return queries


def _clip_and_sentence(
    source: Source, index: int, spec: InputSpec
) -> tuple[np.ndarray | None, str]:
    """Some frames of a video's first clip, and the first of the sentences near it."""
    with contextlib.suppress(BadVideo), contextlib.closing(source.open(index)) as video:
        clips_VxTxHxWx3, starts_V = read_clips(video, spec, np.random.default_rng(0))
        sentences: list[tuple[str, list[int]]] = []
        if spec.text is not None:
            stretch = clip_stretch(video, spec, float(starts_V[0]))
            seconds = float(video.times[-1])
            captions = source.info(index).captions
            sentences = chosen_sentences(captions, spec.text, stretch, seconds)
        frames = np.linspace(0, spec.frames - 1, min(_FRAMES, spec.frames)).round().astype(int)
        return clips_VxTxHxWx3[0][frames], sentences[0][0] if sentences else ""
    return None, ""


def _places(features: Features) -> list[Places]:
    """All modalities in the space where most of them meet."""
    space = "vt" if "text_vt" in features.outputs else "va"
    places = []
    for modality in ("video", "audio", "text"):
        if (name := f"{modality}_{space}") in features.outputs:
            items = _one_each(features, name)
            if len(items.videos_M):
                places.append(Places(modality, items.vectors_MxD, items.videos_M))
    return places
