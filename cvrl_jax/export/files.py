"""Python files that go beside an export, and packages that only some exports need."""

from __future__ import annotations

import importlib
import importlib.util
import pathlib
import types

from data_pipelines.errors import UserError

FOLDER = pathlib.Path(__file__).parent


def open_loader(path: pathlib.Path) -> types.ModuleType:
    """Runs a loader as it was written."""
    spec = importlib.util.spec_from_file_location("exported_loader", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def import_extra(name: str) -> types.ModuleType:
    """Imports a package of the extra `export`.

    Raises:
      UserError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"{error.name} is not installed, which this needs: pip install 'cvrl_jax[export]'"
        ) from error
