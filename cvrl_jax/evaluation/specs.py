"""Which views of a video an evaluation looks at."""

from __future__ import annotations

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from cvrl_jax.evaluation.features import Embed
from data_pipelines.spec import InputSpec

TRAIN_VIEWS = ("even", "random")


def evaluation_spec(config: ConfigDict, clips: int, crops: int, inputs: InputSpec) -> InputSpec:
    """Evenly spaced clips, centre or three crops, at the evaluation's size.

    Sound and sentences are those of `inputs`, what the method wants delivered.
    """
    data, evaluation = config.data, config.eval
    return InputSpec(
        clips=clips,
        frames=evaluation.frames or data.frames,
        stride=data.stride,
        stride_unit=data.stride_unit,
        size=evaluation.size or data.size,
        sampling="even",
        crop="thirds" if crops == 3 else "center",
        audio=inputs.audio,
        text=inputs.text,
    )


def training_spec(config: ConfigDict, inputs: InputSpec) -> InputSpec:
    """The views of a training video on which classifiers are trained.

    'even': evenly spaced clips, each its central crop, at the evaluation's size. 'random': as CVRL
    trains its linear classifier, random clips and resized crops of data.size pixels (and a flip,
    see `mirrored`).
    """
    spec = evaluation_spec(config, config.eval.train_clips, 1, inputs)
    if config.eval.train_views == "even":
        return spec
    data = config.data
    return dataclasses.replace(
        spec,
        sampling="random",
        crop="random",
        size=data.size,
        area=tuple(data.crop_area),
        aspect=tuple(data.crop_aspect),
    )


def mirrored(embed: Embed) -> Embed:
    """`embed` with half of the views flipped left to right.

    Which ones is a function of the video's index and of the view.
    """

    def flipped(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        video = batch["video"].copy()
        for row, index in enumerate(batch["index"].tolist()):
            views = np.random.default_rng((1, max(index, 0))).random(video.shape[1]) < 0.5
            video[row, views] = video[row, views][..., ::-1, :]
        return embed(batch | {"video": video})

    return flipped
