"""Towers and heads. They know nothing of losses, data or meshes."""

from cvrl_jax.models.common_spaces import CommonSpaces
from cvrl_jax.models.heads import LinearHead, ProjectionHead
from cvrl_jax.models.registry import MODELS, create_model

__all__ = ["MODELS", "CommonSpaces", "LinearHead", "ProjectionHead", "create_model"]
