"""Checks a config once, up front, before anything is allocated."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from typing import Any

import jax
from ml_collections import ConfigDict, config_dict

from cvrl_jax import augment
from cvrl_jax import config_ranges as ranges
from cvrl_jax.evaluation.protocols import ON_CHECKPOINTS, PROTOCOLS
from cvrl_jax.evaluation.specs import evaluation_spec, training_spec
from cvrl_jax.layout import check_layout
from cvrl_jax.methods import create_method
from cvrl_jax.optim import create_optimizer
from data_pipelines.errors import UserError
from data_pipelines.spec import InputSpec
from data_pipelines.suggest import nearest


def validate(config: ConfigDict, devices: int | None = None) -> None:
    """Raises a UserError naming the field, its value and the nearest right one.

    Builds method, optimizer and specs from the config, none of which allocates an array.

    Args:
      config: the experiment.
      devices: how many it is to run on; None = all there are.
    """
    _check_ranges(config)
    _check_data(config)
    rate = config.optimizer.learning_rate
    if rate is not None:
        right = math.isfinite(rate) and rate >= 0
        _check("optimizer.learning_rate", rate, right, "must be finite and not negative")
    if "temperature" in config.method:
        _check_positive("method.temperature", config.method.temperature)
    for field in ("momentum", "betas"):
        value = config.optimizer[field]
        inside = all(0 <= v < 1 for v in (value if field == "betas" else (value,)))
        _check(f"optimizer.{field}", value, inside, "must lie in [0, 1)")
    decay = config.optimizer.layer_decay
    _check("optimizer.layer_decay", decay, 0 < decay <= 1, "must lie in (0, 1]")
    augment.views(config.augment.recipe)
    create_optimizer(config.optimizer, config.steps, config.batch_size)
    method = create_method(config, classes=2)
    check_layout(config, method, jax.device_count() if devices is None else devices)
    for protocol in config.eval.protocols:
        if protocol in ON_CHECKPOINTS:
            raise UserError(
                f"config.eval.protocols has {protocol!r}, which starts from a finished run: use "
                "--mode=eval --workdir=RUN"
            )
    _check_protocols(config, method.inputs)


def validate_evaluation(config: ConfigDict, inputs: InputSpec) -> None:
    """As `validate`, for a finished run: looks at the sections `data` and `eval` alone.

    What training asked of its machine (a batch that its devices divide) need not hold here.

    Args:
      config: the run's, with what is asked of the evaluation.
      inputs: what the run's method wants delivered.
    """
    _check_ranges(config, ("data.", "eval."))
    _check_data(config)
    _check_protocols(config, inputs)


def _check_ranges(config: ConfigDict, sections: tuple[str, ...] = ("",)) -> None:
    """Checks all fields whose names begin so."""
    for field, value in _given(config, ranges.AT_LEAST_ONE, sections):
        _check(field, value, value >= 1, "must be at least 1")
    for field, value in _given(config, ranges.NOT_NEGATIVE, sections):
        _check(field, value, value >= 0, "must not be negative")
    for field, value in _given(config, ranges.POSITIVE, sections):
        _check_positive(field, value)
    for field, value in _given(config, ranges.FRACTION, sections):
        _check(field, value, 0 <= value <= 1, "must lie in [0, 1]")
    for field, value in _given(config, tuple(ranges.ONE_OF), sections):
        choices = ranges.ONE_OF[field]
        _check(field, value, value in choices, nearest(str(value), map(str, choices)))


def _check_protocols(config: ConfigDict, inputs: InputSpec) -> None:
    known = (*PROTOCOLS, *ON_CHECKPOINTS)
    for name in config.eval.protocols:
        _check("eval.protocols", name, name in known, nearest(name, known))
        if (
            name in PROTOCOLS
            and PROTOCOLS[name].needs_several
            and not (inputs.audio or inputs.text)
        ):
            raise UserError(
                f"config.eval.protocols has {name!r}, but method {config.method.name!r} knows no "
                "sound and no text; leave it out"
            )
    settings = config.eval
    for field, value in (
        ("few_shot.shots", settings.few_shot.shots),
        ("semi_supervised.shares", settings.semi_supervised.shares),
        ("linear.l2", settings.linear.l2),
    ):
        most = 1 if field.endswith("shares") else math.inf
        right = len(value) > 0 and all(0 < v <= most for v in value)
        _check(f"eval.{field}", value, right, "must be one number above 0, or several")
    evaluation_spec(config, settings.clips, settings.crops, inputs)
    training_spec(config, inputs)


def _check_data(config: ConfigDict) -> None:
    data = config.data
    share = data.train_share
    _check("data.train_share", share, 0 < share <= 1, "must lie in (0, 1]")
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
    for field in ("data.crop_area", "data.crop_aspect"):
        value = get(config, field)
        in_order = len(value) == 2 and 0 < value[0] <= value[1]
        _check(field, value, in_order, "must be (low, high) with 0 < low <= high")
    _check("data.crop_area", data.crop_area, data.crop_area[1] <= 1, "must end at 1 or below")


def _given(
    config: ConfigDict, fields: tuple[str, ...], sections: tuple[str, ...]
) -> Iterator[tuple[str, Any]]:
    """Those of the dotted fields that the config has; some belong to certain methods alone."""
    for field in fields:
        if field.startswith(sections):
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
