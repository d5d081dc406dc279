"""BYOL on clips: predict a slowly moving teacher's projection of the other clip; no negatives.

Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020, arXiv 2006.07733; on video as in
Feichtenhofer et al., CVPR 2021, arXiv 2104.14558.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from cvrl_jax import losses, models
from cvrl_jax.augment import Augmentation
from cvrl_jax.methods import common
from cvrl_jax.methods.base import Array, Aux, Batch, Variables
from cvrl_jax.methods.parts import combine, init_part, part, train_part, train_tower
from cvrl_jax.methods.towers import create_tower
from data_pipelines.spec import InputSpec


@dataclasses.dataclass(frozen=True)
class BYOL:
    """Regression of the teacher's projection by a predictor, both directions.

    The collection `teacher` holds the teacher's params and batch_stats of tower and head.

    Attributes:
      inputs: a pair of clips.
      tower: clips -> features.
      head: features -> projections.
      predictor: the student's projections -> the teacher's.
      momentum: the teacher's momentum at the start; it rises to 1 by half a cosine.
      augmentation: what happens to the clips on the device.
    """

    compares_examples: ClassVar[bool] = False

    inputs: InputSpec
    tower: nn.Module
    head: models.ProjectionHead
    predictor: models.ProjectionHead
    momentum: float
    augmentation: Augmentation

    def init(self, key: Array) -> Variables:
        """See Method.init; the teacher starts as a copy of the student."""
        key, predictor_key = jax.random.split(key)
        student = common.init_tower_and_head(self.tower, self.head, self.inputs, key)
        projection = jnp.zeros((1, self.head.out))
        merged = combine(
            tower=part(student, "tower"),
            head=part(student, "head"),
            predictor=init_part(self.predictor, predictor_key, projection)[0],
        )
        # A copy, not an alias: the trainer donates its buffers and may donate each only once.
        return merged | {"teacher": jax.tree.map(jnp.copy, student)}

    def augment(self, batch: Batch, key: Array) -> Array:
        """See Method.augment."""
        return self.augmentation(key, batch["video"])

    def loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[Array, Aux]:
        """Mean over both directions of 2 - 2 cos (BYOL, eq. 2); see Method.loss."""
        clips = self.augment(batch, key)
        views = clips.shape[1]
        flat = common.merge_views(clips)
        valid = jnp.repeat(batch["valid"], views)
        feature, projection, state = self._project(variables, flat, valid, key)
        prediction, predictor_state = train_part(
            self.predictor, variables, "predictor", projection, valid, key
        )
        _, target, teacher_state = self._project(variables["teacher"], flat, valid, key)
        p = common.split_views(prediction, views)
        t = jax.lax.stop_gradient(common.split_views(target, views))
        loss = 0.5 * (
            losses.normalized_regression(p[:, 0], t[:, 1], batch["valid"])
            + losses.normalized_regression(p[:, 1], t[:, 0], batch["valid"])
        )
        state["batch_stats"]["predictor"] = predictor_state["batch_stats"]
        teacher = variables["teacher"] | jax.lax.stop_gradient(teacher_state)
        aux = Aux({}, state | {"teacher": teacher}, common.split_views(feature, views))
        return loss, aux

    def _project(
        self, variables: Variables, clips: Array, valid: Array, key: Array
    ) -> tuple[Array, Array, Variables]:
        feature, tower = train_tower(self.tower, variables, "tower", clips, valid, key)
        projection, head = train_part(self.head, variables, "head", feature, valid, key)
        return feature, projection, combine(tower=tower, head=head)

    def after_update(self, variables: Variables, progress: Array) -> Variables:
        """Moves the teacher: EMA with momentum 1 - (1 - m)(cos(pi progress) + 1) / 2."""
        momentum = 1.0 - (1.0 - self.momentum) * 0.5 * (jnp.cos(jnp.pi * progress) + 1.0)
        teacher = variables["teacher"]
        student = {name: variables["params"][name] for name in teacher["params"]}
        moved = jax.tree.map(
            lambda t, s: t * momentum + s * (1.0 - momentum), teacher["params"], student
        )
        return variables | {"teacher": teacher | {"params": moved}}

    def embed(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """The student's pooled tower features; see Method.embed."""
        return common.embed_clips(self.tower, variables, batch)


def create(config: ConfigDict, classes: int) -> BYOL:
    """Builds the method from a config; `classes` (of the data's labels) is not used."""
    del classes
    common.check_fields(config, ("momentum", "predictor_hidden"))
    return BYOL(
        inputs=common.pair_inputs(config),
        tower=create_tower(config),
        head=models.ProjectionHead(**config.head.to_dict()),
        predictor=models.ProjectionHead(
            hidden=config.method.predictor_hidden, layers=1, out=config.head.out
        ),
        momentum=config.method.momentum,
        augmentation=common.create_augmentation(config),
    )
