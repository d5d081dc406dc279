"""VATT: video, audio and text of one moment meet in common spaces, other moments repel.

Akbari et al., "VATT: Transformers for Multimodal Self-Supervised Learning from Raw Video, Audio and
Text", NeurIPS 2021, arXiv 2104.11178.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from cvrl_jax import losses, models
from cvrl_jax.augment import AudioAugmentation, Augmentation
from cvrl_jax.losses.numerics import l2_normalize
from cvrl_jax.methods import common, towers
from cvrl_jax.methods.base import Array, Aux, Batch, Variables
from cvrl_jax.methods.parts import (
    combine,
    eval_part,
    init_part,
    stream,
    train_part,
    train_tower,
)
from data_pipelines.errors import UserError
from data_pipelines.spec import InputSpec
from data_pipelines.suggest import nearest
from data_pipelines.text import load_tokenizer

# Which two places in the common spaces are compared.
PAIRS = {"video_audio": ("video_va", "audio_va"), "video_text": ("video_vt", "text_vt")}


@dataclasses.dataclass(frozen=True)
class VATT:
    """NCE between a clip and its sound, MIL-NCE between it and the sentences near it.

    The parts are `video_tower`, `audio_tower`, `text_tower` (see `methods.towers`) and `heads`.

    Attributes:
      inputs: one clip of each video, its waveform and its sentences.
      towers: by modality: `video`, and `audio` or `text` or both.
      shared: whether they share their transformer ("modality-agnostic").
      heads: features -> places in the common spaces.
      temperature: of the softmax over candidates.
      nce: form of the losses, see `losses.mil_nce`.
      weights: of the losses, by a key of `PAIRS`.
      augmentation: what happens to the clips on the device.
      audio_augmentation: what happens to the waveforms on the device.
    """

    compares_examples: ClassVar[bool] = True

    inputs: InputSpec
    towers: dict[str, Any]
    shared: bool
    heads: nn.Module
    temperature: float
    nce: Literal["paper", "released"]
    weights: dict[str, float]
    augmentation: Augmentation
    audio_augmentation: AudioAugmentation

    def init(self, key: Array) -> Variables:
        """See Method.init. The heads keep `batch_stats`; towers do where they have BatchNorm."""
        spec = self.inputs
        inputs = {"video": jnp.zeros((1, *spec.clip_shape[1:]))}
        if spec.audio:
            inputs["audio"] = jnp.zeros((1, spec.audio.samples))
        if spec.text:
            inputs["text"] = jnp.zeros((1, spec.text.tokens), jnp.int32)
        parts, features = towers.init_towers(self.towers, self.shared, inputs, key)
        heads, _ = init_part(self.heads, stream(key, "heads"), features)
        return combine(**parts, heads=heads)

    def augment(self, batch: Batch, key: Array) -> Array:
        """See Method.augment."""
        return self.augmentation(key, batch["video"])

    def loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[Array, Aux]:
        """Weighted sum of both losses over the global batch; see Method.loss.

        An example without sound, or without text, counts in the other loss alone.
        """
        inputs, valid = self._prepared(batch, key)
        whole = towers.with_shared_encoder(variables)
        features, states = {}, {}
        for modality, x in inputs.items():
            name = f"{modality}_tower"
            features[modality], states[name] = train_tower(
                self.towers[modality], whole, name, x, valid[modality], key
            )
        spaces, states["heads"] = train_part(self.heads, variables, "heads", features, valid, key)
        total, metrics = jnp.float32(0.0), {}
        for pair, (x, y) in PAIRS.items():
            if y not in spaces:
                continue
            y_valid = valid[y.partition("_")[0]].reshape(batch["valid"].size, -1)
            y_BxKxD = spaces[y].reshape(*y_valid.shape, -1)
            there = valid["video"], y_valid
            loss = losses.mil_nce(spaces[x], y_BxKxD, self.temperature, *there, form=self.nce)
            total += self.weights[pair] * loss
            metrics[f"{pair}_loss"] = loss
            metrics[f"{pair}_accuracy"] = losses.matching_accuracy(spaces[x], y_BxKxD, *there)
        return total, Aux(metrics, combine(**states), features["video"][:, None])

    def _prepared(self, batch: Batch, key: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        """What the towers see, [N, ...], and which rows of it count, bool [N]; by modality."""
        inputs = {"video": common.merge_views(self.augment(batch, key))}
        valid = {"video": batch["valid"]}
        if "audio" in self.towers:
            valid["audio"] = batch["valid"] & batch["audio_valid"][:, 0]
            heard = jnp.where(valid["audio"][:, None], batch["audio"][:, 0], 0.0)
            inputs["audio"] = self.audio_augmentation(stream(key, "audio"), heard)
        if "text" in self.towers:
            inputs["text"] = common.merge_views(batch["text"])
            said = (batch["text"] != 0).any(axis=-1) & batch["valid"][:, None]
            valid["text"] = said.reshape(-1)
        return inputs, valid

    def after_update(self, variables: Variables, progress: Array) -> Variables:
        """Nothing moves but what the optimizer moved."""
        return variables

    def embed(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """Features of the modalities in the batch, and unit vectors in the common spaces.

        Returns:
          float32. Of clips `video` [B, V, D], `video_va` and `video_vt`; of waveforms `audio`
          [B, V, D], `audio_va` and `audio_vt`, also where `audio_valid` is False; of sentences
          `text` [B, K, D] and `text_vt`, also where there is no sentence.
        """
        whole = towers.with_shared_encoder(variables)
        views, features = {}, {}
        for modality, tower in self.towers.items():
            if modality in batch:
                x = common.merge_views(batch[modality])
                x = x.astype(jnp.float32) / 255.0 if modality == "video" else x
                views[modality] = batch[modality].shape[1]
                features[modality] = eval_part(tower, whole, f"{modality}_tower", x)
        spaces = eval_part(self.heads, variables, "heads", features)
        embedded = features | {name: l2_normalize(z) for name, z in spaces.items()}
        return {
            name: common.split_views(z, views[name.partition("_")[0]])
            for name, z in embedded.items()
        }


def create(config: ConfigDict, classes: int) -> VATT:
    """Builds the method from a config; `classes` (of the data's labels) is not used.

    Raises:
      UserError: sections do not fit, or the vocabulary is too small for the tokenizer.
    """
    del classes
    common.check_fields(config, ("temperature", "nce", "audio_weight", "text_weight"))
    built, shared = towers.create_towers(config)
    heads = models.CommonSpaces(**config.head.to_dict())
    heads.check()
    inputs = common.multimodal_inputs(config, built)
    if inputs.text:
        words = load_tokenizer(inputs.text.tokenizer, inputs.text.tokens).size
        if built["text"].vocabulary < words:
            raise UserError(
                f"config.model.text.vocabulary = {built['text'].vocabulary}, but the tokenizer "
                f"config.data.text.tokenizer has {words} words: set it to at least {words}"
            )
    method = config.method
    if method.nce not in losses.NCE_FORMS:
        near = nearest(str(method.nce), losses.NCE_FORMS)
        raise UserError(f"config.method.nce = {method.nce!r}; {near}")
    return VATT(
        inputs=inputs,
        towers=built,
        shared=shared,
        heads=heads,
        temperature=method.temperature,
        nce=method.nce,
        weights={"video_audio": method.audio_weight, "video_text": method.text_weight},
        augmentation=common.create_augmentation(config),
        audio_augmentation=common.create_audio_augmentation(config),
    )
