"""Steps that several methods share."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from cvrl_jax.augment import AudioAugmentation, Augmentation
from cvrl_jax.methods.base import Array, Batch, Variables
from cvrl_jax.methods.parts import combine, eval_part, init_part
from cvrl_jax.models.precision import compute_dtype
from data_pipelines.errors import UserError
from data_pipelines.spec import AudioSpec, InputSpec, TextSpec
from data_pipelines.suggest import nearest


def check_fields(config: ConfigDict, known: tuple[str, ...]) -> None:
    """Raises a UserError where `config.method` has a field too many or one too few."""
    for field in known:
        if field not in config.method:
            raise UserError(f"method {config.method.name!r} needs config.method.{field}")
    for field in config.method:
        if field not in (*known, "name"):
            raise UserError(
                f"config.method.{field} is no field of method {config.method.name!r}; "
                + nearest(field, known)
            )


def pair_inputs(config: ConfigDict, sampling: str | None = None) -> InputSpec:
    """Two randomly cropped clips of each video, by the sampling law of `config.data`."""
    return _random_crops(config, 2, sampling or config.data.sampling)


def single_inputs(config: ConfigDict) -> InputSpec:
    """One randomly cropped clip of each video."""
    return _random_crops(config, 1, "random")


def multimodal_inputs(config: ConfigDict, modalities: Collection[str]) -> InputSpec:
    """One randomly cropped clip of each video, with its sound and its sentences where asked for.

    Raises:
      UserError: a section of `config.data` is missing or has an unknown field.
    """
    specs: dict[str, Any] = {}
    for modality, spec in (("audio", AudioSpec), ("text", TextSpec)):
        if modality in modalities:
            fields = config.data.get(modality)
            known = [field.name for field in dataclasses.fields(spec)]
            if fields is None or set(fields) != set(known):
                raise UserError(
                    f"config.data.{modality} must be a section of {', '.join(known)}, since there "
                    f"is a config.model.{modality}"
                )
            specs[modality] = spec(**fields.to_dict())
    return dataclasses.replace(single_inputs(config), **specs)


def _random_crops(config: ConfigDict, clips: int, sampling: Any) -> InputSpec:
    data = config.data
    return InputSpec(
        clips=clips,
        frames=data.frames,
        stride=data.stride,
        stride_unit=data.stride_unit,
        size=data.size,
        sampling=sampling,
        power=data.power,
        crop=data.crop,
        area=tuple(data.crop_area),
        aspect=tuple(data.crop_aspect),
    )


def init_tower_and_head(
    tower: nn.Module, head: nn.Module, inputs: InputSpec, key: Array, frames: int | None = None
) -> Variables:
    """Initialises a tower for clips of `inputs` (or of `frames` frames) and a head behind it."""
    tower_key, head_key = jax.random.split(key)
    clip = jnp.zeros((1, frames or inputs.frames, inputs.size, inputs.size, 3))
    tower_variables, feature = init_part(tower, tower_key, clip)
    return combine(tower=tower_variables, head=init_part(head, head_key, feature)[0])


def create_augmentation(config: ConfigDict, *, per_frame: bool | None = None) -> Augmentation:
    """What `config.augment` describes, or drawn per frame because the method demands it.

    Clips are augmented in the type that the tower computes in.
    """
    section, video = config.augment, config.model.get("video", config.model)
    return Augmentation(
        recipe=section.recipe,
        strength=section.strength,
        per_frame=section.per_frame if per_frame is None else per_frame,
        dtype=compute_dtype(video.get("dtype", jnp.float32)),
    )


def create_audio_augmentation(config: ConfigDict) -> AudioAugmentation:
    """What `config.augment` says of sound."""
    section = config.augment
    return AudioAugmentation(noise=section.audio_noise, mixup=section.audio_mixup)


def merge_views(x: Array) -> Array:
    """[B, V, ...] -> [B * V, ...], the views of an example side by side (keeps the sharding)."""
    return x.reshape(-1, *x.shape[2:])


def split_views(x: Array, views: int) -> Array:
    """[B * V, ...] -> [B, V, ...]."""
    return x.reshape(-1, views, *x.shape[1:])


def embed_clips(tower: nn.Module, variables: Variables, batch: Batch) -> dict[str, Array]:
    """Features of unaugmented clips by the frozen tower: {"video": float32 [B, V, D]}.

    Args:
      tower: called as tower(clips [N, T, H, W, 3], train=False).
      variables: of the method, with a part "tower".
      batch: with `video` uint8 [B, V, T, H, W, 3].
    """
    clips = merge_views(batch["video"]).astype(jnp.float32) / 255.0
    features = eval_part(tower, variables, "tower", clips)
    return {"video": split_views(features, batch["video"].shape[1])}
