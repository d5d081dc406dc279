"""VATT: video, audio and text of one moment meet in common spaces; other moments repel.

Akbari et al., "VATT: Transformers for Multimodal Self-Supervised Learning from Raw Video, Audio and
Text", NeurIPS 2021, arXiv 2104.11178.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from cvrl_jax import losses, models
from cvrl_jax.augment import AudioAugmentation, Augmentation
from cvrl_jax.losses.numerics import l2_normalize
from cvrl_jax.methods import common
from cvrl_jax.methods.base import Array, Aux, Batch, Variables
from cvrl_jax.methods.parts import combine, eval_part, init_part, stream, train_part
from data_pipelines.spec import InputSpec

# Of the common spaces, which two modalities meet: name -> (space of the first, of the second).
PAIRS = {"video_audio": ("video_va", "audio_va"), "video_text": ("video_vt", "text_vt")}


@dataclasses.dataclass(frozen=True)
class VATT:
    """NCE between video and audio, MIL-NCE between video and the sentences near it.

    Each tower is a part `<modality>_tower`, the common spaces are the part `heads`. Where towers
    share their transformer ("modality-agnostic"), it is a part `encoder`, kept once.

    Attributes:
      inputs: one clip, its waveform and its sentences.
      towers: by modality: `video`, and `audio` or `text` or both.
      heads: features of modalities -> places in the common spaces.
      shared: whether all towers have one transformer.
      temperature: of the softmax over candidates.
      nce: 'paper' or 'released', see `losses.mil_nce`.
      weights: of the two losses, by name of the pair.
      augmentation: what happens to the clips on the device.
      audio_augmentation: what happens to the waveforms on the device.
    """

    inputs: InputSpec
    towers: dict[str, Any]
    heads: nn.Module
    shared: bool
    temperature: float
    nce: Any
    weights: dict[str, float]
    augmentation: Augmentation
    audio_augmentation: AudioAugmentation

    def init(self, key: Array) -> Variables:
        """See Method.init."""
        parts, features = {}, {}
        for modality, x in self._empty_inputs().items():
            name = f"{modality}_tower"
            variables, features[modality] = init_part(self.towers[modality], stream(key, name), x)
            if self.shared:
                params = dict(variables["params"])
                parts["encoder"] = {"params": params.pop("encoder")}
                variables = {"params": params}
            parts[name] = variables
        parts["heads"], _ = init_part(self.heads, stream(key, "heads"), features)
        return combine(**parts)

    def _empty_inputs(self) -> dict[str, Array]:
        """One example of each modality there is a tower for."""
        spec = self.inputs
        inputs = {"video": jnp.zeros((1, spec.frames, spec.size, spec.size, 3))}
        if spec.audio:
            inputs["audio"] = jnp.zeros((1, spec.audio.samples))
        if spec.text:
            inputs["text"] = jnp.zeros((1, spec.text.tokens), jnp.int32)
        return inputs

    def augment(self, batch: Batch, key: Array) -> Array:
        """See Method.augment."""
        return self.augmentation(key, batch["video"])

    def loss(self, variables: Variables, batch: Batch, key: Array) -> tuple[Array, Aux]:
        """The weighted sum of both losses over the global batch; see Method.loss.

        An example without sound or without text counts in the other loss alone.
        """
        inputs = {"video": common.merge_views(self.augment(batch, key))}
        valid = {"video": batch["valid"]}
        if "audio" in self.towers:
            valid["audio"] = batch["valid"] & batch["audio_valid"][:, 0]
            wave = jnp.where(valid["audio"][:, None], batch["audio"][:, 0], 0.0)
            inputs["audio"] = self.audio_augmentation(stream(key, "audio"), wave)
        if "text" in self.towers:
            inputs["text"] = common.merge_views(batch["text"])
            said = (batch["text"] != 0).any(axis=-1) & batch["valid"][:, None]
            valid["text"] = said.reshape(-1)
        features = {
            modality: train_part(
                self.towers[modality],
                self._whole(variables),
                f"{modality}_tower",
                x,
                valid[modality],
                key,
            )[0]
            for modality, x in inputs.items()
        }
        spaces, state = train_part(self.heads, variables, "heads", features, valid, key)
        total, metrics = jnp.float32(0.0), {}
        for pair, (x, y) in PAIRS.items():
            other = pair.removeprefix("video_")
            if other not in inputs:
                continue
            candidates = spaces[y].reshape(batch["valid"].size, -1, spaces[y].shape[-1])
            there = valid["video"], valid[other].reshape(candidates.shape[:2])
            loss = losses.mil_nce(spaces[x], candidates, self.temperature, *there, self.nce)
            total += self.weights[pair] * loss
            metrics[f"{pair}_loss"] = loss
            metrics[f"{pair}_accuracy"] = losses.matching_accuracy(spaces[x], candidates, *there)
        return total, Aux(metrics, combine(heads=state), features["video"][:, None])

    def _whole(self, variables: Variables) -> Variables:
        """The variables with the shared transformer, if any, in its place in every tower."""
        if not self.shared:
            return variables
        params = variables["params"]
        towers = {
            name: params[name] | {"encoder": params["encoder"]}
            for name in (f"{modality}_tower" for modality in self.towers)
        }
        return variables | {"params": params | towers}

    def after_update(self, variables: Variables, step: Array) -> Variables:
        """Nothing moves but what the optimizer moved."""
        return variables

    def embed(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """Tower features, and unit vectors in the common spaces, of the modalities in the batch.

        Returns:
          float32: of `video` in the batch `video` [B, V, D], `video_va` and `video_vt`; of `audio`
          likewise, with zeros where there is no sound for a network to hear, see `audio_valid`; of
          `text` `text` [B, K, D] and `text_vt`.
        """
        variables = self._whole(variables)
        views, features = {}, {}
        for modality, tower in self.towers.items():
            if modality not in batch:
                continue
            x = common.merge_views(batch[modality])
            x = x.astype(jnp.float32) / 255.0 if modality == "video" else x
            views[modality] = batch[modality].shape[1]
            features[modality] = eval_part(tower, variables, f"{modality}_tower", x)
        spaces = eval_part(self.heads, variables, "heads", features)
        found = features | {name: l2_normalize(z) for name, z in spaces.items()}
        return {
            name: common.split_views(z, views[name.partition("_")[0]]) for name, z in found.items()
        }


def create(config: ConfigDict, classes: int) -> VATT:
    """Builds the method from a config; `classes` (of the data's labels) is not used."""
    del classes
    common.check_fields(config, ("temperature", "nce", "audio_weight", "text_weight"))
    sections = config.model.to_dict()
    shared = sections.pop("shared")
    towers = {}
    for modality, fields in sections.items():
        towers[modality] = models.create_model(fields.pop("name"), **fields)
    heads = models.CommonSpaces(**config.head.to_dict())
    heads.check()
    return VATT(
        inputs=common.multimodal_inputs(config, towers),
        towers=towers,
        heads=heads,
        shared=shared,
        temperature=config.method.temperature,
        nce=config.method.nce,
        weights={
            "video_audio": config.method.audio_weight,
            "video_text": config.method.text_weight,
        },
        augmentation=common.create_augmentation(config),
        audio_augmentation=AudioAugmentation(
            config.augment.audio_noise, config.augment.audio_mixup
        ),
    )
