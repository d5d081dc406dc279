"""A plan for people: lines for the terminal, and one HTML file that needs nothing else."""

from __future__ import annotations

import pathlib
from typing import Any

from cvrl_jax.parallel.describe import size
from data_pipelines.pages import render, write_whole


def write_page(path: pathlib.Path, result: dict[str, Any]) -> None:
    """Writes the page in one piece.

    Args:
      path: where to.
      result: of `plan`.
    """
    contents = {
        "plan": result,
        "facts": facts(result),
        "tried": [(t, facts(t | _of(result))) for t in result["tried"]],
    }
    write_whole(path, render("cvrl_jax.plan", "plan.html.j2", contents, size=size))


def summary(result: dict[str, Any]) -> str:
    """The plan in a few lines.

    Args:
      result: of `plan`.
    """
    mesh = " x ".join(f"{axis} {count}" for axis, count in result["mesh"].items())
    lines = [f"{result['config']} on {result['topology']}, mesh {mesh}", *_lines(facts(result))]
    for attempt in result["tried"]:
        lines += [f"with {'; '.join(attempt['changes'])}", *_lines(facts(attempt | _of(result)))]
    return "\n".join(lines)


def facts(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """What is known of one step, as (name, value).

    Args:
      figures: those of `plan`'s result, or of one entry of `tried` with the memory of a chip.
    """
    memory = figures["hbm_bytes"]
    held = size(figures["bytes_per_chip"]) + (f" of {size(memory)}" if memory else "")
    kinds = {k: v for k, v in figures["bytes_by_kind"].items() if v}
    rows = [
        ("fits", "yes" if figures["fits"] else "NO"),
        ("memory per chip", held),
        ("of which", ", ".join(f"{kind} {size(count)}" for kind, count in kinds.items())),
    ]
    asked, done = figures["model_flops_per_chip"], figures["flops_per_chip"]
    rows.append(("the model's own arithmetic", f"{asked / 1e12:.3f} TFLOP per step and chip"))
    if done is None:
        return rows
    rows.append(("arithmetic done", f"{done / 1e12:.3f} TFLOP ({done / asked:.2f} times as much)"))
    for kind, of_kind in figures["collectives"].items():
        rows.append((kind, f"{of_kind['count']} per step, {size(of_kind['bytes'])}"))
    bound = figures["roofline"]
    accessed = figures["bytes_accessed_per_chip"]
    rows.append(("memory accessed", f"{accessed / 1e9:.1f} GB per step and chip"))
    if bound is not None:
        rows += [
            ("intensity", f"{bound['intensity']:.0f} FLOP/byte (ridge {bound['ridge']:.0f})"),
            (
                "least time",
                f"{1e3 * bound['seconds']:.0f} ms, bound by {bound['bound_by']} (arithmetic "
                f"{1e3 * bound['arithmetic']:.0f}, memory {1e3 * bound['memory']:.0f}, links "
                f"{1e3 * bound['links']:.1f})",
            ),
            (
                "at most",
                f"{bound['clips_per_second']:.0f} clips/s, "
                f"{100 * bound['highest_mfu']:.0f} % of the chips' arithmetic",
            ),
        ]
    return rows


def _of(result: dict[str, Any]) -> dict[str, Any]:
    return {"hbm_bytes": result["hbm_bytes"]}


def _lines(rows: list[tuple[str, str]]) -> list[str]:
    return [f"  {name}: {value}" for name, value in rows]
