"""Pure mathematics on embeddings and logits of the global batch: equal on 1 and N devices."""

from cvrl_jax.losses.classification import (
    accuracy,
    dense_cross_entropy,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)
from cvrl_jax.losses.info_nce import contrast_metrics, info_nce
from cvrl_jax.losses.mil_nce import NCE_FORMS, matching_accuracy, mil_nce
from cvrl_jax.losses.regression import normalized_regression

__all__ = [
    "NCE_FORMS",
    "accuracy",
    "contrast_metrics",
    "dense_cross_entropy",
    "info_nce",
    "matching_accuracy",
    "mil_nce",
    "normalized_regression",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
]
