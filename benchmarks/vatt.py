"""What a train step of VATT's Base video tower costs, beside the same transformer in PyTorch.

Command:
  python benchmarks/vatt.py --json OUT.json

Forward, backward and Adam, float32, on two cores and two threads of one process; the rival is a
plain pre-LN transformer on `scaled_dot_product_attention`. Rounds alternate; a ratio is the median
over rounds of the two times of a round, which other load on the machine disturbs alike. Rival:
pip install -e '.[bench]'.

Results: `ratio_<case>` is our time over PyTorch's (below 1: we are faster); `drop_token_ratio` our
time of 32 x 224 x 224 with half of the tokens dropped over that with all of them.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable

from side_by_side import THREADS, about, pin, ratio, seconds

pin()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
import torch  # noqa: E402
from tables import print_table  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from cvrl_jax.models import create_model  # noqa: E402

PATCH = (4, 16, 16)
RATE = 1e-4


@dataclasses.dataclass(frozen=True)
class Case:
    """A train step.

    Attributes:
      frames: per clip.
      size: height and width in pixels.
      batch: clips.
      drop: share of the tokens dropped.
    """

    frames: int
    size: int
    batch: int
    drop: float

    @property
    def name(self) -> str:
        """Such as 32x224_drop50."""
        return f"{self.frames}x{self.size}_drop{100 * self.drop:.0f}"

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens in time, height and width."""
        return self.frames // PATCH[0], self.size // PATCH[1], self.size // PATCH[2]

    def clips(self) -> np.ndarray:
        """float32 [batch, frames, size, size, 3] in [0, 1]."""
        shape = (self.batch, self.frames, self.size, self.size, 3)
        return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def ours(case: Case, layers: int) -> Callable[[], None]:
    """One jitted step, as the trainer has it."""
    tower = create_model("vit_base", layers=layers, grid=case.grid, drop_token=case.drop)
    clips = jnp.asarray(case.clips())
    optimizer = optax.adam(RATE)

    def init() -> tuple:
        params = tower.init(jax.random.key(0), clips, False)["params"]
        return params, optimizer.init(params)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: tuple, key: jax.Array) -> tuple:
        params, memory = state

        def loss(params: dict) -> jax.Array:
            return tower.apply({"params": params}, clips, True, rngs={"dropout": key}).mean()

        updates, memory = optimizer.update(jax.grad(loss)(params), memory, params)
        return optax.apply_updates(params, updates), memory

    state = jax.jit(init)()

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(step(state, jax.random.key(1)))

    return run


class TorchBlock(nn.Module):
    """Pre-LN attention and MLP."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, mlp), nn.Linear(mlp, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, S, D] -> [N, S, D]."""
        count, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(count, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        x = x + self.out(y.reshape(count, length, width))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class TorchTower(nn.Module):
    """Tubelets, positions, DropToken, AGG, blocks: ViT-B."""

    def __init__(self, case: Case, layers: int) -> None:
        super().__init__()
        width = 768
        self.drop = case.drop
        self.patch = nn.Conv3d(3, width, PATCH, PATCH)
        self.positions = nn.Parameter(0.02 * torch.randn(int(np.prod(case.grid)), width))
        self.agg = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.Sequential(*[TorchBlock(width, 12, 3072) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, 1e-6)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """[N, 3, T, H, W] -> [N, D]."""
        x = self.patch(2 * clips - 1).flatten(2).transpose(1, 2) + self.positions
        if self.drop:
            kept = round(x.shape[1] * (1 - self.drop))
            chosen = torch.rand(x.shape[:2]).argsort(dim=1)[:, :kept, None]
            x = x.gather(1, chosen.expand(-1, -1, x.shape[2]))
        x = torch.cat([self.agg.expand(len(x), -1, -1), x], dim=1)
        return self.norm(self.blocks(x))[:, 0]


def theirs(case: Case, layers: int) -> Callable[[], None]:
    """One eager step."""
    tower = TorchTower(case, layers)
    optimizer = torch.optim.Adam(tower.parameters(), RATE)
    clips = torch.from_numpy(case.clips()).permute(0, 4, 1, 2, 3).contiguous()

    def run() -> None:
        optimizer.zero_grad()
        tower(clips).mean().backward()
        optimizer.step()

    return run


def main() -> None:
    """Parses the command line, measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=12, help="of the tower; Base has 12")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    figures: dict[str, object] = {
        **about("torch"),
        "layers": arguments.layers,
        "rounds": arguments.rounds,
    }
    small, half = Case(16, 112, 4, 0.0), Case(32, 224, 1, 0.5)
    rows = []
    for case in (small, half):
        steps = [ours(case, arguments.layers), theirs(case, arguments.layers)]
        taken = seconds(steps, arguments.rounds)
        figures[f"ratio_{case.name}"] = ours_over_theirs = ratio(taken[:, 0], taken[:, 1])
        medians = np.median(taken, axis=0).tolist()
        rows.append((f"{case.name}, batch {case.batch}", *medians, ours_over_theirs))
        del steps
    print_table(rows, ["case", "ours, s", "PyTorch, s", "ours / PyTorch"])
    whole = dataclasses.replace(half, drop=0.0)
    taken = seconds([ours(case, arguments.layers) for case in (half, whole)], arguments.rounds)
    figures["drop_token_ratio"] = dropped = ratio(taken[:, 0], taken[:, 1])
    rows = [("32x224", *np.median(taken, axis=0).tolist(), dropped)]
    print_table(rows, ["case", "half dropped, s", "none, s", "half / none"])
    print(json.dumps({k: v for k, v in figures.items() if isinstance(v, float)}, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
