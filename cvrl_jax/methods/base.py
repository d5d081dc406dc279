"""The contract between a method and the trainer."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import jax
from flax import struct

from data_pipelines.spec import InputSpec

Array = jax.Array
Batch = dict[str, Array]
Variables = dict[str, Any]  # collections by name: "params" and whatever else a method keeps


@struct.dataclass
class Aux:
    """What a loss gives back beside its value.

    Attributes:
      metrics: scalars to log.
      collections: the new value of every collection but `params`.
      features: [B, V, D] features of the batch's views, watched for collapse.
    """

    metrics: dict[str, Array]
    collections: Variables
    features: Array


class Method(Protocol):
    """What is learned: pure functions over a dict of variable collections.

    The trainer treats every collection but `params` as opaque state. Each method is a frozen
    dataclass in a file of its own with a function `create(config, classes) -> Method`.

    Attributes:
      inputs: what `data_pipelines` must deliver.
      compares_examples: whether an example's loss depends on the others of its batch, as those of
        contrastive methods do; a batch then cannot be taken for several smaller ones.
    """

    compares_examples: ClassVar[bool]

    @property
    def inputs(self) -> InputSpec: ...

    def init(self, key: Array) -> Variables:
        """Returns freshly initialised variables."""
        ...

    def augment(self, batch: Batch, key: Array) -> Array:
        """Returns what the network sees: float32 [B, V, T, H, W, 3] in [0, 1]."""
        ...

    def loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[Array, Aux]:
        """Returns the loss of the global batch, differentiable in `params`, and its by-products."""
        ...

    def after_update(self, variables: Variables, progress: Array) -> Variables:
        """Returns the variables after an optimizer update, e.g. with a teacher moved along.

        Args:
          variables: all collections, `params` already updated.
          progress: float32 [], updates done, this one included, by those of the run: in (0, 1].
        """
        ...

    def embed(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """Returns deterministic features by modality: {"video": float32 [B, V, D]}."""
        ...
