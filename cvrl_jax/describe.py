"""What a config would build, without building it: `--mode=describe`."""

from __future__ import annotations

from typing import Any

import jax
from ml_collections import ConfigDict

from cvrl_jax.config import validate
from cvrl_jax.layout import check_layout, rules_of
from cvrl_jax.methods import create_method
from cvrl_jax.models import count_parameters
from cvrl_jax.optim import create_optimizer
from cvrl_jax.parallel.sharding import Placement, placements
from cvrl_jax.state import state_shapes

CLASSES = 2  # of a classifier, since no data is looked at


def describe(config: ConfigDict, devices: int | None = None) -> dict[str, Any]:
    """Counts the parameters of every part of a method; allocates none of them.

    Args:
      config: the experiment.
      devices: that it is to run on; None = all there are.

    Returns:
      `config` and `method` by name; `parameters` by part and in `total`, of which `word_tables` are
      text towers' vectors of words (published counts leave them out); `statistics`, the numbers
      that are kept beside parameters, such as those of BatchNorm and of a teacher. A classifier is
      counted for two classes. `state_bytes` and, of them on each device, `state_bytes_per_device`.

    Raises:
      UserError: the config is wrong.
    """
    validate(config, devices)
    shapes = jax.eval_shape(create_method(config, CLASSES).init, jax.random.key(0))
    params, placed = shapes["params"], state_table(config, devices)
    tables = [part["words"] for part in params.values() if "words" in part]
    return {
        "config": config.name,
        "method": config.method.name,
        "parameters": {name: count_parameters(part) for name, part in params.items()}
        | {"total": count_parameters(params)},
        "word_tables": count_parameters(tables),
        "statistics": count_parameters({k: v for k, v in shapes.items() if k != "params"}),
        "state_bytes": sum(array.bytes for array in placed),
        "state_bytes_per_device": sum(array.bytes_per_device for array in placed),
    }


def state_table(
    config: ConfigDict, devices: int | None = None, classes: int = CLASSES
) -> list[Placement]:
    """Where each array of the training state lies; allocates nothing.

    Args:
      config: the experiment.
      devices: that it is to run on; None = all there are.
      classes: of a classifier.

    Raises:
      UserError: the config is wrong for as many devices.
    """
    method = create_method(config, classes)
    sizes = check_layout(config, method, jax.device_count() if devices is None else devices)
    optimizer, _ = create_optimizer(config.optimizer, config.steps, config.batch_size)
    return placements(state_shapes(method, optimizer), sizes, rules_of(config))
