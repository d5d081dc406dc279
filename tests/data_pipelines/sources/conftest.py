from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def touch() -> Callable[..., str]:
    """Makes empty files below a folder, and the folders that they need; returns the folder."""

    def make(root: pathlib.Path, *names: str) -> str:
        root.mkdir(parents=True, exist_ok=True)
        for folder in {(root / name).parent for name in names}:
            folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (root / name).touch()
        return str(root)

    return make
