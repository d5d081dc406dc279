"""VATT's linear classifier: a product of two thin matrices, between which components drop out."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cvrl_jax.evaluation.classification_loss import cross_entropies

RANK = 128
_DROPPED = 0.9
_INITIAL = jax.nn.initializers.glorot_normal()


def fit(
    features_NxVxD: np.ndarray,
    labels: np.ndarray,
    classes: int,
    learning_rate: float,
    epochs: int,
    batch_size: int,
    l2: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Trains logits = dropout(x U + a) W + b by Adam on cross-entropy + l2 |W|^2.

    U has 128 columns, of which each step sees a tenth at random (Akbari et al. 2021, arXiv
    2104.11178, A.3.2). The bias `a` and the term in |W|^2 are of the released code, the paper names
    neither. The learning rate is constant.

    Args:
      features_NxVxD: float32; an epoch sees one random view of each video.
      labels: int [N] in [0, classes), or float [N, C], see `cross_entropies`.
      classes: C.
      learning_rate: of Adam with epsilon 1e-7; VATT has 5e-4.
      epochs: passes over the videos.
      batch_size: videos per step, no more than there are; VATT has 64. An epoch leaves out what
        does not fill a batch, another part each time.
      l2: strength of regularisation; the released code has 0.1.
      seed: of weights, order, views and what drops out.

    Returns:
      (kernel [D, C], bias [C]) float32 of the product, a linear classifier.
    """
    x, y = jnp.asarray(features_NxVxD), jnp.asarray(labels)
    u, a, w, b = _fit(x, y, jax.random.key(seed), learning_rate, l2, classes, batch_size, epochs)
    return np.asarray(u @ w), np.asarray(a @ w + b)


@functools.partial(jax.jit, static_argnames=("classes", "batch", "epochs"))
def _fit(features_NxVxD, labels, key, learning_rate, l2, classes: int, batch: int, epochs: int):
    videos, views, width = features_NxVxD.shape
    u_key, w_key, key = jax.random.split(key, 3)
    parameters = (
        _INITIAL(u_key, (width, RANK)),
        jnp.zeros(RANK),
        _INITIAL(w_key, (RANK, classes)),
        jnp.zeros(classes),
    )
    optimizer = optax.adam(learning_rate, eps=1e-7)

    def loss(parameters, x_BxD, y, key):
        u, a, w, b = parameters
        hidden_BxR = jnp.dot(x_BxD, u, precision="highest") + a
        kept = jax.random.bernoulli(key, 1 - _DROPPED, hidden_BxR.shape)
        hidden_BxR = jnp.where(kept, hidden_BxR / (1 - _DROPPED), 0)
        logits_BxC = jnp.dot(hidden_BxR, w, precision="highest") + b
        return cross_entropies(logits_BxC, y).mean() + l2 * jnp.sum(w**2)

    def step(carry, chosen):
        parameters, state = carry
        video_B, key = chosen
        view_key, drop_key = jax.random.split(key)
        view_B = jax.random.randint(view_key, (batch,), 0, views)
        x_BxD = features_NxVxD[video_B, view_B]
        gradients = jax.grad(loss)(parameters, x_BxD, labels[video_B], drop_key)
        updates, state = optimizer.update(gradients, state)
        return (optax.apply_updates(parameters, updates), state), None

    def epoch(carry, key):
        order_key, key = jax.random.split(key)
        steps = videos // batch
        order = jax.random.permutation(order_key, videos)[: steps * batch]
        return jax.lax.scan(
            step, carry, (order.reshape(steps, batch), jax.random.split(key, steps))
        )

    carry = parameters, optimizer.init(parameters)
    return jax.lax.scan(epoch, carry, jax.random.split(key, epochs))[0][0]
