"""WHAT is learned: one file per method. A new file here is a new `config.method.name`."""

from __future__ import annotations

import importlib
import pkgutil

from ml_collections import ConfigDict

from cvrl_jax.methods.base import Aux, Batch, Method, Variables
from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest

_SHARED = ("base", "common", "parts", "towers")  # what methods are made of

__all__ = ["Aux", "Batch", "Method", "Variables", "create_method", "method_names"]


def method_names() -> list[str]:
    """The methods there are: the modules of this package that define one."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _SHARED)


def create_method(config: ConfigDict, classes: int = 0) -> Method:
    """Builds the method `config.method.name`.

    Args:
      config: the whole experiment.
      classes: number of label classes of the data, 0 = unlabelled.

    Raises:
      UserError: unknown method, or fields that do not fit it.
    """
    name = config.method.name
    if name not in method_names():
        raise UserError(f"unknown config.method.name {name!r}; {nearest(name, method_names())}")
    return importlib.import_module(f"{__name__}.{name}").create(config, classes)
