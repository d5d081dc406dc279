"""An evaluation on a standard dataset: what ucf101.py and its like have in common.

Command:  not an evaluation of its own; see ucf101.py
"""

import importlib
import pathlib

from ml_collections import ConfigDict

from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest

_DATA = ("ucf101", "hmdb51", "kinetics", "jhmdb", "esc50")
_NOT_RECIPES = ("__init__", "base", "on_data", *_DATA)


def recipe_on(source: str, recipe: str, field: str = "", over: tuple = ()) -> ConfigDict:
    """Returns an evaluation on another source of videos than the run's.

    Args:
      source: as `data.source`.
      recipe: the name of an evaluation of this folder, and perhaps a colon and its preset.
      field: takes each of `over` in turn, see `eval.repeat`.
      over: see there.

    Raises:
      UserError: there is no such evaluation.
    """
    name, _, preset = recipe.partition(":")
    known = sorted(p.stem for p in pathlib.Path(__file__).parent.glob("*.py"))
    known = [stem for stem in known if stem not in _NOT_RECIPES]
    if name not in known:
        raise UserError(f"unknown recipe ':{name}' of config eval/{source}; {nearest(name, known)}")
    config = importlib.import_module(f"configs.eval.{name}").get_config(preset)
    config.name = f"{source}:{config.name}"
    config.data.source = source
    config.eval.repeat.update(field=field, over=over)
    return config
