"""Starting from another run's tower: `config.init_from`."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from cvrl_jax.checkpoint import find_checkpoint, load_variables
from cvrl_jax.methods import Method, Variables
from cvrl_jax.methods.parts import part
from cvrl_jax.methods.towers import clip_tower
from cvrl_jax.models.positions import resize_matrix
from cvrl_jax.state import TrainState
from data_pipelines.errors import UserError


def load_tower(init_from: str, method: Method, position_resize: str = "cubic") -> Variables:
    """The video tower's variables of a checkpoint, by collection, as numpy arrays.

    Position tables of another size are fitted to the method's, see `resize_matrix`.

    Args:
      init_from: a run's folder or one of its checkpoints.
      method: whose tower they must fit.
      position_resize: how position tables are fitted, 'cubic' or 'spline'.

    Raises:
      UserError: there is no checkpoint, or it holds another tower than `method` has.
    """
    checkpoint = find_checkpoint(pathlib.Path(init_from).expanduser())
    variables = load_variables(checkpoint)[0]
    theirs = clip_tower(variables)
    mine = part(jax.eval_shape(method.init, jax.random.key(0)), "tower")
    if not mine:
        raise UserError(
            f"config.init_from={init_from}: method {type(method).__name__} has several towers and "
            "cannot start from another run's; leave it out"
        )
    theirs = _fit_positions(theirs, mine, position_resize)
    if jax.tree.map(np.shape, mine) != jax.tree.map(np.shape, theirs):
        section = "model" if "tower" in variables["params"] else "model.video"
        raise UserError(
            f"config.init_from={init_from}: the tower in {checkpoint} has other parameters than "
            f"config.model describes; use the {section} section of that run's config.json"
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


def _fit_positions(theirs: Variables, mine: Variables, how: str) -> Variables:
    """Resizes those position tables that differ from `mine` in their number of rows alone."""
    tables = theirs["params"].get("positions", {})
    wanted = mine["params"].get("positions", {})

    def fitted(name: str, table: Any) -> Any:
        shape = np.shape(wanted.get(name))
        if table.ndim != 2 or len(shape) != 2 or shape[0] == len(table):
            return table
        return resize_matrix(len(table), shape[0], how) @ table

    if not tables:
        return theirs
    resized = {
        name: fitted(name, table) if name.startswith("axis") else table
        for name, table in tables.items()
    }
    return theirs | {"params": theirs["params"] | {"positions": resized}}
