"""What a protocol is given, and what it gives back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from cvrl_jax.evaluation.features import Features, Network
from data_pipelines.sources import Sources

_SPREAD = ("_top1", "_map", "_r1")  # metrics of which the spread over folds is told, too


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one protocol found.

    Attributes:
      metrics: scalars by name.
      scores_MxC: float, the probability of each class for every test video handed in, NaN in the
        rows of those that took no part; None of a protocol that names no classes.
    """

    metrics: dict[str, float]
    scores_MxC: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Round:
    """Something to train a classifier on, and something to test it on.

    Attributes:
      train: all videos of that side, the unreadable ones too, so that what is drawn of them does
        not depend on the state of a disk.
      test: readable videos.
      classes: names by label.
      factors: for each factor of the classes, int [C].
      settings: `config.eval`.
      seed: of everything that is drawn.
    """

    train: Features
    test: Features
    classes: tuple[str, ...]
    factors: Mapping[str, np.ndarray]
    settings: ConfigDict
    seed: int


@dataclasses.dataclass(frozen=True)
class Bench:
    """A frozen network in front of the videos of an evaluation.

    Attributes:
      network: to be judged.
      sources: the videos.
      config: the experiment; protocols use `eval`, `data` and `seed`.
      train: features of the training videos, None where no protocol asked for them.
      test: features of the test videos, the unreadable ones too.
    """

    network: Network
    sources: Sources
    config: ConfigDict
    train: Features | None
    test: Features

    def over_rounds(self, judge: Callable[[Round], Finding]) -> Finding:
        """Judges once, or once per fold of the test videos: then the mean over folds.

        Scores are those of all readable test videos.
        """
        found: list[Finding] = []
        scores: np.ndarray | None = None
        for round_, rows in self._rounds():
            found.append(judge(round_))
            part = found[-1].scores_MxC
            if part is not None:
                if scores is None:
                    scores = np.full((len(self.test.valid_N), part.shape[1]), np.nan, part.dtype)
                scores[rows] = part
        metrics = [finding.metrics for finding in found]
        return Finding(
            metrics[0] if self.sources.folds is None else mean_and_spread(metrics),
            None if scores is None else scores[self.test.valid_N],
        )

    def _rounds(self) -> Iterator[tuple[Round, np.ndarray]]:
        """Yields a round, and which rows of `test` its test videos are."""
        source = self.sources.train
        common = (source.classes, source.factors, self.config.eval, self.config.seed)
        folds, test = self.sources.folds, self.test
        if folds is None:
            assert self.train is not None
            yield Round(self.train, test.readable(), *common), test.valid_N
            return
        for fold in np.unique(folds):
            here = test.valid_N & (folds == fold)
            yield Round(test.take(folds != fold), test.take(here), *common), here


def mean_and_spread(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric that all rounds have, and <name>_std of accuracies.

    The standard deviation is that of a sample (of two rounds or more); one that the rounds tell
    themselves is left as it is.
    """
    names = [name for name in rounds[0] if all(name in other for other in rounds)]
    values = {name: [float(metrics[name]) for metrics in rounds] for name in names}
    mean = {name: float(np.mean(value)) for name, value in values.items()}
    if len(rounds) < 2:
        return mean
    spread = {
        f"{name}_std": float(np.std(value, ddof=1))
        for name, value in values.items()
        if name.endswith(_SPREAD)
    }
    return spread | mean
