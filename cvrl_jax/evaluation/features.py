"""Features of whole collections by a frozen network, each video exactly once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from data_pipelines.pipeline import TIMEOUT_S, evaluation_batches
from data_pipelines.spec import InputSpec
from data_pipelines.video import Source, VideoInfo

# A host batch -> {"video": [B, V, D]} and, of methods with a classifier, "probabilities" [B, V, C].
Embed = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Features:
    """What a network says of N videos, in the order of their source.

    Attributes:
      vectors_NxVxD: float32, one vector per view (clip and crop).
      labels_N: int, -1 = none.
      valid_N: bool, False = could not be read; its row holds nothing of meaning.
      left_out: the videos that could not be read, each with the reason.
      probabilities_NxC: float32, the method's own classifier averaged over views; None without one.
    """

    vectors_NxVxD: np.ndarray
    labels_N: np.ndarray
    valid_N: np.ndarray
    left_out: tuple[tuple[VideoInfo, str], ...]
    probabilities_NxC: np.ndarray | None = None

    @property
    def mean_NxD(self) -> np.ndarray:
        """The mean over views of L2-normalised vectors."""
        norm = np.linalg.norm(self.vectors_NxVxD, axis=-1, keepdims=True)
        return (self.vectors_NxVxD / np.maximum(norm, 1e-12)).mean(axis=1)

    def readable(self) -> Features:
        """The same without the videos that could not be read."""
        keep = self.valid_N
        probabilities = self.probabilities_NxC
        return dataclasses.replace(
            self,
            vectors_NxVxD=self.vectors_NxVxD[keep],
            labels_N=self.labels_N[keep],
            valid_N=self.valid_N[keep],
            probabilities_NxC=None if probabilities is None else probabilities[keep],
        )


def extract_features(
    embed: Embed,
    source: Source,
    spec: InputSpec,
    *,
    batch_size: int,
    workers: int = 0,
    timeout: float = TIMEOUT_S,
    progress: Callable[[Iterable], Iterable] = lambda batches: batches,
) -> Features:
    """Runs `embed` over every video of `source` once.

    Args:
      embed: the frozen network on a host batch of `batch_size` videos.
      source: the videos.
      spec: the views of each.
      batch_size: videos per call; the last batch is padded, and padding never counted.
      workers: processes that decode.
      timeout: seconds after which a process gives a video up.
      progress: wraps the batches, to show how far it is.
    """
    vectors, labels, valid, probabilities, left_out = [], [], [], [], []
    batches = evaluation_batches(
        source, spec, batch_size=batch_size, workers=workers, timeout=timeout
    )
    for batch in progress(batches):
        real = batch["index"] >= 0
        output = embed(batch)
        vectors.append(np.asarray(output["video"], np.float32)[real])
        if "probabilities" in output:
            probabilities.append(np.asarray(output["probabilities"], np.float32)[real].mean(axis=1))
        labels.append(batch["label"][real])
        valid.append(batch["valid"][real])
        for row in np.flatnonzero(real & ~batch["valid"]):
            left_out.append((source.info(int(batch["index"][row])), str(batch["error"][row])))
    return Features(
        vectors_NxVxD=np.concatenate(vectors),
        labels_N=np.concatenate(labels),
        valid_N=np.concatenate(valid),
        left_out=tuple(left_out),
        probabilities_NxC=np.concatenate(probabilities) if probabilities else None,
    )
