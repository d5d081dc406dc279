"""Checks a config once, up front, before anything is allocated."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict, config_dict

from cvrl_jax import augment
from cvrl_jax.evaluation.suite import PROTOCOLS, evaluation_spec
from cvrl_jax.methods import create_method
from cvrl_jax.optim import create_optimizer
from cvrl_jax.parallel.mesh import check_divisible
from data_pipelines.errors import UserError
from data_pipelines.sources import SOURCES
from data_pipelines.suggest import nearest

_AT_LEAST_ONE = (
    "batch_size",
    "steps",
    "data.frames",
    "data.size",
    "data.max_pixels",
    "data.max_frames",
    "eval.clips",
    "eval.train_clips",
    "eval.batch_size",
    "eval.knn_k",
    "eval.temporal_stride",
    "eval.linear.epochs",
    "eval.linear.batch_size",
    "eval.attentive.epochs",
    "eval.attentive.batch_size",
    "eval.attentive.heads",
    "checkpoint.every",
    "checkpoint.keep",
    "log.every",
    "head.hidden",
    "head.out",
    "data.audio.rate",
    "data.audio.samples",
    "data.text.sentences",
    "data.text.tokens",
)
_POSITIVE = (
    "data.fps",
    "data.max_hours",
    "data.max_seconds",
    "eval.knn_temperature",
    "eval.linear.learning_rate",
    "eval.attentive.learning_rate",
    "optimizer.base_learning_rate",
)
_FRACTION = (
    "data.eval_fraction",
    "data.max_bad_fraction",
    "data.max_missing_fraction",
    "data.caption_noise",
)
_NOT_NEGATIVE = (
    "data.train_videos",
    "data.test_videos",
    "data.power",
    "data.sound_noise",
    "data.misalignment",
    "augment.strength",
    "augment.audio_noise",
    "method.audio_weight",
    "method.text_weight",
    "eval.every",
    "eval.retrieval_ways",
    "eval.attentive.weight_decay",
    "eval.frames",
    "eval.size",
    "head.layers",
    "optimizer.warmup_steps",
    "optimizer.weight_decay",
)
_ONE_OF = {
    "data.source": SOURCES,
    "data.stride_unit": ("frames", "seconds"),
    "data.last_batch": ("drop", "pad"),
    "data.sampling": ("decreasing", "uniform", "increasing", "same"),
    "eval.crops": (1, 3),
    "data.list_split": (1, 2, 3),
}


def validate(config: ConfigDict) -> None:
    """Raises a UserError naming the field, its value and the nearest right one.

    Builds method, optimizer and specs from the config, none of which allocates an array.
    """
    for field, value in _given(config, _AT_LEAST_ONE):
        _check(field, value, value >= 1, "must be at least 1")
    for field, value in _given(config, _NOT_NEGATIVE):
        _check(field, value, value >= 0, "must not be negative")
    for field, choices in _ONE_OF.items():
        value = get(config, field)
        _check(field, value, value in choices, nearest(str(value), map(str, choices)))
    for protocol in config.eval.protocols:
        _check("eval.protocols", protocol, protocol in PROTOCOLS, nearest(protocol, PROTOCOLS))
    data = config.data
    if data.workers is not None:
        _check("data.workers", data.workers, data.workers >= 0, "must not be negative")
    _check("data.stride", data.stride, data.stride > 0, "must be above 0")
    if data.stride_unit == "frames":
        _check(
            "data.stride",
            data.stride,
            float(data.stride).is_integer(),
            "must be a whole number of frames, or set --config.data.stride_unit=seconds",
        )
    for field in _POSITIVE:
        _check_positive(field, get(config, field))
    if config.optimizer.learning_rate is not None:
        rate = config.optimizer.learning_rate
        right = math.isfinite(rate) and rate >= 0
        _check("optimizer.learning_rate", rate, right, "must be finite and not negative")
    if "temperature" in config.method:
        _check_positive("method.temperature", config.method.temperature)
    for field in ("momentum", "betas"):
        value = config.optimizer[field]
        inside = all(0 <= v < 1 for v in (value if field == "betas" else (value,)))
        _check(f"optimizer.{field}", value, inside, "must lie in [0, 1)")
    for field in _FRACTION:
        _check(field, get(config, field), 0 <= get(config, field) <= 1, "must lie in [0, 1]")
    for field in ("data.crop_area", "data.crop_aspect"):
        value = get(config, field)
        in_order = len(value) == 2 and 0 < value[0] <= value[1]
        _check(field, value, in_order, "must be (low, high) with 0 < low <= high")
    _check("data.crop_area", data.crop_area, data.crop_area[1] <= 1, "must end at 1 or below")
    check_divisible(config.batch_size, "config.batch_size")
    check_divisible(config.eval.batch_size, "config.eval.batch_size")
    augment.views(config.augment.recipe)
    create_optimizer(config.optimizer, config.steps, config.batch_size)
    inputs = create_method(config, classes=2).inputs
    if "retrieval" in config.eval.protocols and not (inputs.audio or inputs.text):
        raise UserError(
            "config.eval.protocols has 'retrieval', but method "
            f"{config.method.name!r} knows no sound and no text; leave it out"
        )
    evaluation_spec(config, config.eval.clips, config.eval.crops, inputs)


def _given(config: ConfigDict, fields: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Those of the dotted fields that the config has; some belong to certain methods alone."""
    for field in fields:
        with contextlib.suppress(KeyError):
            yield field, get(config, field)


def get(config: ConfigDict, field: str) -> Any:
    """Returns the value of a dotted field name."""
    value: Any = config
    for name in field.split("."):
        value = value[name]
    return value


def plain(config: ConfigDict) -> dict[str, Any]:
    """The config as it reads back from JSON: nested dicts of plain values, tuples as lists."""
    return json.loads(config.to_json_best_effort())


def from_plain(values: dict[str, Any]) -> ConfigDict:
    """The inverse of `plain`: a config whose fields can be set on the command line again."""

    def restored(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: restored(item) for name, item in value.items()}
        if isinstance(value, list):
            return tuple(restored(item) for item in value)
        return config_dict.placeholder(float) if value is None else value

    return ConfigDict(restored(values))


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Lists the fields in which two plain configs differ, as "field: old -> new"."""
    found = []
    for name in sorted(old.keys() | new.keys()):
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{prefix}{name}.")
        elif a != b:
            found.append(f"{prefix}{name}: {a!r} -> {b!r}")
    return found


def _check_positive(field: str, value: float) -> None:
    _check(field, value, math.isfinite(value) and value > 0, "must be above 0 and finite")


def _check(field: str, value: Any, right: bool, advice: str) -> None:
    if not right:
        raise UserError(f"config.{field} = {value!r}: {advice}")
