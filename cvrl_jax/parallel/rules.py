"""Rules that say over which mesh axes an array of the state is split, by its name.

A rule is a pair of strings: a regular expression searched for in the path of an array, and what
becomes of its axes, in order and separated by commas: `_` stays whole, `model` is split over that
axis of the mesh, `replica+data` over both. `whole` is an array with a copy on every device. `fsdp`
splits the longest axis that is still whole, and that the devices divide, over `data`; it may follow
the axes behind a semicolon. A rule is for arrays of as many axes as it names; the first that fits
decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from cvrl_jax.parallel.mesh import AXES
from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest

# Megatron-LM (arXiv 1909.08053, section 3): the first product of attention and of an MLP is split
# by columns (whole heads, hidden units), the second by rows; one all-reduce follows the second.
_TENSOR = (
    (r"\battention/(query|key|value)/kernel$", "_, model"),
    (r"\battention/(query|key|value)/bias$", "model"),
    (r"\battention/out/kernel$", "model, _"),
    (r"\bup/kernel$", "_, model"),
    (r"\bup/bias$", "model"),
    (r"\bdown/kernel$", "model, _"),
    (r"\brelative_bias/table$", "_, model"),
    (r"\bwords/table$", "_, model"),
)

PRESETS: dict[str, tuple[tuple[str, str], ...]] = {
    "data_parallel": (),
    # ZeRO, arXiv 1910.02054, all three stages.
    "fsdp": ((".*", "fsdp"),),
    "tensor": _TENSOR,
    "fsdp_tensor": (*((pattern, f"{axes}; fsdp") for pattern, axes in _TENSOR), (".*", "fsdp")),
}


class Rule(NamedTuple):
    """A rule, parsed.

    Attributes:
      pattern: searched for in paths.
      axes: by axis of the array, the mesh axes that split it; None = of any array.
      fsdp: whether the longest whole axis is then split over `data`.
      text: as written, for messages and tables.
      own: written in the config, and not of a preset.
    """

    pattern: re.Pattern[str]
    axes: tuple[tuple[str, ...], ...] | None
    fsdp: bool
    text: str
    own: bool

    def fits(self, path: str, axes: int) -> bool:
        """Whether it decides about an array of that path and number of axes."""
        right_axes = self.axes is None or len(self.axes) == axes
        return right_axes and self.pattern.search(path) is not None


Rules = tuple[Rule, ...]


def create_rules(preset: str, own: Iterable[Any] = ()) -> Rules:
    """The rules of a config: its own first, then those of the preset.

    Args:
      preset: a key of `PRESETS`: 'data_parallel' = a copy of all on every device, 'fsdp' = large
        arrays split over `data`, 'tensor' = transformers split over `model`, 'fsdp_tensor' = both.
      own: pairs of strings, see above.

    Raises:
      UserError: the preset is unknown, or a rule is none.
    """
    if preset not in PRESETS:
        raise UserError(f"config.parallel.preset = {preset!r}; {nearest(preset, PRESETS)}")
    parsed = [_parse(rule, own=True) for rule in own]
    return (*parsed, *(_parse(rule, own=False) for rule in PRESETS[preset]))


def _parse(rule: Any, own: bool) -> Rule:
    where = f"config.parallel.rules has {rule!r}"
    if len(rule) != 2 or not all(isinstance(part, str) for part in rule):
        raise UserError(f"{where}: a rule is a pair (regular expression, axes), both strings")
    text, (axes, _, more) = f"{rule[0]} -> {rule[1]}", rule[1].partition(";")
    try:
        pattern = re.compile(rule[0])
    except re.error as error:
        raise UserError(f"{where}: {rule[0]!r} is no regular expression ({error})") from error
    axes, more = axes.strip(), more.strip()
    if more not in ("", "fsdp"):
        raise UserError(f"{where}: only 'fsdp' may follow the semicolon, not {more!r}")
    if axes in ("whole", "fsdp"):
        return Rule(pattern, None, axes == "fsdp", text, own)
    split = tuple(_mesh_axes(axis.strip(), where) for axis in axes.split(","))
    used = [name for names in split for name in names]
    if len(set(used)) < len(used):
        raise UserError(f"{where}: a mesh axis can split one axis of an array only")
    return Rule(pattern, split, more == "fsdp", text, own)


def _mesh_axes(axis: str, where: str) -> tuple[str, ...]:
    if axis == "_":
        return ()
    names = tuple(name.strip() for name in axis.split("+"))
    for name in names:
        if name not in AXES:
            raise UserError(f"{where}: {name!r} is no axis of the mesh; {nearest(name, AXES)}")
    return names
