"""What an encoder is, what it eats and where it comes from: the part of an export that is no array.

It is JSON, so that every other program can read it too.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec

from data_pipelines.errors import UserError
from data_pipelines.spec import StrideUnit

FORMAT = "cvrl_jax.encoder"
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Description:
    """Of one encoder.

    Attributes:
      model: the tower, as the fields of `config.model`, `name` among them.
      frames: per clip.
      stride: distance between neighbouring frames of a clip, in `stride_unit`.
      stride_unit: "frames" of the file, or "seconds".
      size: height and width of a clip, pixels.
      framewise: whether the tower sees one frame at a time and a clip's vector is their mean.
      origin: where it comes from: `method`, `step`, `config`, `metrics`, `data`, `versions`.
    """

    model: dict[str, Any]
    frames: int
    stride: float
    stride_unit: StrideUnit
    size: int
    framewise: bool
    origin: dict[str, Any]

    @property
    def title(self) -> str:
        """What it is called in messages, such as "r3d50 (width=0.5) of cvrl"."""
        width = self.model.get("width", 1.0)
        tower = self.model["name"] + ("" if width == 1.0 else f" (width={width:g})")
        return f"{tower} of {self.origin.get('method', 'unknown method')}"

    def to_json(self) -> str:
        """The inverse of `from_json`."""
        values = {"format": FORMAT, "version": VERSION} | dataclasses.asdict(self)
        return json.dumps(values, indent=2, sort_keys=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> Description:
        """Reads what `to_json` wrote.

        Args:
          text: JSON.
          where: the file, for the message.

        Raises:
          UserError: it is something else, or of a later version.
        """
        try:
            values = json.loads(text)
            kind, version = values.pop("format"), values.pop("version")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise UserError(f"{where} describes no encoder of cvrl_jax ({error})") from error
        if kind != FORMAT or version != VERSION:
            raise UserError(
                f"{where} is of format {kind!r}, version {version!r}; this cvrl_jax reads "
                f"{FORMAT!r}, version {VERSION}: install the one that wrote it, or a newer one"
            )
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise UserError(f"{where} is incomplete ({error}); export the run again") from error
