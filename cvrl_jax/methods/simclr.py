"""SimCLR on frames: every frame is an image of its own; nothing is learned from time.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020,
arXiv 2002.05709; CVRL's own baseline without video.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from cvrl_jax import models
from cvrl_jax.augment import Augmentation
from cvrl_jax.methods import common, cvrl
from cvrl_jax.methods.base import Array, Aux, Batch, Variables
from cvrl_jax.methods.towers import create_tower
from data_pipelines.spec import InputSpec


@dataclasses.dataclass(frozen=True)
class SimCLR:
    """InfoNCE between two augmentations of one frame; B videos of T frames are B * T images.

    The two clips delivered hold the same frames under two crops; the crop box is shared by the
    frames of a clip, colour and blur are drawn for every frame.

    Attributes:
      inputs: the same clip twice, cropped twice.
      tower: takes an image as a clip of one frame.
      head: features -> projections.
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
        """See Method.init."""
        return common.init_tower_and_head(self.tower, self.head, self.inputs, key, frames=1)

    def augment(self, batch: Batch, key: Array) -> Array:
        """See Method.augment."""
        return self.augmentation(key, batch["video"])

    def loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[Array, Aux]:
        """InfoNCE over all frames of the global batch; see Method.loss."""
        clips = self.augment(batch, key)
        frames = clips.shape[2]
        images = jnp.moveaxis(clips, 2, 1)  # [B, T, V, H, W, 3]
        images = common.merge_views(images)[:, :, None]  # [B * T, V, 1, H, W, 3]
        valid = jnp.repeat(batch["valid"], frames)
        loss, aux = cvrl.contrast(
            self.tower, self.head, variables, images, valid, self.temperature, key
        )
        per_video = common.split_views(aux.features, frames).mean(axis=1)
        return loss, dataclasses.replace(aux, features=per_video)

    def after_update(self, variables: Variables, progress: Array) -> Variables:
        """Nothing moves but what the optimizer moved."""
        return variables

    def embed(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """The mean of the frames' features; see Method.embed."""
        video = batch["video"]
        views, frames = video.shape[1:3]
        images = video.reshape(video.shape[0], views * frames, 1, *video.shape[3:])
        features = common.embed_clips(self.tower, variables, {"video": images})["video"]
        return {"video": features.reshape(video.shape[0], views, frames, -1).mean(axis=2)}


def create(config: ConfigDict, classes: int) -> SimCLR:
    """Builds the method from a config; `classes` (of the data's labels) is not used."""
    del classes
    common.check_fields(config, ("temperature",))
    return SimCLR(
        inputs=common.pair_inputs(config, sampling="same"),
        tower=create_tower(config),
        head=models.ProjectionHead(**config.head.to_dict()),
        temperature=config.method.temperature,
        augmentation=common.create_augmentation(config, per_frame=True),
    )
