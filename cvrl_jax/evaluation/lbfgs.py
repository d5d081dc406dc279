"""The optimum of a regularised linear classifier, and how strongly to regularise it.

The optimum is found by SciPy's L-BFGS (Byrd et al. 1995); the loss and its gradient are computed on
the device, views and all. CLIP (arXiv 2103.00020, appendix A.3) probes features in this way.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cvrl_jax.evaluation.classification_loss import cross_entropies
from data_pipelines.sources.subset import draw_by_class

_ITERATIONS = 1000
_WORSE = 2  # strengths in a row that serve worse than the best before them end a sweep
_GRADIENT = 1e-5  # largest component of the gradient at which the optimum counts as found


def fit(
    features_NxVxD: np.ndarray,
    labels: np.ndarray,
    classes: int,
    l2: float,
    start: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Minimises the mean cross-entropy over all views of all videos + l2 / 2 |kernel|^2.

    scikit-learn's LogisticRegression finds the same with C = 1 / (l2 N V).

    Args:
      features_NxVxD: float32; every view counts alike.
      labels: int [N] in [0, classes), or float [N, C], see `cross_entropies`.
      classes: C.
      l2: above 0; biases are not regularised.
      start: where to begin, (kernel, bias); zeros by default. The optimum is the same.

    Returns:
      (kernel [D, C], bias [C]) float32.
    """
    from scipy.optimize import minimize  # here, for it keeps the first step of every run waiting

    videos, views, width = features_NxVxD.shape
    x = jnp.asarray(features_NxVxD.reshape(videos * views, width))
    y = jnp.asarray(np.repeat(labels, views, axis=0))
    if start is None:
        start = np.zeros((width, classes)), np.zeros(classes)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = jnp.asarray(flat.reshape(width + 1, classes), jnp.float32)
        value, gradient = _value_and_gradient(parameters, x, y, l2)
        return float(value), np.asarray(gradient, np.float64).ravel()

    first = np.concatenate([start[0], start[1][None]]).astype(np.float64).ravel()
    options = {"maxiter": _ITERATIONS, "gtol": _GRADIENT}
    best = minimize(objective, first, jac=True, method="L-BFGS-B", options=options).x
    best = best.reshape(width + 1, classes).astype(np.float32)
    return best[:-1], best[-1]


@jax.jit
def _value_and_gradient(parameters, x_MxD, y, l2):
    def loss(parameters):
        kernel, bias = parameters[:-1], parameters[-1]
        logits = jnp.dot(x_MxD, kernel, precision="highest") + bias
        return cross_entropies(logits, y).mean() + 0.5 * l2 * jnp.sum(kernel**2)

    return jax.value_and_grad(loss)(parameters)


def sweep(
    features_NxVxD: np.ndarray,
    labels: np.ndarray,
    classes: int,
    strengths: Sequence[float],
    validation_share: float,
    seed: int,
) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """Finds the strength that serves held-out videos best, and fits all videos with it.

    A share of each class is held out (of videos with several classes, a share of all). Best is the
    lowest mean cross-entropy of the held-out views: smoother than accuracy on few videos. From the
    strongest on, they are tried until two in a row have done worse.

    Args:
      features_NxVxD: see `fit`.
      labels: see `fit`.
      classes: C.
      strengths: values of `l2` to try, in any order.
      validation_share: of each class, in (0, 1), rounded; a lone video of its class stays.
      seed: of what is held out.

    Returns:
      ((kernel, bias), the strength chosen).
    """
    ordered = sorted(strengths, reverse=True)  # strong first: each optimum is near the one before
    if len(ordered) == 1:
        return fit(features_NxVxD, labels, classes, ordered[0]), ordered[0]
    by_class = labels if labels.ndim == 1 else np.zeros(len(labels), int)

    def share(members: int) -> int:
        return min(max(1, round(validation_share * members)), members - 1)

    held_out = draw_by_class(by_class, share, seed)
    if not len(held_out):  # one video of each class: nothing to choose by, so as strong as can be
        return fit(features_NxVxD, labels, classes, ordered[0]), ordered[0]
    rest = np.setdiff1d(np.arange(len(labels)), held_out)
    x, y = features_NxVxD[held_out], labels[held_out]
    flat, repeated = x.reshape(-1, x.shape[-1]), np.repeat(y, x.shape[1], axis=0)
    losses, found = [], None
    for l2 in ordered:
        found = fit(features_NxVxD[rest], labels[rest], classes, l2, found)
        parameters = jnp.asarray(np.concatenate([found[0], found[1][None]]))
        losses.append(float(_value_and_gradient(parameters, flat, repeated, 0.0)[0]))
        if len(losses) - np.argmin(losses) > _WORSE:
            break  # weaker ones take longest, and overfit more and more
    best = ordered[int(np.argmin(losses))]
    return fit(features_NxVxD, labels, classes, best), best
