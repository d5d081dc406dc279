"""The config of a finished or running run, to evaluate or embed with some of its fields changed.

Command:   python main.py --mode=eval --config=configs/of_run.py:runs/cvrl \
             --checkpoint=runs/cvrl --workdir=runs/cvrl_eval --config.eval.clips=10
"""

import pathlib

from ml_collections import ConfigDict

from cvrl_jax.config import from_plain
from cvrl_jax.workdir import Workdir
from data_pipelines.errors import UserError


def get_config(workdir: str = "") -> ConfigDict:
    """Returns the config saved in `workdir`."""
    folder = Workdir(pathlib.Path(workdir))
    if not workdir or not folder.config.exists():
        raise UserError(f"no run at {workdir!r}; write --config=configs/of_run.py:WORKDIR")
    return from_plain(folder.read_config())
