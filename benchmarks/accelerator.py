"""How far a GPU or TPU is used: whole train steps, their data, contrastive losses.

Command:
  python benchmarks/accelerator.py --json OUT.json
  python benchmarks/accelerator.py --records=RECORDS --json OUT.json

On all accelerators of this machine, in bfloat16 at 16 x 224 x 224: the rate of a large product of
matrices, which is taken for their peak; CVRL's train step with R3D-50 and with ViT-L on a batch
that lies in memory, whose model FLOPs (nothing computed twice) over time and peak are its MFU; the
R3D-50 step again on prepared records, with as many workers as there are cores; and `info_nce`
with gathered negatives beside the ring. `--cpu` goes through all of it without an accelerator, to
see that it runs: take small sizes then.

Results: `r3d50_mfu` (target .35), `vit_l_mfu` (.5), `data_wait` (share of the time of a step with
records that the same step without does not take), `ring_vs_gathered` (time, by B).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from side_by_side import about, seconds
from tables import print_table

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cvrl_jax.layout import rules_of  # noqa: E402
from cvrl_jax.losses import info_nce  # noqa: E402
from cvrl_jax.methods import Method, create_method  # noqa: E402
from cvrl_jax.optim import create_optimizer  # noqa: E402
from cvrl_jax.parallel.mesh import batch_sharding, in_mesh, make_mesh, put_batch  # noqa: E402
from cvrl_jax.plan.compiled import abstract_batch  # noqa: E402
from cvrl_jax.plan.plan import asked_flops  # noqa: E402
from cvrl_jax.state import create_state, make_train_step  # noqa: E402
from data_pipelines.pipeline import TrainBatches  # noqa: E402
from data_pipelines.sources.records import open_records  # noqa: E402

NETWORKS = {"r3d50": ("cvrl_r3d50", "r3d50"), "vit_l": ("cvrl_vit_b16", "vit_large")}
TEMPERATURE, SIZE = 0.1, 128  # of the losses: T and D
Batches = Iterator[dict[str, Any]]


def seconds_of(run: Callable[[], Any], rounds: int) -> float:
    """Median seconds of a call whose arrays are waited for."""
    return float(np.median(seconds([lambda: jax.block_until_ready(run())], rounds)))


def peak_flops(side: int, rounds: int) -> float:
    """FLOP/s of one device in a product of bfloat16 matrices."""
    a, b = (jax.random.normal(jax.random.key(n), (side, side), jnp.bfloat16) for n in range(2))
    product = jax.jit(jnp.matmul)
    return 2 * side**3 / seconds_of(lambda: product(a, b), rounds)


class Training:
    """CVRL's train step with one of the networks."""

    def __init__(self, name: str, batch_size: int, frames: int, size: int) -> None:
        module, model = NETWORKS[name]
        self.config = config = importlib.import_module(f"configs.{module}").get_config()
        config.model.name, config.model.dtype = model, "bfloat16"
        config.batch_size, config.data.frames, config.data.size = batch_size, frames, size
        self.mesh = make_mesh()
        self.method: Method = create_method(config, classes=1)
        rules = rules_of(config)
        optimizer, schedule = create_optimizer(config.optimizer, config.steps, batch_size)
        self._step = make_train_step(
            self.method, optimizer, schedule, 0, self.mesh, rules, steps=config.steps
        )
        self._state = create_state(self.method, optimizer, 0, self.mesh, rules)

    def one_batch(self) -> dict[str, jax.Array]:
        """Noise, on the devices."""
        rng = np.random.default_rng(0)
        shapes = abstract_batch(self.method.inputs, self.config.batch_size, self.mesh)
        batch = {name: np.zeros(x.shape, x.dtype) for name, x in shapes.items()}
        batch["video"] = rng.integers(0, 256, shapes["video"].shape, np.uint8)
        batch["valid"][:] = True
        return put_batch(batch, self.mesh)

    def seconds(self, batches: Batches, steps: int) -> float:
        """Of a step, on average; as the trainer does, the next batch is fetched while it runs."""
        for _ in range(2):
            self._state, _ = self._step(self._state, next(batches))
        jax.block_until_ready(self._state)
        began = time.perf_counter()
        for _ in range(steps):
            self._state, _ = self._step(self._state, next(batches))
        jax.block_until_ready(self._state)
        return (time.perf_counter() - began) / steps

    @contextlib.contextmanager
    def from_records(self, root: str) -> Iterator[Batches]:
        """Batches of prepared records, on the devices."""
        stream = TrainBatches(
            next(iter(open_records(root).values())),
            self.method.inputs,
            batch_size=self.config.batch_size,
            seed=0,
            workers=os.cpu_count() or 1,
        )
        with contextlib.closing(stream):
            yield (put_batch(batch, self.mesh) for batch in stream)


def losses(batch: int, rounds: int) -> dict[str, float]:
    """Milliseconds of value and gradient, by way."""
    mesh = make_mesh()
    sharding = batch_sharding(mesh)
    rng = np.random.default_rng(0)
    views = jax.device_put(list(rng.standard_normal((2, batch, SIZE), np.float32)), sharding)
    found = {}
    for way in ("gathered", "ring"):

        def loss(a: jax.Array, b: jax.Array, way: str = way) -> jax.Array:
            return info_nce(a, b, TEMPERATURE, reduction="mean", way=way)

        both = jax.jit(in_mesh(mesh)(jax.value_and_grad(loss, argnums=(0, 1))))
        found[way] = 1e3 * seconds_of(lambda both=both: both(*views), rounds)
    return found


def main() -> None:
    """Parses the command line, measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures")
    parser.add_argument("--records", help="prepared records, for the wait for data")
    parser.add_argument("--batch", type=int, default=16, help="videos a device, two clips each")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--product", type=int, default=16384, help="side of the matrices")
    parser.add_argument("--negatives", type=int, nargs="*", default=[4096, 16384, 32768])
    parser.add_argument("--cpu", action="store_true", help="go through it without an accelerator")
    arguments = parser.parse_args()
    devices = jax.devices()
    if devices[0].platform == "cpu" and not arguments.cpu:
        print("JAX finds no GPU or TPU here: nothing is measured (--cpu tries the script)")
        return
    figures: dict[str, Any] = {
        **about(),
        "devices": f"{len(devices)} x {devices[0].device_kind}",
        "peak_tflops": peak_flops(arguments.product, arguments.steps) / 1e12,
    }
    rows = []
    batch_size = arguments.batch * len(devices)
    for name in NETWORKS:
        training = Training(name, batch_size, arguments.frames, arguments.size)
        asked = asked_flops(training.config, devices)
        alone = training.seconds(itertools.repeat(training.one_batch()), arguments.steps)
        clips = 2 * batch_size / alone
        figures[f"{name}_mfu"] = mfu = asked / alone / 1e12 / figures["peak_tflops"]
        figures[f"{name}_seconds"], figures[f"{name}_clips_per_s"] = alone, clips
        rows.append((name, 1e3 * alone, clips, mfu))
        if name == "r3d50" and arguments.records:
            with training.from_records(arguments.records) as batches:
                fed = training.seconds(batches, arguments.steps)
            figures["data_wait"] = max(0.0, 1 - alone / fed)
            rows.append(
                (f"{name}, from records", 1e3 * fed, 2 * batch_size / fed, mfu * alone / fed)
            )
    print(f"{figures['devices']}, {figures['peak_tflops']:.1f} TFLOP/s in products")
    print_table(rows, ["train step", "ms", "clips a second", "MFU"])
    figures["ring_vs_gathered"] = {}
    for batch in arguments.negatives:
        taken = losses(batch, arguments.steps)
        figures["ring_vs_gathered"][batch] = taken["ring"] / taken["gathered"]
        print_table(taken.items(), [f"info_nce, B = {batch}, D = {SIZE}", "ms"])
    print(json.dumps({k: v for k, v in figures.items() if isinstance(v, float)}, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
