"""Towers and heads. They know nothing of losses, data or meshes."""

from cvrl_jax.models.common_spaces import CommonSpaces
from cvrl_jax.models.heads import LinearHead, ProjectionHead
from cvrl_jax.models.registry import MODELS, count_parameters, create_model
from cvrl_jax.models.token_tower import TokenTower

__all__ = [
    "MODELS",
    "CommonSpaces",
    "LinearHead",
    "ProjectionHead",
    "TokenTower",
    "count_parameters",
    "create_model",
]
