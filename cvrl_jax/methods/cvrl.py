"""CVRL: two augmented clips of a video attract, clips of other videos repel.

Qian et al., "Spatiotemporal Contrastive Video Representation Learning", CVPR 2021,
arXiv 2008.03800.
"""

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
from cvrl_jax.methods.parts import combine, train_part, train_tower
from cvrl_jax.methods.towers import create_tower
from data_pipelines.spec import InputSpec


@dataclasses.dataclass(frozen=True)
class CVRL:
    """InfoNCE between the projections of two clips of a video.

    Attributes:
      inputs: a pair of clips by CVRL's interval law.
      tower: clips [N, T, H, W, 3] -> features [N, D].
      head: features -> projections; thrown away after pre-training.
      temperature: of the softmax over candidates.
      augmentation: what happens to the clips on the device.
    """

    compares_examples: ClassVar[bool] = True

    inputs: InputSpec
    tower: nn.Module
    head: nn.Module
    temperature: float
    augmentation: Augmentation

    def init(self, key: Array) -> Variables:
        """See Method.init. Collections: params and batch_stats, each of `tower` and `head`."""
        return common.init_tower_and_head(self.tower, self.head, self.inputs, key)

    def augment(self, batch: Batch, key: Array) -> Array:
        """See Method.augment."""
        return self.augmentation(key, batch["video"])

    def loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[Array, Aux]:
        """InfoNCE in both directions over the global batch; see Method.loss."""
        clips = self.augment(batch, key)
        valid = batch["valid"]
        return contrast(self.tower, self.head, variables, clips, valid, self.temperature, key)

    def after_update(self, variables: Variables, progress: Array) -> Variables:
        """Nothing moves but what the optimizer moved."""
        return variables

    def embed(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """Pooled tower features, before the projection head; see Method.embed."""
        return common.embed_clips(self.tower, variables, batch)


def contrast(
    tower: nn.Module,
    head: nn.Module,
    variables: Variables,
    clips_NxVxTxHxWx3: Array,
    valid_N: Array,
    temperature: float,
    key: Array,
) -> tuple[Array, Aux]:
    """InfoNCE between the first two views of N examples, by a tower and a projection head.

    Both views go through the tower in one batch, so BatchNorm sees all of them together.

    Returns:
      (loss [], Aux) with contrast accuracy and entropy as metrics.
    """
    views = clips_NxVxTxHxWx3.shape[1]
    valid = jnp.repeat(valid_N, views)
    clips = common.merge_views(clips_NxVxTxHxWx3)
    feature, tower_state = train_tower(tower, variables, "tower", clips, valid, key)
    projection, head_state = train_part(head, variables, "head", feature, valid, key)
    z = common.split_views(projection, views)
    loss = losses.info_nce(z[:, 0], z[:, 1], temperature, valid_N)
    metrics = losses.contrast_metrics(z[:, 0], z[:, 1], temperature, valid_N)
    collections = combine(tower=tower_state, head=head_state)
    return loss, Aux(metrics, collections, common.split_views(feature, views))


def create(config: ConfigDict, classes: int) -> CVRL:
    """Builds the method from a config; `classes` (of the data's labels) is not used."""
    del classes
    common.check_fields(config, ("temperature",))
    return CVRL(
        inputs=common.pair_inputs(config),
        tower=create_tower(config),
        head=models.ProjectionHead(**config.head.to_dict()),
        temperature=config.method.temperature,
        augmentation=common.create_augmentation(config),
    )
