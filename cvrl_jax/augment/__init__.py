"""On-device augmentation: ops on one clip, and recipes that put them in order."""

from cvrl_jax.augment.recipes import RECIPES, Recipe, Step, apply, views

__all__ = ["RECIPES", "Recipe", "Step", "apply", "views"]
