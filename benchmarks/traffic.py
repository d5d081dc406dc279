"""Memory traffic of a train step on a TPU chip, by its compiler, with and without what lessens it.

Command:
  python benchmarks/traffic.py --json traffic.json

Compiles CVRL at 16 clips a chip for v5e:2x2, as it is ('auto') and as it was: R3D-50 with the
lowering 'direct', ViT-B with 'fused'. Needs no TPU, only the extra [plan] and minutes of two cores.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pathlib
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cvrl_jax.plan.chips import parse_topology  # noqa: E402
from cvrl_jax.plan.devices import devices_of, prepare_environment  # noqa: E402

STEPS = {
    "R3D-50, before": ("cvrl_r3d50", "direct"),
    "R3D-50": ("cvrl_r3d50", "auto"),
    "ViT-B, before": ("cvrl_vit_b16", "fused"),
    "ViT-B": ("cvrl_vit_b16", "auto"),
}
TOPOLOGY = "v5e:2x2"
EXAMPLES = 32  # of two clips each, over four chips


def measured(name: str, lowering: str) -> dict[str, Any]:
    """Figures a chip and a clip of one step."""
    from cvrl_jax.plan.compiled import compile_step
    from cvrl_jax.plan.roofline import roofline

    topology = parse_topology(TOPOLOGY)
    assert topology.chip is not None
    config = importlib.import_module(f"configs.{name}").get_config()
    config.batch_size = EXAMPLES
    with config.unlocked():
        config.model.lowering = lowering
    figures = compile_step(config, devices_of(topology), topology.chip.memory)
    bound = roofline(figures, topology.chip)
    if bound is None or figures.flops is None or figures.bytes_accessed is None:
        return {"fits": False}
    clips = 2 * EXAMPLES / topology.devices
    return {
        "fits": figures.fits,
        "GB_per_clip": figures.bytes_accessed / clips / 1e9,
        "TFLOP_per_clip": figures.flops / clips / 1e12,
        "temporaries_GB": figures.bytes_by_kind["temporaries"] / 1e9,
        "least_ms": 1e3 * bound.seconds,
        "arithmetic_percent": 100 * bound.arithmetic / bound.seconds,
    }


def main() -> None:
    """Compiles one after the other and prints each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=pathlib.Path, help="file for the figures")
    parser.add_argument("--only", default="", help="part of the names of the steps to compile")
    arguments = parser.parse_args()
    prepare_environment(parse_topology(TOPOLOGY))
    found = {}
    for name, (config, lowering) in STEPS.items():
        if arguments.only in name:
            found[name] = measured(config, lowering)
            print(name, found[name], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
