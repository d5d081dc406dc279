"""Gathers what a report shows of a classifier, class by class."""

from __future__ import annotations

import contextlib

import numpy as np

from cvrl_jax.evaluation.calibration import calibration
from cvrl_jax.evaluation.suite import Results
from cvrl_jax.observe.report import Classified, Confused, Mistaken
from data_pipelines.errors import BadVideo
from data_pipelines.examples import read_clips
from data_pipelines.sources import Sources
from data_pipelines.spec import InputSpec
from data_pipelines.video import Source

PREDICTORS = {
    "classifier": "network's own classifier",
    "linear": "linear probe",
    "attentive": "attentive probe",
    "knn": "vote of the nearest neighbours",
    "audio_linear": "linear probe on sound",
    "audio_attentive": "attentive probe on sound",
}

_PAIRS = 6
_EXAMPLES = 3
_FRAMES = 6  # of a filmstrip


def gather_classified(
    results: Results | None, sources: Sources, spec: InputSpec
) -> Classified | None:
    """What the report shows; None where nothing predicted single classes.

    Args:
      results: of the last evaluation.
      sources: that it was made on.
      spec: of the clips shown: one view.
    """
    if results is None or sources.test is None:
        return None
    predicted_M, scores_MxC = results.predictions_M, results.scores_MxC
    if predicted_M is None or scores_MxC is None:
        return None
    rows_M, labels_M = np.flatnonzero(results.test.valid_N), results.test.readable().labels_N
    counts = (labels_M >= 0) & (predicted_M >= 0)
    classes = len(sources.test.classes)
    pairs_CxC = np.zeros((classes, classes), int)
    np.add.at(pairs_CxC, (labels_M[counts], predicted_M[counts]), 1)
    count_C = pairs_CxC.sum(axis=1)
    share_CxC = pairs_CxC / np.maximum(count_C[:, None], 1)
    accuracy_C = np.where(count_C > 0, np.diagonal(share_CxC), np.nan)
    bins = calibration(scores_MxC, labels_M)
    wrong_CxC = np.where(np.eye(classes, dtype=bool), 0.0, share_CxC)
    worst = np.argsort(-wrong_CxC, axis=None, kind="stable")[:_PAIRS]
    confused = []
    for actual, predicted in zip(*np.unravel_index(worst, wrong_CxC.shape)):
        if not wrong_CxC[actual, predicted]:
            break
        mistaken = np.flatnonzero(counts & (labels_M == actual) & (predicted_M == predicted))
        surest = mistaken[np.argsort(-scores_MxC[mistaken, predicted], kind="stable")]
        examples = [
            Mistaken(frames, float(scores_MxC[m, predicted]))
            for m in surest[:_EXAMPLES]
            if (frames := filmstrip(sources.test, int(rows_M[m]), spec)) is not None
        ]
        confused.append(
            Confused(
                actual=sources.test.classes[actual],
                predicted=sources.test.classes[predicted],
                videos=int(pairs_CxC[actual, predicted]),
                share=float(wrong_CxC[actual, predicted]),
                examples=examples,
            )
        )
    return Classified(
        accuracy_C=accuracy_C,
        count_C=count_C,
        confused=confused,
        confidence_K=bins.confidence_K,
        right_K=bins.accuracy_K,
        count_K=bins.count_K,
        calibration_error=bins.error,
    )


def filmstrip(source: Source, index: int, spec: InputSpec) -> np.ndarray | None:
    """Some frames of a video's first clip, uint8 [F, H, W, 3]; None where it cannot be read."""
    with (
        contextlib.suppress(BadVideo),
        contextlib.closing(source.open(index)) as video,
    ):
        clips, _ = read_clips(video, spec, np.random.default_rng(0))
        frames = np.linspace(0, spec.frames - 1, min(_FRAMES, spec.frames)).round().astype(int)
        return clips[0][frames]
    return None
