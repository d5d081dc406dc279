"""One process of four, or of two: COORDINATOR PROCESSES PROCESS FOLDER DEVICES.

What processes say to each other; and four train together for a few steps.
"""

from __future__ import annotations

import json
import pathlib
import sys

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from cvrl_jax.checkpoint import Checkpoints
from cvrl_jax.losses.info_nce import info_nce
from cvrl_jax.parallel import hosts
from cvrl_jax.parallel.mesh import in_mesh, local_rows, make_mesh, put_batch, share
from cvrl_jax.parallel.rules import create_rules
from cvrl_jax.parallel.sharding import state_shardings
from cvrl_jax.train import train
from data_pipelines.errors import UserError
from tests.conftest import tiny_config  # it asks for eight devices
from tests.processes.training import without_report

BATCH = 16


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Two views of a batch, the same in every process."""
    z = np.random.default_rng(0).standard_normal((2, BATCH, 8)).astype(np.float32)
    return tuple(z / np.linalg.norm(z, axis=-1, keepdims=True))


def value_and_gradient(mesh, index: int, parts: int, way: str) -> tuple[float, np.ndarray]:
    """Of the loss over the global batch, of which this process puts its share of the rows."""
    rows = slice(index * BATCH // parts, (index + 1) * BATCH // parts)
    put = put_batch({f"z{k}": z[rows] for k, z in enumerate(pairs())}, mesh)

    @jax.jit
    @in_mesh(mesh)
    def compute(batch):
        return jax.value_and_grad(lambda z: info_nce(z, batch["z1"], way=way))(batch["z0"])

    value, gradient = compute(put)
    return float(value), local_rows(gradient)


def whole_state(rows: int) -> dict[str, np.ndarray]:
    return {"kernel": np.arange(rows * 4, dtype=np.float32).reshape(rows, 4), "step": np.array(3)}


def abstract(mesh, preset: str):
    shapes = jax.eval_shape(lambda: whole_state(1 << 15))  # 512 KB: large enough to be split
    shardings = state_shardings(shapes, mesh, create_rules(preset))
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        shapes,
        shardings,
    )


def main() -> None:
    coordinator, processes, process, folder, devices = sys.argv[1:]
    flags.FLAGS.mark_as_parsed()
    jax.config.update("jax_num_cpu_devices", int(devices))
    folder = pathlib.Path(folder)
    with hosts.joined(coordinator, int(processes), int(process)):
        mesh = make_mesh()
        said = {"devices": jax.device_count(), "share": share(mesh), "first": hosts.is_first()}
        # Rows that two processes hold together, since `model` lies across them.
        sizes = {"replica": 1, "data": -1, "model": 2 * int(devices)}
        said["shared"] = share(make_mesh(sizes))
        checkpoints = Checkpoints(folder / "checkpoints")
        if not checkpoints.steps:
            wanted = abstract(mesh, "fsdp")
            state = jax.tree.map(
                lambda leaf, like: jax.make_array_from_callback(
                    like.shape, like.sharding, lambda part: leaf[part]
                ),
                whole_state(1 << 15),
                wanted,
            )
            said["held"] = state["kernel"].addressable_shards[0].data.shape[0]
            checkpoints.save(3, state, {"data": {"next_example": 24}}, {})
            checkpoints.wait()
        _, restored, host = checkpoints.restore(abstract(mesh, "data_parallel"))
        whole = whole_state(1 << 15)["kernel"]
        said["restored"] = bool((np.asarray(restored["kernel"]) == whole).all())
        said["next"] = host["data"]["next_example"]
        checkpoints.close()
        said["heard"] = hosts.gather({"of": int(process), "much": "x" * int(process)})
        rows = np.full((2, 3), int(process), np.int64), np.array([True, False])
        gathered = hosts.gather_rows({"a": rows[0], "b": rows[1]})
        said["rows"] = [gathered["a"][:, 0].tolist(), gathered["b"].tolist()]
        for way in ("gathered", "ring"):
            value, gradient = value_and_gradient(mesh, *said["share"], way)
            said[way] = [value, gradient.tolist()]
        try:
            hosts.on_first(refuse)
        except UserError as error:
            said["refused"] = str(error)
        if int(processes) == 4:
            without_report()
            said["result"] = train(few_steps(), folder / "four")
        (folder / f"said_{processes}_{process}.json").write_text(json.dumps(said))


def few_steps() -> ConfigDict:
    """A run of three steps that measures nothing: all it costs is to compile a small step."""
    return tiny_config(
        "cvrl_vit",
        steps=3,
        augment__recipe="none",
        eval__protocols=(),
        eval__at_start=False,
        checkpoint__every=3,
    )


def refuse() -> None:
    raise UserError(f"refused by process {jax.process_index()}")


if __name__ == "__main__":
    main()
