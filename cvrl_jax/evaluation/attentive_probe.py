"""The attentive probe: a classifier that learns which tokens of a frozen network to look at.

One block of cross-attention with a learned query, as in V-JEPA (Bardes et al. 2024, arXiv
2404.08471, section 4.1) and CAE (Chen et al. 2022, arXiv 2202.03026, section 4): it can use what
the mean over tokens or views blurs.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cvrl_jax.evaluation.knn import accuracy
from cvrl_jax.evaluation.views import mean_over_views


@dataclasses.dataclass(frozen=True)
class AttentiveProbeSettings:
    """How the probe is trained: AdamW, a linear warm-up, then half a cosine to 0.

    Attributes:
      learning_rate: peak of the schedule.
      weight_decay: on matrices only.
      warmup_fraction: share of all steps with a linear ramp from 0.
      epochs: passes over the training videos, each with one random view per video.
      batch_size: videos per step (all of them where there are fewer); an epoch leaves out what
        does not fill a batch, another part each time.
      heads: attention heads; the largest number not above it that divides D is used.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_fraction: float = 0.05
    epochs: int = 20
    batch_size: int = 128
    heads: int = 12


@dataclasses.dataclass(frozen=True)
class AttentiveProbeResult:
    """What the probe says of the test videos.

    Attributes:
      predictions_M: int64, the most probable class of every test video, labelled or not.
      probabilities_MxC: float32, see `mean_over_views`.
      top1: accuracy in [0, 1] over the labelled test videos, NaN without any.
    """

    predictions_M: np.ndarray
    probabilities_MxC: np.ndarray
    top1: float


class AttentivePooling(nn.Module):
    """Tokens [N, L, D] -> logits [N, C].

    A learned query attends to the normalised tokens; an MLP of width 4 D with a shortcut and a
    linear layer follow.

    Attributes:
      classes: C.
      heads: a divisor of D.
    """

    classes: int
    heads: int

    @nn.compact
    def __call__(self, x_NxLxD: jax.Array) -> jax.Array:
        width = x_NxLxD.shape[-1]
        query = self.param("query", nn.initializers.truncated_normal(0.02), (1, 1, width))
        query_Nx1xD = jnp.broadcast_to(query, (len(x_NxLxD), 1, width))
        attended = nn.MultiHeadDotProductAttention(self.heads, name="attention")(
            query_Nx1xD, nn.LayerNorm(name="tokens_norm")(x_NxLxD)
        )
        y_NxD = (query_Nx1xD + attended)[:, 0]
        z_NxD = nn.Dense(4 * width, name="up")(nn.LayerNorm(name="mlp_norm")(y_NxD))
        y_NxD = y_NxD + nn.Dense(width, name="down")(nn.gelu(z_NxD, approximate=False))
        return nn.Dense(self.classes, name="out")(y_NxD)


def attentive_probe(
    train_tokens_NxVxLxD: np.ndarray,
    train_labels_N: np.ndarray,
    test_tokens_MxVxLxD: np.ndarray,
    test_labels_M: np.ndarray,
    classes: int,
    settings: AttentiveProbeSettings,
    seed: int,
    view_mean: str = "probabilities",
) -> AttentiveProbeResult:
    """Trains the probe on cached tokens and applies it to those of the test videos.

    Tokens are scaled by one number, so that those of training have a mean square of 1.

    Args:
      train_tokens_NxVxLxD: L tokens of each of V views of each training video, any float type.
        The views of a video can themselves be its tokens: [N, 1, V, D].
      train_labels_N: int in [0, classes), or -1: that video is left out of training.
      test_tokens_MxVxLxD: the test videos; V and L may differ from training.
      test_labels_M: int in [0, classes), or -1: predicted, but left out of `top1`.
      classes: number of classes C.
      settings: how to train.
      seed: of the initial weights and of the order of videos and views.
      view_mean: what of a test video's views is averaged, see `mean_over_views`.

    Raises:
      ValueError: no training video has a label, or a label is not below `classes`.
    """
    train_labels_N, test_labels_M = np.asarray(train_labels_N), np.asarray(test_labels_M)
    labelled = train_labels_N >= 0
    if not labelled.any():
        raise ValueError("attentive_probe: no training video has a label")
    if max(train_labels_N.max(), test_labels_M.max(initial=-1)) >= classes:
        raise ValueError(f"attentive_probe: a label is not below the number of classes, {classes}")
    tokens = train_tokens_NxVxLxD[labelled]
    width = tokens.shape[-1]
    heads = max(h for h in range(1, min(settings.heads, width) + 1) if width % h == 0)
    probe = AttentivePooling(classes, heads)
    scale = 1 / max(float(np.sqrt(np.mean(np.square(tokens, dtype=np.float32)))), 1e-12)
    params = _train(probe, tokens, scale, train_labels_N[labelled], settings, seed)
    logits_MxVxC = _logits(probe, params, test_tokens_MxVxLxD, scale, classes)
    probabilities_MxC = mean_over_views(logits_MxVxC, view_mean)
    predictions_M = probabilities_MxC.argmax(axis=1)
    return AttentiveProbeResult(
        predictions_M, probabilities_MxC, accuracy(predictions_M, test_labels_M)
    )


def _train(
    probe: AttentivePooling,
    tokens_NxVxLxD: np.ndarray,
    scale: float,
    labels_N: np.ndarray,
    settings: AttentiveProbeSettings,
    seed: int,
) -> Any:
    """Returns the trained parameters. Tokens stay on the host, of which a batch goes over."""
    videos, views = tokens_NxVxLxD.shape[:2]
    batch = min(settings.batch_size, videos)
    steps = videos // batch * settings.epochs
    optimizer = _optimizer(settings, steps)
    params = probe.init(jax.random.key(seed), jnp.zeros((1, *tokens_NxVxLxD.shape[2:])))
    state = optimizer.init(params)
    order = np.random.default_rng(seed)
    for _ in range(settings.epochs):
        for video_B in order.permutation(videos)[: videos // batch * batch].reshape(-1, batch):
            x_BxLxD = tokens_NxVxLxD[video_B, order.integers(views, size=batch)]
            params, state = _step(
                probe, settings, steps, params, state, _scaled(x_BxLxD, scale), labels_N[video_B]
            )
    return params


def _scaled(tokens: np.ndarray, scale: float) -> np.ndarray:
    return tokens.astype(np.float32) * np.float32(scale)


def _optimizer(settings: AttentiveProbeSettings, steps: int) -> optax.GradientTransformation:
    warmup = int(settings.warmup_fraction * steps)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0 if warmup else settings.learning_rate, settings.learning_rate, warmup, steps
    )
    return optax.adamw(
        schedule,
        weight_decay=settings.weight_decay,
        mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params),
    )


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _step(probe, settings, steps, params, state, x_BxLxD, labels_B):
    def loss(params):
        logits_BxC = probe.apply(params, x_BxLxD)
        return optax.softmax_cross_entropy_with_integer_labels(logits_BxC, labels_B).mean()

    updates, state = _optimizer(settings, steps).update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, updates), state


@functools.partial(jax.jit, static_argnums=0)
def _apply(probe, params, x_NxLxD):
    return probe.apply(params, x_NxLxD)


def _logits(
    probe: AttentivePooling,
    params: Any,
    tokens_MxVxLxD: np.ndarray,
    scale: float,
    classes: int,
    chunk: int = 64,
) -> np.ndarray:
    """Returns the logits of every view, float32 [M, V, C], `chunk` views at a time."""
    videos, views, *of_view = tokens_MxVxLxD.shape
    flat = tokens_MxVxLxD.reshape(videos * views, *of_view)
    result = np.empty((videos * views, classes), np.float32)
    for begin in range(0, len(flat), chunk):
        part = _scaled(flat[begin : begin + chunk], scale)
        padding = [(0, chunk - len(part))] + [(0, 0)] * (part.ndim - 1)
        result[begin : begin + chunk] = _apply(probe, params, np.pad(part, padding))[: len(part)]
    return result.reshape(videos, views, classes)
