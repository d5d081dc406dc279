"""The linear probe: a linear classifier on frozen, L2-normalised features.

Trained as CVRL does (solver 'sgd'), brought to its optimum (solver 'lbfgs': see `lbfgs`), or as
VATT does (solver 'low_rank': see `low_rank`).
"""

from __future__ import annotations

import dataclasses
import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cvrl_jax.evaluation import lbfgs, low_rank
from cvrl_jax.evaluation.classification_loss import cross_entropies
from cvrl_jax.evaluation.knn import accuracy, normalise
from cvrl_jax.evaluation.views import mean_over_views

SOLVERS = ("sgd", "lbfgs", "low_rank")

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class LinearProbeSettings:
    """How the probe is trained; the defaults are those of CVRL's linear evaluation.

    Attributes:
      solver: 'sgd'; 'lbfgs', which has no use for what follows up to `batch_size`; or 'low_rank',
        which has none for `momentum` and `warmup_fraction`.
      learning_rate: peak of the schedule ('low_rank': constant); large because the features have
        unit norm.
      momentum: of SGD, without Nesterov.
      warmup_fraction: share of all steps with a linear ramp from 0.
      epochs: passes over the training videos, each with one random view per video.
      steps: updates instead, rounded up to whole epochs; 0 = as `epochs` says.
      batch_size: videos per step (all of them where there are fewer); an epoch leaves out what
        does not fill a batch, another part each time.
      factor_l2: strength of regularisation of 'low_rank', see `low_rank.fit`.
      l2: strengths of regularisation that 'lbfgs' chooses from, see `lbfgs.sweep`.
      validation_share: of each class, held out to choose by.
    """

    solver: str = "sgd"
    learning_rate: float = 32.0
    momentum: float = 0.9
    warmup_fraction: float = 0.05
    epochs: int = 100
    steps: int = 0
    batch_size: int = 1024
    factor_l2: float = 0.0
    l2: tuple[float, ...] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
    validation_share: float = 0.2


@dataclasses.dataclass(frozen=True)
class LinearProbeResult:
    """What the probe says of the test videos.

    Attributes:
      predictions_M: int64, the most probable class of every test video, labelled or not.
      probabilities_MxC: float32, see `mean_over_views`.
      top1: accuracy in [0, 1] over the labelled test videos, NaN without any.
      top5: as `top1`, with the label among the five most probable classes.
      kernel_DxC: the trained classifier: logits = normalised feature @ kernel + bias.
      bias_C: see `kernel_DxC`.
    """

    predictions_M: np.ndarray
    probabilities_MxC: np.ndarray
    top1: float
    top5: float
    kernel_DxC: np.ndarray
    bias_C: np.ndarray


def linear_probe(
    train_features_NxVxD: np.ndarray,
    train_labels_N: np.ndarray,
    test_features_MxVxD: np.ndarray,
    test_labels_M: np.ndarray,
    classes: int,
    settings: LinearProbeSettings,
    seed: int,
    view_mean: str = "probabilities",
) -> LinearProbeResult:
    """Trains a linear classifier on cached features and applies it to those of the test videos.

    Each view (clip or crop) is L2-normalised by itself. Training by 'sgd': softmax cross-entropy
    without label smoothing or weight decay; SGD with momentum; linear warm-up, then a half cosine
    to 0 over all steps (Qian et al. 2021, arXiv 2008.03800, linear evaluation). The result is a
    function of the arguments alone.

    Args:
      train_features_NxVxD: V views of each training video.
      train_labels_N: int in [0, classes), or -1: that video is left out of training.
      test_features_MxVxD: the test videos; their number of views may differ from training.
      test_labels_M: int in [0, classes), or -1: predicted, but left out of `top1` and `top5`.
      classes: number of classes C.
      settings: how to train.
      seed: of the initial weights and of the order of videos and views, or of what is held out.
      view_mean: what of a test video's views is averaged, see `mean_over_views`.

    Raises:
      ValueError: no training video has a label, or a label is not below `classes`.
    """
    train_labels_N, test_labels_M = np.asarray(train_labels_N), np.asarray(test_labels_M)
    labelled = train_labels_N >= 0
    if not labelled.any():
        raise ValueError("linear_probe: no training video has a label")
    if max(train_labels_N.max(), test_labels_M.max(initial=-1)) >= classes:
        raise ValueError(f"linear_probe: a label is not below the number of classes, {classes}")
    kernel_DxC, bias_C = _train(
        normalise(train_features_NxVxD[labelled]),
        train_labels_N[labelled].astype(np.int32),
        classes,
        settings,
        seed,
    )
    probabilities_MxC = _probabilities(test_features_MxVxD, kernel_DxC, bias_C, view_mean, False)
    best_Mx5 = np.argsort(-probabilities_MxC, axis=1, kind="stable")[:, :5]
    hit = np.where((best_Mx5 == test_labels_M[:, None]).any(axis=1), test_labels_M, -1)
    return LinearProbeResult(
        predictions_M=best_Mx5[:, 0],
        probabilities_MxC=probabilities_MxC,
        top1=accuracy(best_Mx5[:, 0], test_labels_M),
        top5=accuracy(hit, test_labels_M),
        kernel_DxC=kernel_DxC,
        bias_C=bias_C,
    )


def multilabel_probe(
    train_features_NxVxD: np.ndarray,
    train_targets_NxC: np.ndarray,
    test_features_MxVxD: np.ndarray,
    settings: LinearProbeSettings,
    seed: int,
    view_mean: str = "probabilities",
) -> np.ndarray:
    """As `linear_probe`, for videos with any number of labels: one sigmoid for each class.

    The loss is the sum over classes of the sigmoid cross-entropy (arXiv 2104.11178, A.3).

    Args:
      train_features_NxVxD: V views of each training video.
      train_targets_NxC: in [0, 1], the share of each class.
      test_features_MxVxD: the test videos; their number of views may differ from training.
      settings: how to train.
      seed: as in `linear_probe`.
      view_mean: likewise.

    Returns:
      Probabilities float32 [M, C].
    """
    targets_NxC = np.asarray(train_targets_NxC, np.float32)
    features_NxVxD = normalise(train_features_NxVxD)
    parameters = _train(features_NxVxD, targets_NxC, targets_NxC.shape[1], settings, seed)
    return _probabilities(test_features_MxVxD, *parameters, view_mean, several=True)


def initial_parameters(key: jax.Array, features: int, classes: int) -> tuple[jax.Array, jax.Array]:
    """Returns the untrained classifier: a Glorot-uniform kernel [D, C] and a zero bias [C]."""
    return jax.nn.initializers.glorot_uniform()(key, (features, classes)), jnp.zeros(classes)


def probe_schedule(settings: LinearProbeSettings, steps: int) -> optax.Schedule:
    """Returns step -> learning rate: a half cosine over all `steps`, its beginning ramped from 0.

    The ramp leads to the value of the cosine where the warm-up ends, a little below the peak.
    """
    warmup = int(settings.warmup_fraction * steps)
    cosine = optax.cosine_decay_schedule(settings.learning_rate, steps)
    if not warmup:
        return cosine
    return lambda step: cosine(jnp.maximum(step, warmup)) * jnp.minimum(step / warmup, 1.0)


def _train(
    features_NxVxD: np.ndarray,
    labels: np.ndarray,
    classes: int,
    settings: LinearProbeSettings,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the trained kernel [D, C] and bias [C]; `labels` are int [N] or float [N, C]."""
    if settings.solver == "lbfgs":
        strengths = settings.l2, settings.validation_share
        parameters, l2 = lbfgs.sweep(features_NxVxD, labels, classes, *strengths, seed)
        log.info("linear probe by L-BFGS: l2 = %g of %s", l2, settings.l2)
        return parameters
    videos, views, dimension = features_NxVxD.shape
    batch = min(settings.batch_size, videos)
    steps = videos // batch
    if settings.steps:
        settings = dataclasses.replace(settings, epochs=-(-settings.steps // steps), steps=0)
    if settings.solver == "low_rank":
        recipe = settings.learning_rate, settings.epochs, batch, settings.factor_l2
        return low_rank.fit(features_NxVxD, labels, classes, *recipe, seed)
    parameters = initial_parameters(jax.random.key(seed), dimension, classes)
    carry = (parameters, _optimizer(settings, steps * settings.epochs).init(parameters))
    features, targets = jnp.asarray(features_NxVxD), jnp.asarray(labels)
    order = np.random.default_rng(seed)
    for _ in range(settings.epochs):
        video_SxB = order.permutation(videos)[: steps * batch].reshape(steps, batch)
        view_SxB = order.integers(views, size=(steps, batch))
        carry = _epoch(carry, features, targets, video_SxB, view_SxB, settings)
    kernel_DxC, bias_C = carry[0]
    return np.asarray(kernel_DxC), np.asarray(bias_C)


def _optimizer(settings: LinearProbeSettings, steps: int) -> optax.GradientTransformation:
    return optax.sgd(probe_schedule(settings, steps), momentum=settings.momentum)


@functools.partial(jax.jit, static_argnames="settings")
def _epoch(carry, features_NxVxD, labels, video_SxB, view_SxB, settings):
    """Takes S steps in one compiled loop; `carry` is (parameters, state of the optimiser)."""
    optimizer = _optimizer(settings, len(video_SxB) * settings.epochs)

    def loss(parameters, x_BxD, y):
        logits_BxC = jnp.dot(x_BxD, parameters[0], precision="highest") + parameters[1]
        return cross_entropies(logits_BxC, y).mean()

    def step(carry, choice):
        parameters, state = carry
        video_B, view_B = choice
        gradients = jax.grad(loss)(parameters, features_NxVxD[video_B, view_B], labels[video_B])
        updates, state = optimizer.update(gradients, state, parameters)
        return (optax.apply_updates(parameters, updates), state), None

    return jax.lax.scan(step, carry, (video_SxB, view_SxB))[0]


def _probabilities(
    features_MxVxD: np.ndarray,
    kernel_DxC: np.ndarray,
    bias_C: np.ndarray,
    view_mean: str,
    several: bool,
    chunk: int = 256,
) -> np.ndarray:
    """Returns the verdicts on videos, float32 [M, C], `chunk` videos at a time."""
    result = np.empty((len(features_MxVxD), len(bias_C)), np.float32)
    for begin in range(0, len(features_MxVxD), chunk):
        rows = slice(begin, begin + chunk)
        logits = normalise(features_MxVxD[rows]) @ kernel_DxC + bias_C
        result[rows] = mean_over_views(logits, view_mean, several)
    return result
