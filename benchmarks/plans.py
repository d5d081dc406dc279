"""Plans the slices of docs/scale.md and prints their table.

Command:
  python benchmarks/plans.py --out=runs/plans

Every row is a plain `main.py --mode=plan`; it needs no TPU, only the extra [plan], some gigabytes
of memory and minutes of two cores. A plan that is there is not made again; --only=WORD makes those
whose name has the word.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
from typing import Any

_R152 = ("--config.model.name=r3d152", "--config.model.width=2.0")
_LARGE = ("--config.model.name=vit_large", "--config.parallel.preset=fsdp")
PLANS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "CVRL R3D-50, v5e": ("cvrl_r3d50", "v5e:4x4", ()),
    "CVRL R3D-50, v5e, more": ("cvrl_r3d50", "v5e:8x16", ()),
    "CVRL R3D-50, v5p": ("cvrl_r3d50", "v5p:2x4x4", ()),
    "CVRL R3D-50, v6e": ("cvrl_r3d50", "v6e:8x8", ()),
    "CVRL R3D-152 2x, v5e": ("cvrl_r3d50", "v5e:16x16", _R152),
    "CVRL R3D-152 2x, v5p": ("cvrl_r3d50", "v5p:4x4x8", _R152),
    "CVRL R3D-152 2x, v6e": ("cvrl_r3d50", "v6e:16x16", _R152),
    "VATT MBS, v5e": ("vatt_mbs", "v5e:16x16", ()),
    "VATT MBS, v5p": ("vatt_mbs", "v5p:4x4x4", ()),
    "CVRL ViT-B, v5e": ("cvrl_vit_b16", "v5e:8x16", ()),
    "CVRL ViT-L, v5e": ("cvrl_vit_b16", "v5e:16x16", _LARGE),
}
HEADER = (
    "run",
    "slice",
    "changed to fit",
    "GiB a chip",
    "TFLOP a chip",
    "of them the model's",
    "least ms",
    "bound by",
    "clips/s at most",
)


def planned(folder: pathlib.Path, name: str) -> dict[str, Any]:
    """Makes a plan unless it is there; returns its JSON."""
    config, topology, flags = PLANS[name]
    target = folder / f"{name.replace(', ', '_').replace(' ', '_')}.json"
    if not target.exists():
        command = [
            *(sys.executable, "main.py", f"--config=configs/{config}.py", "--mode=plan"),
            *(f"--topology={topology}", f"--json={target}", *flags),
        ]
        print(" ".join(command), file=sys.stderr)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(target.read_text(encoding="utf-8"))


def row(name: str, plan: dict[str, Any]) -> tuple[str, ...]:
    """One line of the table: of the plan as it is, or of the first change that fits."""
    attempt = next((a for a in [plan, *plan["tried"]] if a["fits"]), None)
    run, slice_ = name.partition(", ")[0], plan["topology"]
    if attempt is None:
        return (run, slice_, "nothing tried fits", *["-"] * 6)
    changes = "; ".join(attempt.get("changes", ())).replace("config.", "") or "nothing"
    bound, done = attempt["roofline"], attempt["flops_per_chip"]
    return (
        *(run, slice_, changes),
        f"{attempt['bytes_per_chip'] / 2**30:.1f} of {plan['hbm_bytes'] / 2**30:.0f}",
        f"{done / 1e12:.2f}",
        f"{100 * attempt['model_flops_per_chip'] / done:.0f} %",
        *(f"{1e3 * bound['seconds']:.0f}", bound["bound_by"], f"{bound['clips_per_second']:.0f}"),
    )


def main() -> None:
    """Makes what is missing, one after the other, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the plans")
    parser.add_argument("--only", default="", help="part of the names of the plans to make")
    arguments = parser.parse_args()
    plans = {name: planned(arguments.out, name) for name in PLANS if arguments.only in name}
    rows = [HEADER, ("---",) * len(HEADER), *(row(name, plan) for name, plan in plans.items())]
    print("\n".join(f"| {' | '.join(cells)} |" for cells in rows))
    versions = next(iter(plans.values()))["versions"]
    print("\nCompiled with " + ", ".join(f"{k} {v}" for k, v in versions.items()) + ".")


if __name__ == "__main__":
    main()
