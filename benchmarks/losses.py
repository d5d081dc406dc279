"""Contrastive losses: time and memory beside other libraries, and compiled for a TPU slice.

Commands:
  python benchmarks/losses.py --json OUT.json
  python benchmarks/losses.py --largest 32768 --rounds 3

Value and gradient with respect to both embeddings, float32, on two threads of one process, rounds
in turns. Two problems, each the same for all who solve it. Within and across two views: ours is
`info_nce`, theirs are lightly's `NTXentLoss` and optax's `ntxent`. Across two modalities: ours is
`mil_nce` with one candidate, theirs open_clip's `ClipLoss`; both make one B x B matrix and reduce
it both ways. Memory is the peak of the process over what it held before. Who would need more than
--memory GiB is left out, as is what is not installed (pip install -e '.[bench]').

Then `gathered` and `ring` of `info_nce` are compiled for `--topology`, without such a machine
(pip install -e '.[plan]').

Results, ours over theirs (below 1: we are faster, or need less): `b2048_vs_lightly`,
`b2048_vs_open_clip` at D = 128; `ring_vs_gathered_tpu_temp` at B = 32,768, D = 128. `ring_line`:
the line through the ring's temporaries on one CPU by B, by the compiler.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from side_by_side import THREADS, Step, about, peak_bytes, pin, ratio, resident, seconds

pin()

import data_rivals  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from tables import print_table  # noqa: E402

from cvrl_jax.losses import info_nce, mil_nce  # noqa: E402
from cvrl_jax.parallel.mesh import batch_sharding, in_mesh, make_mesh  # noqa: E402
from cvrl_jax.plan.chips import parse_topology  # noqa: E402
from cvrl_jax.plan.collectives import collectives  # noqa: E402
from cvrl_jax.plan.devices import devices_of, prepare_environment  # noqa: E402
from cvrl_jax.plan.hlo import Program  # noqa: E402
from data_pipelines.errors import UserError  # noqa: E402

TEMPERATURE = 0.1
SIZES = (128, 512)  # D
POD_BATCH = 32768
GIB = 2**30
Loss = Callable[..., jax.Array]


def views(way: str) -> Loss:
    """SimCLR's loss by one way of meeting the negatives."""
    return lambda a, b: info_nce(a, b, TEMPERATURE, reduction="mean", way=way)


def modalities(a: jax.Array, b: jax.Array) -> jax.Array:
    """NCE between two modalities."""
    return mil_nce(a, b[:, None], TEMPERATURE)


def ntxent(a: jax.Array, b: jax.Array) -> jax.Array:
    """optax's: both views in one array, their labels say which belong together."""
    labels = jnp.tile(jnp.arange(len(a)), 2)
    return optax.losses.ntxent(jnp.concatenate([a, b]), labels, TEMPERATURE)


def with_jax(loss: Loss, embeddings: list[np.ndarray]) -> Step:
    """Value and gradient, jitted and waited for."""
    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    arrays = [jnp.asarray(x) for x in embeddings]
    return lambda: jax.block_until_ready(both(*arrays))


def with_torch(loss: Callable[..., Any], embeddings: list[np.ndarray]) -> Step:
    """Value and gradient, eager."""
    import torch

    arrays = [torch.from_numpy(x).requires_grad_() for x in embeddings]
    return lambda: torch.autograd.grad(loss(*arrays), arrays)


def lightly(embeddings: list[np.ndarray]) -> Step:
    """Lightly's loss, which normalises by itself."""
    from lightly.loss.ntx_ent_loss import NTXentLoss

    return with_torch(NTXentLoss(TEMPERATURE), embeddings)


def open_clip(embeddings: list[np.ndarray]) -> Step:
    """open_clip's loss on unit vectors, which its models put out."""
    from open_clip.loss import ClipLoss
    from torch.nn.functional import normalize

    loss = ClipLoss()
    return with_torch(lambda a, b: loss(normalize(a), normalize(b), 1 / TEMPERATURE), embeddings)


# Name -> (package, bytes it needs by (B, D), how it is made). What is ours needs no package.
Contestant = tuple[str, Callable[[int, int], int], Callable[[list[np.ndarray]], Step]]
CONTESTANTS: dict[str, Contestant] = {
    "info_nce, auto": ("", lambda b, d: 40 * b * d, lambda x: with_jax(views("auto"), x)),
    "info_nce, gathered": ("", lambda b, d: 24 * b * b, lambda x: with_jax(views("gathered"), x)),
    "info_nce, ring": ("", lambda b, d: 40 * b * d, lambda x: with_jax(views("ring"), x)),
    "lightly NTXentLoss": ("lightly", lambda b, d: 96 * b * b, lightly),
    "optax ntxent": ("", lambda b, d: 64 * b * b * d, lambda x: with_jax(ntxent, x)),
    "mil_nce": ("", lambda b, d: 40 * b * d, lambda x: with_jax(modalities, x)),
    "open_clip ClipLoss": ("open_clip", lambda b, d: 24 * b * b, open_clip),
}


def installed() -> dict[str, Contestant]:
    """Those whose packages are here; says which are not."""
    found = {}
    for name, contestant in CONTESTANTS.items():
        missing = [p for p in (contestant[0], "torch") if contestant[0] and find_spec(p) is None]
        if missing:
            print(f"{name} is left out: {', '.join(missing)} not installed ([bench])")
        else:
            found[name] = contestant
    if any(package for package, *_ in found.values()):
        import torch

        data_rivals.load_torchvision()  # which both rivals import
        torch.set_num_threads(THREADS)
    return found


def measure(
    contestants: dict[str, Contestant], batch: int, size: int, rounds: int, memory: float
) -> dict[str, dict[str, Any]]:
    """Milliseconds (of each round and their median) and peak MB, by contestant."""
    rng = np.random.default_rng(0)
    embeddings = [rng.standard_normal((batch, size), dtype=np.float32) for _ in range(2)]
    steps, peaks = {}, {}
    for name, (_, needed, make) in contestants.items():
        if needed(batch, size) > memory * GIB:
            continue
        steps[name] = make(embeddings)
        steps[name]()
        peaks[name] = peak_bytes(steps[name], resident()) / 1e6
    taken = seconds(list(steps.values()), rounds)
    return {
        name: {
            "ms": 1e3 * float(np.median(column)),
            "peak_mb": peaks[name],
            "rounds_ms": (1e3 * column).tolist(),
        }
        for name, column in zip(steps, taken.T, strict=True)
    }


def ours_over(measured: dict[str, Any], ours: str, theirs: str) -> float | None:
    """Ratio of times; None without the rival."""
    if theirs not in measured:
        return None
    return ratio(*(np.array(measured[name]["rounds_ms"]) for name in (ours, theirs)))


def ring_memory(batches: list[int], size: int) -> list[int]:
    """Bytes of temporaries of the ring on one CPU, by the compiler, for each B."""
    step = jax.jit(jax.value_and_grad(views("ring"), argnums=(0, 1)))
    shapes = [[jax.ShapeDtypeStruct((b, size), jnp.float32)] * 2 for b in batches]
    return [step.lower(*s).compile().memory_analysis().temp_size_in_bytes for s in shapes]


def on_slice(topology: str, batch: int, size: int) -> dict[str, dict[str, Any]]:
    """Temporaries and collectives per chip of both ways, by the compiler for that slice."""
    mesh = make_mesh(devices=devices_of(parse_topology(topology)))
    sharding = batch_sharding(mesh)
    shapes = [jax.ShapeDtypeStruct((batch, size), jnp.float32, sharding=sharding)] * 2
    found = {}
    for way in ("gathered", "ring"):
        step = jax.jit(in_mesh(mesh)(jax.value_and_grad(views(way), argnums=(0, 1))))
        compiled = step.trace(*shapes).lower(lowering_platforms=("tpu",)).compile()
        sent = collectives(Program(compiled.as_text()))
        found[way] = {
            "temporaries": compiled.memory_analysis().temp_size_in_bytes,
            "collectives": {k: {"count": c.count, "bytes": c.bytes} for k, c in sent.items()},
        }
    return found


def main() -> None:
    """Parses the command line, measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--smallest", type=int, default=1024, help="B to start with; doubles")
    parser.add_argument("--largest", type=int, default=4096, help="B to end with")
    parser.add_argument("--memory", type=float, default=8.0, help="GiB that one may need")
    parser.add_argument("--topology", default="v5e:4x4", help="'' = compile for none")
    arguments = parser.parse_args()
    if arguments.topology:
        prepare_environment(parse_topology(arguments.topology))
    figures: dict[str, Any] = about("optax", "torch", "lightly", "open_clip_torch", "libtpu")
    figures["sweep"] = sweep = {}
    contestants = installed()
    batch = arguments.smallest
    while batch <= arguments.largest:
        for size in SIZES:
            measured = measure(contestants, batch, size, arguments.rounds, arguments.memory)
            sweep[f"{batch}x{size}"] = measured
            rows = [(name, m["ms"], m["peak_mb"]) for name, m in measured.items()]
            print_table(rows, [f"B = {batch}, D = {size}", "ms", "peak MB"], 1)
        batch *= 2
    if "2048x128" in sweep:
        at = sweep["2048x128"]
        figures["b2048_vs_lightly"] = ours_over(at, "info_nce, auto", "lightly NTXentLoss")
        figures["b2048_vs_open_clip"] = ours_over(at, "mil_nce", "open_clip ClipLoss")
    batches = [1024 * 2**n for n in range(8)]
    held = ring_memory(batches, SIZES[0])
    figures["ring_temporaries"] = dict(zip(map(str, batches), held))
    line = np.polyfit(batches[2:], held[2:], 1)  # below, all columns are one tile
    off = float(np.abs(np.polyval(line, batches[2:]) / held[2:] - 1).max())
    figures["ring_line"] = {"bytes_each": line[0], "bytes_always": line[1], "off_by": off}
    print_table(zip(batches, (h / 1e6 for h in held)), ["B of the ring, D = 128", "MB"], 1)
    print(f"from B = 4096 on: {line[1] / 1e6:.1f} MB + {line[0]:.0f} bytes x B, off by {off:.1%}")
    if arguments.topology:
        try:
            figures["slice"] = on_slice(arguments.topology, POD_BATCH, SIZES[0])
        except UserError as error:
            print(f"no TPU is compiled for: {error}")
        else:
            there = {way: f["temporaries"] for way, f in figures["slice"].items()}
            figures["ring_vs_gathered_tpu_temp"] = there["ring"] / there["gathered"]
            rows = [
                (way, there[way] / 1e6, ", ".join(f"{c['count']} {k}" for k, c in f.items()))
                for way, f in ((w, s["collectives"]) for w, s in figures["slice"].items())
            ]
            header = [f"B = {POD_BATCH} on {arguments.topology}", "MB of temporaries a chip"]
            print_table(rows, [*header, "collectives"], 1)
    print(json.dumps({k: v for k, v in figures.items() if isinstance(v, float)}, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
