"""Published weights by name."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Mapping

import fsspec

from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest


@dataclasses.dataclass(frozen=True)
class Weights:
    """One entry of the zoo.

    Attributes:
      builder: the tower's name, a key of `models.MODELS`.
      config: the experiment that makes such weights.
      url: of a safetensors export; "" while none is published.
      sha256: of that file, in hexadecimal digits.
    """

    builder: str
    config: str
    url: str = ""
    sha256: str = ""


ZOO: dict[str, Weights] = {
    "cvrl_r3d50": Weights("r3d50", "configs/cvrl_r3d50.py"),
    "cvrl_r3d18": Weights("r3d18", "configs/cvrl_r3d18.py"),
    "byol_r3d50": Weights("r3d50", "configs/byol_r3d50.py"),
    "simclr_r3d50": Weights("r3d50", "configs/simclr_r3d50.py"),
}


def fetch(name: str, zoo: Mapping[str, Weights] = ZOO) -> pathlib.Path:
    """The file of published weights; downloaded once, to `CVRL_JAX_CACHE` or ~/.cache/cvrl_jax.

    Raises:
      UserError: there is no such name, nothing is published under it, or what was downloaded is not
        what was published.
    """
    if name not in zoo:
        raise UserError(
            f"no run, export or published weights {name!r}; "
            + (nearest(name, zoo) if name.isidentifier() else "there is no such file or folder")
        )
    weights = zoo[name]
    if not weights.url:
        raise UserError(
            f"weights of {name!r} ({weights.builder}) are not published yet; train them with "
            f"python main.py --config={weights.config}"
        )
    folder = pathlib.Path(os.environ.get("CVRL_JAX_CACHE", "~/.cache/cvrl_jax")).expanduser()
    target = folder / f"{name}-{weights.sha256[:12]}.safetensors"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _download(weights, target)
    return target


def _download(weights: Weights, target: pathlib.Path) -> None:
    digest = hashlib.sha256()
    handle, unfinished = tempfile.mkstemp(dir=target.parent, suffix=".unfinished")
    try:
        with os.fdopen(handle, "wb") as out, fsspec.open(weights.url, "rb") as file:
            while block := file.read(2**20):  # type: ignore[attr-defined]
                digest.update(block)
                out.write(block)
        if digest.hexdigest() != weights.sha256:
            raise UserError(
                f"{weights.url} has the sha256 {digest.hexdigest()}, not {weights.sha256} as "
                "published; try again, and if it stays so do not use the file"
            )
        os.replace(unfinished, target)
    except OSError as error:
        raise UserError(f"{weights.url} cannot be downloaded ({error})") from error
    finally:
        pathlib.Path(unfinished).unlink(missing_ok=True)
