"""On-device augmentation: ops on one clip, and recipes that put them in order."""

from cvrl_jax.augment.audio import AudioAugmentation
from cvrl_jax.augment.augmentation import Augmentation
from cvrl_jax.augment.mixing import Mixing
from cvrl_jax.augment.recipes import RECIPES, Recipe, Step, apply, scaled, views

__all__ = [
    "RECIPES",
    "AudioAugmentation",
    "Augmentation",
    "Mixing",
    "Recipe",
    "Step",
    "apply",
    "scaled",
    "views",
]
