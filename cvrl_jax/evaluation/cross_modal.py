"""Retrieval between modalities with nothing trained: does a sentence find its video?

Equal similarities are a draw. Every number is the expectation over all orders of what is equally
similar, so a network that says the same of everything gets exactly what guessing gets, wherever its
own video stands in the list.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from cvrl_jax.evaluation.knn import normalise

RECALLS = (1, 5, 10)
TIE = 1e-7  # similarities closer than this are equal: float32 vectors do not tell them apart

_LOWEST = -1e30  # similarity of what is not finite
_CHUNK = 2**22  # similarities held at once


@dataclasses.dataclass(frozen=True)
class Items:
    """What is searched with or among: vectors, each of them belonging to a video.

    Attributes:
      vectors_MxD: float; similarity is their dot product.
      videos_M: int, which video each belongs to. A video may have several (its sentences).
    """

    vectors_MxD: np.ndarray
    videos_M: np.ndarray

    def of(self, videos: np.ndarray) -> Items:
        """Only what belongs to one of `videos`."""
        keep = np.isin(self.videos_M, videos)
        return Items(self.vectors_MxD[keep], self.videos_M[keep])


def sentences(vectors_NxKxD: np.ndarray, valid_NxK: np.ndarray) -> Items:
    """Each valid vector as an item of its own, with unit norm."""
    videos_M, _ = np.nonzero(valid_NxK)
    return Items(normalise(vectors_NxKxD[valid_NxK.astype(bool)]), videos_M)


def clips(vectors_NxVxD: np.ndarray, valid_NxV: np.ndarray, *, unit: bool = True) -> Items:
    """One item per video: the mean of its valid clips' unit vectors.

    Args:
      vectors_NxVxD: any scale.
      valid_NxV: bool; a video without a valid clip has no item.
      unit: scale the mean to unit norm ("average embedding"). Otherwise its dot product with a unit
        vector is the mean cosine of the clips ("average cosine").
    """
    weight_NxV = valid_NxV / np.maximum(valid_NxV.sum(axis=1, keepdims=True), 1)
    mean_NxD = np.einsum("nv,nvd->nd", weight_NxV.astype(np.float32), normalise(vectors_NxVxD))
    videos_M = np.flatnonzero(valid_NxV.any(axis=1))
    mean_MxD = mean_NxD[videos_M]
    return Items(normalise(mean_MxD) if unit else mean_MxD, videos_M)


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Where the best right answer of each query stands among all answers.

    Attributes:
      better_Q: answers more similar to the query than the best right one.
      equal_Q: answers as similar as it, itself included.
      right_Q: right ones among those.
      answers_Q: all answers.
      all_right_Q: right ones among all answers.
    """

    better_Q: np.ndarray
    equal_Q: np.ndarray
    right_Q: np.ndarray
    answers_Q: np.ndarray
    all_right_Q: np.ndarray

    @classmethod
    def joined(cls, rankings: Sequence[Ranking]) -> Ranking:
        """The queries of all of `rankings`."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(r, name) for r in rankings]) for name in names))

    def hits(self, k: int) -> np.ndarray:
        """Returns, by query, the probability that a right answer is among the first `k`."""
        return _hits(self.better_Q, self.equal_Q, self.right_Q, k)

    @property
    def ranks(self) -> np.ndarray:
        """The expected rank of the best right answer by query; 1 is first.

        The least of m places drawn from t without repetition is (t + 1) / (m + 1) on average.
        """
        return self.better_Q + (self.equal_Q + 1) / (self.right_Q + 1)

    @property
    def chance_r1(self) -> float:
        """R@1 of a random order."""
        return float(np.mean(self.all_right_Q / self.answers_Q))

    def metrics(self, direction: str) -> dict[str, float]:
        """Returns `direction`_r1, _r5, _r10 (in [0, 1]), _median_rank and _mean_rank."""
        recalls = {f"{direction}_r{k}": float(self.hits(k).mean()) for k in RECALLS}
        return recalls | {
            f"{direction}_median_rank": float(np.median(self.ranks)),
            f"{direction}_mean_rank": float(self.ranks.mean()),
        }


def cross_modal_retrieval(queries: Items, gallery: Items) -> Ranking:
    """Ranks the gallery for every query; right is what belongs to the query's own video.

    Args:
      queries: what is searched with.
      gallery: what is searched. Only videos on both sides take part, on either side.

    Raises:
      ValueError: no video is on both sides.
    """
    videos = np.intersect1d(queries.videos_M, gallery.videos_M)
    if not len(videos):
        raise ValueError("cross_modal_retrieval: no video has both a query and an answer")
    queries, gallery = queries.of(videos), gallery.of(videos)
    rows = max(1, _CHUNK // len(gallery.videos_M))
    return Ranking.joined(
        [
            rank(
                similarities(queries.vectors_MxD[begin : begin + rows], gallery.vectors_MxD),
                queries.videos_M[begin : begin + rows, None] == gallery.videos_M,
            )
            for begin in range(0, len(queries.videos_M), rows)
        ]
    )


def retrieval_in_groups(queries: Items, gallery: Items, groups: Sequence[np.ndarray]) -> Ranking:
    """As `cross_modal_retrieval`, with each group of videos searched by itself.

    Raises:
      ValueError: some group has no video on both sides.
    """
    return Ranking.joined([cross_modal_retrieval(queries.of(g), gallery.of(g)) for g in groups])


def groups_of(videos: np.ndarray, ways: int) -> list[np.ndarray]:
    """Groups of `ways` neighbours in `videos`; what does not fill a group at the end is left out.

    One group of all where `ways` is 0 or above their number.
    """
    if not 0 < ways <= len(videos):
        return [np.asarray(videos)]
    return list(np.asarray(videos)[: len(videos) // ways * ways].reshape(-1, ways))


def similarities(x_QxD: np.ndarray, y_GxD: np.ndarray) -> np.ndarray:
    """Dot products float64 [Q, G]; those that are not finite count as lower than all others."""
    products = np.asarray(x_QxD, np.float64) @ np.asarray(y_GxD, np.float64).T
    return np.where(np.isfinite(products), products, _LOWEST)


def rank(similarity_QxG: np.ndarray, right_QxG: np.ndarray) -> Ranking:
    """Finds the best right answer of each query.

    Args:
      similarity_QxG: finite.
      right_QxG: bool, which answers are right. A query without any comes last: behind all answers.
    """
    best_Qx1 = np.where(right_QxG, similarity_QxG, -np.inf).max(axis=1, keepdims=True)
    equal_QxG = np.abs(similarity_QxG - best_Qx1) <= TIE
    return Ranking(
        better_Q=np.sum((similarity_QxG > best_Qx1) & ~equal_QxG, axis=1),
        equal_Q=equal_QxG.sum(axis=1),
        right_Q=np.sum(equal_QxG & right_QxG, axis=1),
        answers_Q=np.full(len(right_QxG), right_QxG.shape[1]),
        all_right_Q=right_QxG.sum(axis=1),
    )


def _hits(better_Q: np.ndarray, equal_Q: np.ndarray, right_Q: np.ndarray, k: int) -> np.ndarray:
    """1 - C(t - m, j) / C(t, j), for j = k - better places left to t equals, m of them right."""
    missed_Q = np.ones(len(better_Q))
    for place in range(k):
        left_Q = np.maximum(equal_Q - place, 1)
        wrong_Q = np.maximum(equal_Q - right_Q - place, 0)
        drawn_Q = (place < k - better_Q) & (right_Q > 0)
        missed_Q *= np.where(drawn_Q, wrong_Q / left_Q, 1.0)
    return 1.0 - missed_Q
