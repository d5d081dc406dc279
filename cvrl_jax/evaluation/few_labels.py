"""How far a frozen network gets with few labels: few-shot and semi-supervised classification.

Which videos have labels is a function of the seed and of the training videos' labels alone: it is
drawn before unreadable ones are left out, and the same for every network.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from cvrl_jax.evaluation import lbfgs
from cvrl_jax.evaluation.bench import Finding, Round
from cvrl_jax.evaluation.classification import by_linear, judged
from cvrl_jax.evaluation.knn import normalise
from cvrl_jax.evaluation.views import mean_over_views
from data_pipelines.errors import UserError
from data_pipelines.sources.subset import draw_by_class, share_of_class

log = logging.getLogger(__name__)


def few_shot(name: str, round_: Round) -> Finding:
    """Logistic regression on a few videos of each class, over several draws.

    The optimum at one strength of regularisation (`settings.few_shot.l2`): with so few videos there
    are none to choose it by. Features have unit norm; every view of a video counts.

    Returns:
      For each number of shots <name>_<shots>_top1, the mean over draws, and its sample standard
      deviation <name>_<shots>_top1_std (with two draws or more). No metric of several labels.

    Raises:
      UserError: a class has fewer readable videos than shots.
    """
    if _has_several(name, round_):
        return Finding({})
    settings = round_.settings.few_shot
    metrics = {}
    for shots in settings.shots:
        top1 = []
        for draw in range(settings.draws):
            rows = _shots(round_, shots, (round_.seed, draw))
            found = _optimum(round_, rows, settings.l2)
            top1.append(judged(name, found, round_.test.labels_N, {})[f"{name}_top1"])
        metrics[f"{name}_{shots}_top1"] = float(np.mean(top1))
        if len(top1) > 1:
            metrics[f"{name}_{shots}_top1_std"] = float(np.std(top1, ddof=1))
    return Finding(metrics)


def semi_supervised(name: str, round_: Round) -> Finding:
    """The linear probe on a share of each class's videos (at least one of each).

    Returns:
      For each share, in percent, <name>_<percent>pct_top1 and _top5, and _videos: how many readable
      videos have a label. No metric of several labels.
    """
    if _has_several(name, round_):
        return Finding({})
    metrics = {}
    test = round_.test
    for share in round_.settings.semi_supervised.shares:
        rows = _drawn(round_, share_of_class(share), round_.seed)
        train = round_.train.take(rows)
        scores = by_linear(
            train.vectors_NxVxD, train.labels_N, test.vectors_NxVxD, len(round_.classes),
            round_.settings, round_.seed,
        )  # fmt: skip
        title = semi_supervised_name(name, share)
        found = judged(title, scores, test.labels_N, {})
        metrics |= {key: found[key] for key in (f"{title}_top1", f"{title}_top5")}
        metrics[f"{title}_videos"] = float(len(rows))
    return Finding(metrics)


def semi_supervised_name(name: str, share: float) -> str:
    """The beginning of the metrics' names for one share, e.g. semi_supervised_1pct."""
    return f"{name}_{100 * share:g}pct"


def _shots(round_: Round, shots: int, seed: tuple[int, ...]) -> np.ndarray:
    """`shots` readable videos of each class."""
    train = round_.train
    labels_N = np.where(train.valid_N, train.labels_N, -1)  # a shot that cannot be read is no shot
    present, counts = np.unique(labels_N[labels_N >= 0], return_counts=True)
    if len(present) and counts.min() < shots:
        few = round_.classes[present[counts.argmin()]]
        raise UserError(
            f"config.eval.few_shot.shots has {shots}, but class {few!r} has {counts.min()} "
            "readable training videos; lower it or add videos"
        )
    return draw_by_class(labels_N, lambda members: shots, seed)


def _drawn(round_: Round, count_of: Callable[[int], int], seed: int) -> np.ndarray:
    """Videos drawn by class, of which only the readable ones remain."""
    rows = draw_by_class(round_.train.labels_N, count_of, seed)
    return rows[round_.train.valid_N[rows]]


def _optimum(round_: Round, rows: np.ndarray, l2: float) -> np.ndarray:
    train, test = round_.train.take(rows), round_.test
    x_NxVxD = normalise(train.vectors_NxVxD)
    kernel, bias = lbfgs.fit(x_NxVxD, train.labels_N, len(round_.classes), l2)
    logits = normalise(test.vectors_NxVxD) @ kernel + bias
    return mean_over_views(logits, round_.settings.view_mean)


def _has_several(name: str, round_: Round) -> bool:
    if round_.train.labels_N.ndim == 1:
        return False
    log.warning("%s is left out: it knows one label per video, not several", name)
    return True
