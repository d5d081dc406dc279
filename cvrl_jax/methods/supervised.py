"""Training with labels: the yardstick for the methods without, and their fine-tuning."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from cvrl_jax import losses, models
from cvrl_jax.augment import Augmentation, Mixing
from cvrl_jax.methods import common
from cvrl_jax.methods.base import Array, Aux, Batch, Variables
from cvrl_jax.methods.parts import combine, eval_part, part, stream, train_tower
from cvrl_jax.methods.towers import create_tower
from data_pipelines.errors import UserError
from data_pipelines.spec import InputSpec


@dataclasses.dataclass(frozen=True)
class Supervised:
    """Cross-entropy over the labels; `config.init_from` makes it fine-tuning.

    A softmax where a video has one label, a sigmoid for each class where it may have several.

    Attributes:
      inputs: one randomly cropped clip.
      tower: clips -> features.
      head: features -> logits; its dropout acts in training.
      augmentation: what happens to the clips on the device.
      mixing: how examples are mixed with others of the batch.
      label_smoothing: share of the target spread over all classes, in [0, 1).
    """

    compares_examples: ClassVar[bool] = False

    inputs: InputSpec
    tower: nn.Module
    head: nn.Module
    augmentation: Augmentation
    mixing: Mixing
    label_smoothing: float

    def init(self, key: Array) -> Variables:
        """See Method.init."""
        return common.init_tower_and_head(self.tower, self.head, self.inputs, key)

    def augment(self, batch: Batch, key: Array) -> Array:
        """See Method.augment; mixing is left to the loss, which must know the targets."""
        return self.augmentation(key, batch["video"])

    def loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[Array, Aux]:
        """Cross-entropy of labelled examples, mixed or not; see Method.loss.

        The accuracy is that of the larger part of each mixture.
        """
        labels, valid = batch["label"], batch["valid"]
        clips = common.merge_views(self.augment(batch, key))
        counts = valid & (labels >= 0 if labels.ndim == 1 else jnp.ones_like(valid))
        clips, share_B = self.mixing(stream(key, "mixing"), clips, counts)
        feature, tower_state = train_tower(self.tower, variables, "tower", clips, valid, key)
        rngs = {"dropout": stream(key, "head")}
        head = part(variables, "head")
        logits = jnp.asarray(self.head.apply(head, feature, train=True, rngs=rngs))
        several = labels.ndim == 2
        targets = labels if several else jax.nn.one_hot(labels, logits.shape[-1])
        targets = self.mixing.targets(targets, share_B)
        entropy = losses.sigmoid_cross_entropy if several else losses.dense_cross_entropy
        loss = entropy(logits, targets, counts, self.label_smoothing)
        metrics = {}
        if not several:
            metrics["accuracy"] = losses.accuracy(logits, labels, valid)
        return loss, Aux(metrics, combine(tower=tower_state), feature[:, None])

    def after_update(self, variables: Variables, progress: Array) -> Variables:
        """Nothing moves but what the optimizer moved."""
        return variables

    def embed(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """Pooled tower features, and the classifier's `logits` float32 [B, V, C]."""
        embedded = common.embed_clips(self.tower, variables, batch)
        flat = common.merge_views(embedded["video"])
        logits = eval_part(self.head, variables, "head", flat).astype(jnp.float32)
        return embedded | {"logits": common.split_views(logits, batch["video"].shape[1])}


def create(config: ConfigDict, classes: int) -> Supervised:
    """Builds the method from a config for data of `classes` labels.

    Raises:
      UserError: the data has no labels, or a field is missing or out of range.
    """
    common.check_fields(config, ("label_smoothing", "dropout", "mixup", "cutmix"))
    method = config.method
    for field in ("label_smoothing", "dropout"):
        if not 0 <= method[field] < 1:
            raise UserError(f"config.method.{field} = {method[field]}; it must lie in [0, 1)")
    if classes < 2:
        raise UserError(
            "method 'supervised' needs videos of at least two classes, but the data has "
            f"{classes}; use class sub-folders or a csv with a label column"
        )
    return Supervised(
        inputs=common.single_inputs(config),
        tower=create_tower(config),
        head=models.LinearHead(classes=classes, normalize=False, dropout=method.dropout),
        augmentation=common.create_augmentation(config),
        mixing=Mixing(mixup=method.mixup, cutmix=method.cutmix),
        label_smoothing=method.label_smoothing,
    )
