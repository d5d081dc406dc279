"""Train steps beside the same networks in PyTorch: time, memory, and what compiling costs.

Command:
  python benchmarks/step.py --json OUT.json

Forward, backward and update of 4 clips of 16 x 112 x 112, float32, on two cores and two threads;
batch normalisation uses the batch. Rivals, of equal depth, widths, windows, strides:
pytorchvideo's `create_resnet`, torchvision's `r3d_18` and transformers' VideoMAE, each with clips
and weights in both memory formats, the better of which counts. Each side is a process of its own;
they take turns of five steps, whose first is not counted: what the others did to the caches and
the memory is no part of it. A ratio is the median over rounds of the two median times of a round.
Memory is the peak in a step over what the process held before the network was made. Rivals:
pip install -e '.[bench]'.

BENCH_THREADS=1 in the environment gives either side one core, which other load disturbs least.

Results, our time over theirs (below 1: we are faster): `r3d50_vs_torch`, `r3d18_vs_torch`,
`vit_b_vs_torch`.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import multiprocessing
import pathlib
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from side_by_side import THREADS, Step, about, peak_bytes, pin, ratio, resident, seconds

pin()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from tables import print_table  # noqa: E402

from cvrl_jax.export.torch_files import import_torch  # noqa: E402
from cvrl_jax.models import count_parameters, create_model  # noqa: E402

torch = import_torch()

RATE = 1e-4
TURN = 4
"""Steps of a turn that are counted."""
FORMATS = ("contiguous", "channels_last_3d")


@dataclasses.dataclass(frozen=True)
class Case:
    """A network that both sides have.

    Attributes:
      tower: its name here, and
      fields: what differs from our defaults.
      rival: makes the other's, from clips [N, 3, T, H, W] to anything whose mean is taken.
      adam: Adam, rather than SGD with momentum.
    """

    tower: str
    fields: dict[str, Any]
    rival: Callable[[], Any]
    adam: bool = False


def pytorchvideo_r3d50() -> Any:
    """CVRL's R3D-50, without its average pool."""
    from pytorchvideo.models.resnet import create_resnet

    return create_resnet(
        stem_conv_kernel_size=(5, 7, 7),
        stem_conv_stride=(2, 2, 2),
        stage_conv_a_kernel_size=((1, 1, 1), (1, 1, 1), (3, 1, 1), (3, 1, 1)),
        stage_temporal_stride=(1, 1, 1, 1),
        head=None,
    )


def torchvision_r3d18() -> Any:
    """R3D-18 without its classifier."""
    from torchvision.models.video import r3d_18

    network = r3d_18()
    network.fc = torch.nn.Identity()
    return network


def transformers_vit_b() -> Any:
    """VideoMAE's ViT-B, attention by PyTorch's fused kernel."""
    import transformers

    config = transformers.VideoMAEConfig(image_size=112, use_mean_pooling=False)
    config._attn_implementation = "sdpa"
    network = transformers.VideoMAEModel(config)

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, clips: Any) -> Any:
            return self.network(clips.transpose(1, 2)).last_hidden_state

    return Features()


CASES = {
    "r3d50": Case("r3d50", {"padding": "symmetric"}, pytorchvideo_r3d50),
    "r3d18": Case(
        "r3d18",
        {
            "stem_kernel": (3, 7, 7),
            "stem_strides": (1, 2, 2),
            "stem_pool": False,
            "temporal_kernels": (3, 3, 3, 3),
            "temporal_strides": (1, 2, 2, 2),
            "padding": "symmetric",
        },
        torchvision_r3d18,
    ),
    "vit_b": Case(
        "vit_base",
        {
            "patch": (2, 16, 16),
            "grid": (8, 7, 7),
            "position_form": "sinusoid",
            "pooling": "mean",
            "epsilon": 1e-12,
        },
        transformers_vit_b,
        adam=True,
    ),
}


def ours(case: Case, clips: np.ndarray) -> tuple[Step, dict[str, float]]:
    """One step as the trainer has it; (the step, seconds of compiling and number of weights)."""
    tower = create_model(case.tower, **case.fields)
    optimizer = optax.adam(RATE) if case.adam else optax.sgd(RATE, momentum=0.9)
    batch = jnp.asarray(clips)

    def init() -> tuple:
        variables = dict(tower.init(jax.random.key(0), batch, False))
        params = variables.pop("params")
        return params, variables, optimizer.init(params)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: tuple, batch: jax.Array) -> tuple:
        params, others, memory = state

        def loss(params: dict) -> tuple[jax.Array, dict]:
            feature, others_after = tower.apply(
                {"params": params, **others}, batch, True, mutable=list(others)
            )
            return feature.mean(), others_after

        gradients, others = jax.grad(loss, has_aux=True)(params)
        updates, memory = optimizer.update(gradients, memory, params)
        return optax.apply_updates(params, updates), others, memory

    state = jax.jit(init)()
    began = time.perf_counter()
    compiled = step.lower(state, batch).compile()
    seen = {
        "compile_seconds": time.perf_counter() - began,
        "weights": count_parameters(state[0]),
    }

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(compiled(state, batch))

    return run, seen


def theirs(case: Case, clips: np.ndarray, layout: str) -> tuple[Step, dict[str, float]]:
    """One eager step; (the step, number of weights)."""
    network = case.rival().train()
    batch = torch.from_numpy(clips).permute(0, 4, 1, 2, 3).contiguous()
    if layout == "channels_last_3d":
        network = network.to(memory_format=torch.channels_last_3d)
        batch = batch.contiguous(memory_format=torch.channels_last_3d)
    weights = list(network.parameters())
    if case.adam:
        optimizer = torch.optim.Adam(weights, RATE)
    else:
        optimizer = torch.optim.SGD(weights, RATE, momentum=0.9)

    def run() -> None:
        optimizer.zero_grad()
        network(batch).mean().backward()
        optimizer.step()

    return run, {"weights": sum(w.numel() for w in weights)}


def make(name: str, side: str, shape: Sequence[int]) -> tuple[Step, dict[str, float]]:
    """One side of a case: its step, and what is known of it."""
    clips = np.random.default_rng(0).random(shape, np.float32)
    case = CASES[name]
    return ours(case, clips) if side == "ours" else theirs(case, clips, side)


def serve(orders: Connection, name: str, side: str, shape: Sequence[int]) -> None:
    """One side in a process of its own: sends what is known of it, then its time in each turn."""
    torch.set_num_threads(THREADS)
    before = resident()
    step, seen = make(name, side, shape)
    step()
    orders.send({**seen, "peak_mb": peak_bytes(step, before) / 1e6})
    while orders.recv():
        orders.send(float(np.median(seconds([step], TURN))))


def measure(name: str, shape: Sequence[int], rounds: int) -> tuple[float, dict[str, Any]]:
    """Ratio to the better of the rival's formats, and the figures of each."""
    context, orders, figures = multiprocessing.get_context("spawn"), {}, {}
    for side in ("ours", *FORMATS):
        orders[side], theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, name, side, shape), daemon=True).start()
        theirs.close()  # so that the end of its process is heard
        figures[side] = orders[side].recv()
    taken = np.empty((rounds, len(orders)))
    for row in taken:
        for place, side in enumerate(orders):
            orders[side].send(True)
            row[place] = orders[side].recv()
    for side, column in zip(figures, taken.T, strict=True):
        orders[side].send(False)
        figures[side] |= {"seconds": float(np.median(column)), "rounds": column.tolist()}
    better = 1 + int(np.median(taken[:, 1:], axis=0).argmin())
    return ratio(taken[:, 0], taken[:, better]), figures


def main() -> None:
    """Parses the command line, measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=sorted(CASES), help="one of the networks")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=112, help="height and width in pixels")
    arguments = parser.parse_args()
    figures: dict[str, Any] = about("torch", "torchvision", "pytorchvideo", "transformers")
    shape = (arguments.batch, arguments.frames, arguments.size, arguments.size, 3)
    figures["shape"] = shape
    for name in [arguments.only] if arguments.only else CASES:
        found, sides = measure(name, shape, arguments.rounds)
        figures[name], figures[f"{name}_vs_torch"] = sides, found
        rows = [
            (
                side,
                s["seconds"],
                min(s["rounds"]),
                s["peak_mb"] / 1e3,
                s.get("compile_seconds", 0.0),
            )
            for side, s in sides.items()
        ]
        header = ["median s", "least s", "peak GB", "compile s"]
        print_table(rows, [f"{name}, {sides['ours']['weights']:,} weights", *header])
        print(f"ours over the better of PyTorch's: {found:.2f}")
    print(json.dumps({k: v for k, v in figures.items() if isinstance(v, float)}, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
