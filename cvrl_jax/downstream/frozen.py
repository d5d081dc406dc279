"""A checkpoint as a frozen network."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Iterable

import jax
from ml_collections import ConfigDict

from cvrl_jax.checkpoint import find_checkpoint, load_variables
from cvrl_jax.config import from_plain, validate_evaluation
from cvrl_jax.downstream.overlay import complete, on_run
from cvrl_jax.evaluation.features import Network
from cvrl_jax.methods import Method, Variables, create_method
from cvrl_jax.network import make_network
from cvrl_jax.parallel.mesh import make_mesh, replicated
from data_pipelines.errors import UserError
from data_pipelines.video import VideoInfo

log = logging.getLogger(__name__)


def config_of(checkpoint: pathlib.Path) -> ConfigDict:
    """The config that a checkpoint was trained with.

    Raises:
      UserError: no checkpoint there.
    """
    return from_plain(load_variables(find_checkpoint(checkpoint))[1]["config"])


@dataclasses.dataclass(frozen=True)
class Opened:
    """A checkpoint, ready to be judged or used.

    Attributes:
      config: what was asked for, with the checkpoint's own model, head and method in it.
      path: the checkpoint.
      network: on the devices.
      method: it is a network of.
      variables: of the method, on the devices.
      classes: names that the run had, by label.
    """

    config: ConfigDict
    path: pathlib.Path
    network: Network
    method: Method
    variables: Variables
    classes: list[str]

    @property
    def step(self) -> int:
        """Updates that the network has had."""
        return int(self.path.name)


def open_checkpoint(asked: ConfigDict | None, checkpoint: pathlib.Path) -> Opened:
    """Opens the newest checkpoint of a run, or the one that is named.

    Args:
      asked: data and evaluation, see `overlay.on_run`; None = as in the run.
      checkpoint: a run's folder, or one of its checkpoints.

    Raises:
      UserError: there is none, it is damaged or of another network than `asked`, or a field is
        wrong.
    """
    path = find_checkpoint(checkpoint)
    variables, host = load_variables(path)
    if not host.get("config") or "classes" not in host:
        raise UserError(f"checkpoint {path} is not one of a training run; give one that is")
    run = from_plain(host["config"])
    config = complete(run) if asked is None else on_run(run, asked, path)
    classes = host["classes"]
    method = create_method(config, classes=len(classes))
    validate_evaluation(config, method.inputs)
    mesh = make_mesh()
    network = make_network(method, mesh, config.eval.batch_size)
    variables = jax.device_put(variables, replicated(mesh))  # once, not for every batch
    return Opened(config, path, network(variables), method, variables, classes)


def listed(left_out: Iterable[tuple[VideoInfo, str]]) -> list[dict[str, str]]:
    """For the result; each is logged as well."""
    entries = [{"path": info.path or info.id, "reason": reason} for info, reason in left_out]
    for entry in entries:
        log.warning("left out, cannot be read: %s: %s", entry["path"], entry["reason"])
    return entries
