"""Writes an export as a whole or not at all, and proves that it computes the same."""

from __future__ import annotations

import logging
import os
import pathlib
import re
import shutil
import tempfile
from typing import Any

import numpy as np

from cvrl_jax.encoder import Encoder
from cvrl_jax.export.card import model_card
from cvrl_jax.export.files import open_loader
from cvrl_jax.export.targets import TARGETS, Target
from cvrl_jax.loading import load_encoder
from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest

_TOLERANCE = 1e-4  # of the largest feature; float32 sums in another order differ by about 1e-6

log = logging.getLogger(__name__)


def export_checkpoint(
    checkpoint: pathlib.Path, to: str, output: pathlib.Path, license: str = ""
) -> dict[str, Any]:
    """Exports the encoder of a run (or of another export); `--mode=export`.

    Beside OUTPUT.EXT come OUTPUT.md, the model card, and OUTPUT.py where those who receive the
    export need some code; in a `native` folder the card is README.md.

    Args:
      checkpoint: what `cvrl_jax.load` opens.
      to: a key of `TARGETS`.
      output: the file, or folder, to make.
      license: of the weights, for the card: an SPDX identifier such as "cc-by-nc-4.0"; "" leaves it
        open.

    Returns:
      What was written, and how far features computed from it are from the encoder's own, on random
      clips: `largest_difference` beside `largest_feature`.

    Raises:
      UserError: nothing there to export, the target does not fit it, or something is in the way.
    """
    if to not in TARGETS:
        raise UserError(f"--to={to!r} is no export; {nearest(to, TARGETS)}")
    if not re.fullmatch(r"[A-Za-z0-9.+-]*", license):
        raise UserError(f"--license={license!r} is no SPDX identifier, such as cc-by-nc-4.0")
    target = TARGETS[to]
    paths = _paths(output.expanduser(), to, target)
    encoder = load_encoder(str(checkpoint))
    target.fits(encoder)
    folder = paths["export"].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        prefix = f".{output.name}.unfinished."
        unfinished = pathlib.Path(tempfile.mkdtemp(dir=folder, prefix=prefix))
    except OSError as error:
        raise UserError(f"--output={output} cannot be written ({error})") from error
    try:
        inside = {kind: unfinished / path.name for kind, path in paths.items()}
        target.write(encoder, inside["export"])
        if target.loader:
            shutil.copyfile(target.loader, inside["loader"])
        result = {"to": to, "checkpoint": str(checkpoint)} | _compare(encoder, target, inside)
        card = model_card(
            encoder.description, encoder.variables, to, target, result, output.name, license
        )
        if target.suffix:
            inside["card"].write_text(card, encoding="utf-8")
        else:
            (inside["export"] / "README.md").write_text(card, encoding="utf-8")
        for kind in [*paths][::-1]:  # the export itself last: where it is, the rest is too
            os.replace(inside[kind], paths[kind])
    except OSError as error:
        raise UserError(f"--output={output} cannot be written ({error})") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return result | {"written": [str(path) for path in paths.values()]}


def _paths(output: pathlib.Path, to: str, target: Target) -> dict[str, pathlib.Path]:
    """Where everything goes; a UserError if something is there, or the name does not fit."""
    if output.suffix != target.suffix and target.suffix:
        raise UserError(f"--output={output}: a file of --to={to} is called NAME{target.suffix}")
    paths = {"export": output}
    if target.suffix:
        paths["card"] = output.with_suffix(".md")
    if target.loader:
        paths["loader"] = output.with_suffix(".py")
    for path in paths.values():
        if path.exists():
            raise UserError(f"{path} is there already; name another --output or delete it")
    return paths


def _compare(encoder: Encoder, target: Target, inside: dict[str, pathlib.Path]) -> dict[str, Any]:
    """Runs what was written on clips of random pixels."""
    d = encoder.description
    shape = (2, d.frames, d.size, d.size, 3)
    clips = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    loader = open_loader(inside["loader"]) if target.loader else None
    ours, theirs = encoder.embed(clips), target.run(inside["export"], loader, clips)
    if ours.shape != theirs.shape:
        raise UserError(f"the export gives vectors {theirs.shape}, the encoder {ours.shape}")
    difference, largest = float(np.abs(ours - theirs).max()), float(np.abs(ours).max())
    if not difference <= _TOLERANCE * largest:
        raise UserError(
            f"the export computes something else: features differ by {difference:.3g} where the "
            f"largest is {largest:.3g}; nothing was written, please report this"
        )
    return {
        "largest_difference": difference,
        "largest_feature": largest,
        "features": int(ours.shape[1]),
    }
