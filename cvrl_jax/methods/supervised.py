"""Training with labels: the yardstick for the methods without, and their fine-tuning."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from cvrl_jax import losses, models
from cvrl_jax.augment import Augmentation
from cvrl_jax.methods import common
from cvrl_jax.methods.base import Array, Aux, Batch, Variables
from cvrl_jax.methods.parts import combine, eval_part, train_tower
from cvrl_jax.methods.towers import create_tower
from data_pipelines.errors import UserError
from data_pipelines.spec import InputSpec
from data_pipelines.suggest import nearest

VIEW_MEANS = ("probabilities", "logits")


@dataclasses.dataclass(frozen=True)
class Supervised:
    """Softmax cross-entropy over the labels; `config.init_from` makes it fine-tuning.

    Attributes:
      inputs: one randomly cropped clip.
      tower: clips -> features.
      head: features -> logits.
      augmentation: what happens to the clips on the device.
      label_smoothing: share of the target spread over all classes, in [0, 1).
      view_mean: what the views of a video are averaged in: 'probabilities' or 'logits'.
    """

    compares_examples: ClassVar[bool] = False

    inputs: InputSpec
    tower: nn.Module
    head: nn.Module
    augmentation: Augmentation
    label_smoothing: float
    view_mean: str

    def init(self, key: Array) -> Variables:
        """See Method.init."""
        return common.init_tower_and_head(self.tower, self.head, self.inputs, key)

    def augment(self, batch: Batch, key: Array) -> Array:
        """See Method.augment."""
        return self.augmentation(key, batch["video"])

    def loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[Array, Aux]:
        """Cross-entropy of labelled examples; see Method.loss."""
        clips = self.augment(batch, key)
        feature, tower_state = train_tower(
            self.tower, variables, "tower", common.merge_views(clips), batch["valid"], key
        )
        logits = eval_part(self.head, variables, "head", feature)
        loss = losses.softmax_cross_entropy(
            logits, batch["label"], batch["valid"], label_smoothing=self.label_smoothing
        )
        metrics = {"accuracy": losses.accuracy(logits, batch["label"], batch["valid"])}
        return loss, Aux(metrics, combine(tower=tower_state), feature[:, None])

    def after_update(self, variables: Variables, step: Array) -> Variables:
        """Nothing moves but what the optimizer moved."""
        return variables

    def embed(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """Pooled tower features, and the classifier's `probabilities` [B, C], over all views."""
        embedded = common.embed_clips(self.tower, variables, batch)
        flat = common.merge_views(embedded["video"])
        logits = eval_part(self.head, variables, "head", flat).astype(jnp.float32)
        logits_BxVxC = common.split_views(logits, batch["video"].shape[1])
        if self.view_mean == "logits":
            probabilities_BxC = nn.softmax(logits_BxVxC.mean(axis=1))
        else:
            probabilities_BxC = nn.softmax(logits_BxVxC).mean(axis=1)
        return embedded | {"probabilities": probabilities_BxC}


def create(config: ConfigDict, classes: int) -> Supervised:
    """Builds the method from a config for data of `classes` labels.

    Raises:
      UserError: the data has no labels, or a field has no such value.
    """
    common.check_fields(config, ("label_smoothing", "view_mean"))
    if config.method.view_mean not in VIEW_MEANS:
        raise UserError(
            f"config.method.view_mean = {config.method.view_mean!r}; "
            f"{nearest(config.method.view_mean, VIEW_MEANS)}"
        )
    if classes < 2:
        raise UserError(
            "method 'supervised' needs videos of at least two classes, but the data has "
            f"{classes}; use class sub-folders or a csv with a label column"
        )
    return Supervised(
        inputs=common.single_inputs(config),
        tower=create_tower(config),
        head=models.LinearHead(classes=classes, normalize=False),
        augmentation=common.create_augmentation(config),
        label_smoothing=config.method.label_smoothing,
        view_mean=config.method.view_mean,
    )
