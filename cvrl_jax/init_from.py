"""Starting from weights that are there already: `config.init_from`."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from cvrl_jax.export.foreign import read_tower, split
from cvrl_jax.export.names import as_tree, by_name, check_same
from cvrl_jax.loading import open_tower
from cvrl_jax.methods import Method, Variables
from cvrl_jax.methods.parts import part
from cvrl_jax.models import create_model
from cvrl_jax.models.positions import resized
from cvrl_jax.state import TrainState
from data_pipelines.errors import UserError
from data_pipelines.spec import InputSpec


def load_tower(init_from: str, method: Method, model: dict[str, Any]) -> Variables:
    """The video tower's variables, by collection, as numpy arrays.

    Position tables of another size are fitted to the method's, see `models.positions.resized`.

    Args:
      init_from: what `cvrl_jax.load` opens (a run, a checkpoint, an export), or LIBRARY:FILE, see
        `export.foreign`.
      method: whose tower they must fit.
      model: the fields of `config.model`; its `position_resize` says how positions are fitted.

    Raises:
      UserError: there is nothing, or another tower than `method` has.
    """
    mine = part(jax.eval_shape(method.init, jax.random.key(0)), "tower")
    if not mine:
        raise UserError(
            f"config.init_from={init_from}: method {type(method).__name__} has several towers and "
            "cannot start from another run's; leave it out"
        )
    library, file = split(init_from)
    if library:
        return as_tree(read_tower(library, file, by_name(mine), model))
    description, theirs = open_tower(init_from)
    _check_grid(method.inputs, theirs, mine, model)
    section = "model" if "name" in description.origin["config"]["model"] else "model.video"
    theirs = _fit_positions(theirs, mine, description.model, model)
    check_same(
        f"config.init_from={init_from}: the tower there, {description.title}, has other parameters "
        f"than {model['name']!r} of config.model",
        by_name(mine),
        by_name(theirs),
        f"use the {section} section of that run's config.json",
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


def _check_grid(
    inputs: InputSpec, theirs: Variables, mine: Variables, model: dict[str, Any]
) -> None:
    """Fitted once to a grid that is not the clips', tables would be fitted a second time in use."""
    there, here = (_rows(variables["params"].get("positions", {})) for variables in (theirs, mine))
    patch = getattr(create_model(**model), "patch", ())
    clip = inputs.frames, inputs.size, inputs.size
    if not there or len(here) != len(clip) or len(patch) != len(clip):
        return
    tokens = tuple(n // p for n, p in zip(clip, patch))
    if here not in (there, tokens):
        raise UserError(
            f"config.model.grid={here}: clips of config.data have {tokens} tokens, and the tower "
            f'of config.init_from has tables of {there}; set --config.model.grid="{tokens}", so '
            "that they are fitted once"
        )


def _rows(tables: Any) -> tuple[int, ...]:
    """Rows of the table of each axis, () where they are not kept by axis."""
    return tuple(np.shape(tables[name])[0] for name in sorted(tables) if name.startswith("axis"))


def _fit_positions(
    theirs: Variables, mine: Variables, their_model: dict[str, Any], model: dict[str, Any]
) -> Variables:
    """Resizes those position tables that differ from `mine` in their number of rows alone."""
    tables = theirs["params"].get("positions", {})
    wanted = mine["params"].get("positions", {})
    how = model.get("position_resize", "cubic")

    def fitted(name: str, table: Any) -> Any:
        shape = np.shape(wanted.get(name))
        if table.ndim != 2 or len(shape) != 2 or shape[0] == len(table):
            return table
        if name.startswith("axis"):
            return np.asarray(resized(table, (len(table),), (shape[0],), how))
        there, here = (create_model(**fields).grid for fields in (their_model, model))
        return np.asarray(resized(table, there, here, how))

    if not tables:
        return theirs
    fitting = {name: fitted(name, table) for name, table in tables.items()}
    return theirs | {"params": theirs["params"] | {"positions": fitting}}
