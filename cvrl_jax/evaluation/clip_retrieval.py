"""Clip retrieval: does a test video find training videos of its own class?

The protocol of the UCF101 and HMDB51 literature (Büchler et al. 2018, arXiv 1807.11293; Xu et al.,
"Self-supervised spatiotemporal learning via video clip order prediction", CVPR 2019): test videos
are the queries, training videos the gallery, and a query is a hit at k if any of the k most similar
has its class.
"""

from __future__ import annotations

import numpy as np

from cvrl_jax.evaluation.bench import Finding, Round
from cvrl_jax.evaluation.cross_modal import Ranking, rank, similarities
from cvrl_jax.evaluation.knn import normalise

RECALLS = (1, 5, 10, 20, 50)

_CHUNK = 2**22  # similarities held at once


def clip_retrieval(name: str, round_: Round) -> Finding:
    """The protocol, on the cosine between means over views of unit vectors.

    Returns:
      <name>_r1, _r5, _r10, _r20, _r50 in [0, 1], <name>_median_rank, the rank of the first video of
      the query's class, and <name>_chance_r1. No metric of videos with several labels.
    """
    train, test = round_.train.readable(), round_.test
    if train.labels_N.ndim == 2:
        return Finding({})
    train, test = train.take(train.labelled_N), test.take(test.labelled_N)
    ranking = class_ranking(test.mean_NxD, test.labels_N, train.mean_NxD, train.labels_N)
    recalls = {f"{name}_r{k}": float(ranking.hits(k).mean()) for k in RECALLS}
    return Finding(
        recalls
        | {
            f"{name}_median_rank": float(np.median(ranking.ranks)),
            f"{name}_chance_r1": ranking.chance_r1,
        }
    )


def class_ranking(
    queries_QxD: np.ndarray, labels_Q: np.ndarray, gallery_GxD: np.ndarray, labels_G: np.ndarray
) -> Ranking:
    """Ranks the gallery for every query; right is what has the query's class.

    Equal similarities are a draw, see `cross_modal`. A query whose class is not in the gallery is a
    miss at every k.

    Args:
      queries_QxD: any scale.
      labels_Q: int.
      gallery_GxD: any scale, at least one.
      labels_G: int.
    """
    queries, gallery = normalise(queries_QxD), normalise(gallery_GxD)
    rows = max(1, _CHUNK // len(gallery))
    return Ranking.joined(
        [
            rank(
                similarities(queries[begin : begin + rows], gallery),
                labels_Q[begin : begin + rows, None] == labels_G,
            )
            for begin in range(0, len(queries), rows)
        ]
    )
