"""What a config would build, without building it: `--mode=describe`."""

from __future__ import annotations

from typing import Any

import jax
from ml_collections import ConfigDict

from cvrl_jax.config import validate
from cvrl_jax.methods import create_method
from cvrl_jax.models import count_parameters

CLASSES = 2  # of a classifier, since no data is looked at


def describe(config: ConfigDict) -> dict[str, Any]:
    """Counts the parameters of every part of a method; allocates none of them.

    Args:
      config: the experiment.

    Returns:
      `config` and `method` by name; `parameters` by part and in `total`, of which `word_tables` are
      text towers' vectors of words (published counts leave them out); `statistics`, the numbers
      that are kept beside parameters, such as those of BatchNorm and of a teacher. A classifier is
      counted for two classes.

    Raises:
      UserError: the config is wrong.
    """
    validate(config)
    shapes = jax.eval_shape(create_method(config, CLASSES).init, jax.random.key(0))
    params = shapes["params"]
    tables = [part["words"] for part in params.values() if "words" in part]
    return {
        "config": config.name,
        "method": config.method.name,
        "parameters": {name: count_parameters(part) for name, part in params.items()}
        | {"total": count_parameters(params)},
        "word_tables": count_parameters(tables),
        "statistics": count_parameters({k: v for k, v in shapes.items() if k != "params"}),
    }
