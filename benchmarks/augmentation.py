"""What augmenting a clip costs, beside torchvision v2 and kornia, on the CPU.

Command:
  python benchmarks/augmentation.py --json OUT.json

SimCLR's chain (flip, colour jitter at 0.8, greyscale, blur) on clips of 16 frames, one draw for
all frames of a clip. Times are CPU seconds of the process, whatever the number of its threads.
Rivals: pip install -e '.[bench]'. On an accelerator the augmentation runs there, not here.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import pathlib
import time
from collections.abc import Callable

import data_rivals
import jax
import numpy as np
from tables import print_table

from cvrl_jax.augment import Augmentation

CLIPS = 8


def ours() -> Callable[[np.ndarray], object]:
    """One jitted call for a batch."""
    augment = jax.jit(Augmentation("simclr_symmetric"))
    key = jax.random.key(0)
    return lambda clips: jax.block_until_ready(augment(key, clips[:, None]))


def torchvision(size: int) -> Callable[[np.ndarray], object]:
    """v2 transforms of [T, C, H, W]: one draw for each clip."""
    import torch
    from torchvision.transforms import v2

    chain = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(_taps(size), (0.1, 2.0))], p=0.5),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    return lambda clips: [chain(clip) for clip in torch.from_numpy(clips).permute(0, 1, 4, 2, 3)]


def kornia(size: int) -> Callable[[np.ndarray], object]:
    """`VideoSequential` with the same draw for all frames."""
    import torch
    from kornia import augmentation as K

    chain = K.VideoSequential(
        K.RandomHorizontalFlip(p=0.5),
        K.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8),
        K.RandomGrayscale(p=0.2),
        K.RandomGaussianBlur((_taps(size), _taps(size)), (0.1, 2.0), p=0.5),
        data_format="BTCHW",
        same_on_frame=True,
    )
    return lambda clips: chain(torch.from_numpy(clips).permute(0, 1, 4, 2, 3).float() / 255)


def _taps(size: int) -> int:
    return size // 10 // 2 * 2 + 1


def main() -> None:
    """Parses the command line, measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    data_rivals.load_torchvision()
    shape = (CLIPS, 16, arguments.size, arguments.size, 3)
    clips = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    chains = {"ours": ours(), "torchvision": torchvision(arguments.size)}
    chains["kornia"] = kornia(arguments.size)
    taken: dict[str, list[float]] = {name: [] for name in chains}
    for counted in [False] + [True] * arguments.rounds:
        for name, chain in chains.items():
            began = time.process_time()
            chain(clips)
            if counted:
                taken[name].append(1e3 * (time.process_time() - began) / CLIPS)
    median = {name: float(np.median(ms)) for name, ms in taken.items()}
    rows = [(name, ms, ms / median["ours"]) for name, ms in median.items()]
    print_table(rows, ["chain", "CPU ms per clip", "times ours"])
    best = min(ms for name, ms in median.items() if name != "ours")
    figures = {
        "augment_vs_best_rival": best / median["ours"],
        "cpu_ms_per_clip": median,
        "size": arguments.size,
        "versions": {n: importlib.metadata.version(n) for n in ("jax", "torchvision", "kornia")},
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
