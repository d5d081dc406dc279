"""The arrows of imports: who may know whom."""

from __future__ import annotations

import ast
import pathlib

import pytest

REPO = pathlib.Path(__file__).resolve().parents[1]

# Package -> what it must not import.
FORBIDDEN = {
    "data_pipelines": ("jax", "flax", "optax", "cvrl_jax"),
    "cvrl_jax/models": tuple(
        f"cvrl_jax.{x}" for x in ("losses", "augment", "methods", "train", "state")
    ),
    "cvrl_jax/losses": tuple(
        f"cvrl_jax.{x}" for x in ("models", "augment", "methods", "train", "state")
    ),
    "cvrl_jax/augment": tuple(
        f"cvrl_jax.{x}" for x in ("models", "losses", "methods", "train", "state", "parallel")
    ),
    "cvrl_jax/methods": tuple(
        f"cvrl_jax.{x}"
        for x in (
            *("train", "state", "evaluation", "observe", "checkpoint", "workdir"),
            *("reports", "downstream"),
        )
    ),
    "cvrl_jax/evaluation": tuple(
        f"cvrl_jax.{x}"
        for x in (
            *("train", "state", "methods", "models", "losses", "checkpoint"),
            *("reports", "downstream"),
        )
    ),
    "cvrl_jax/observe": tuple(
        f"cvrl_jax.{x}"
        for x in (
            *("train", "state", "methods", "models", "losses", "evaluation", "checkpoint"),
            *("reports", "downstream"),
        )
    ),
    "cvrl_jax/parallel": tuple(
        f"cvrl_jax.{x}" for x in ("train", "state", "methods", "models", "losses", "augment")
    ),
    "cvrl_jax/export": ("cvrl_jax.train", "cvrl_jax.downstream"),
    "cvrl_jax/reports": ("cvrl_jax.train", "cvrl_jax.downstream"),
    "cvrl_jax": ("tensorflow", "torch"),
}
COPIED = REPO / "cvrl_jax/export/for_torch.py"  # written beside an export, never imported


def imported(file: pathlib.Path) -> set[str]:
    """Dotted names that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_down_only(package):
    files = sorted(set((REPO / package).rglob("*.py")) - {COPIED})
    assert files
    wrong = [
        f"{file.relative_to(REPO)} imports {name}"
        for file in files
        for name in imported(file)
        for forbidden in FORBIDDEN[package]
        if name == forbidden or name.startswith(forbidden + ".")
    ]
    assert not wrong
