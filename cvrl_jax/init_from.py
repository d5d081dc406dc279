"""Starting from another run's tower: `config.init_from`."""

from __future__ import annotations

import dataclasses
import pathlib

import jax
import numpy as np

from cvrl_jax.checkpoint import find_checkpoint, load_variables
from cvrl_jax.methods import Method, Variables
from cvrl_jax.methods.parts import part
from cvrl_jax.methods.towers import clip_tower
from cvrl_jax.state import TrainState
from data_pipelines.errors import UserError


def load_tower(init_from: str, method: Method) -> Variables:
    """The tower's variables of a checkpoint, by collection, as numpy arrays.

    Args:
      init_from: a run's folder or one of its checkpoints.
      method: whose tower they must fit.

    Raises:
      UserError: there is no checkpoint, or it holds another tower than `method` has.
    """
    checkpoint = find_checkpoint(pathlib.Path(init_from).expanduser())
    theirs = clip_tower(load_variables(checkpoint)[0])
    mine = part(jax.eval_shape(method.init, jax.random.key(0)), "tower")
    if jax.tree.map(np.shape, mine) != jax.tree.map(np.shape, theirs):
        raise UserError(
            f"config.init_from={init_from}: the tower in {checkpoint} has other parameters than "
            "config.model describes; use the model section of that run's config.json"
        )
    return theirs


def with_tower(state: TrainState, tower: Variables) -> TrainState:
    """Replaces the tower's variables; the optimizer's state is still that of a start."""
    variables = dict(state.variables)
    for collection, value in tower.items():
        here = variables[collection]
        placed = jax.tree.map(
            lambda new, old: jax.device_put(new, old.sharding), value, here["tower"]
        )
        variables[collection] = here | {"tower": placed}
    return dataclasses.replace(state, variables=variables)
