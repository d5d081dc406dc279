"""One line for each way in which a command line can be wrong."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict

from data_pipelines.errors import UserError, first_line
from data_pipelines.suggest import nearest

_NEEDED = "--config=FILE.py is needed, e.g. --config=configs/cvrl_r3d50.py:tiny"
# What absl and ml_collections raise for wrong flags, wrong fields and missing files.
_PARSE_ERRORS = (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError)


def parse_flags(argv: Sequence[str]) -> list[str]:
    """Parses `argv` into the program's flags, of which `--config` is an ml_collections file.

    Args:
      argv: the program's name and its arguments.

    Returns:
      The arguments that are no flags, the program's name first.

    Raises:
      UserError: says in one line which flag or field is wrong, and the nearest right one.
    """
    _check_config_file(argv)
    try:
        return flags.FLAGS(argv)
    except _PARSE_ERRORS as error:
        _raise_user_error_within(error)
        _check_fields(argv)
        raise UserError(first_line(error)) from error


def _check_config_file(argv: Sequence[str]) -> None:
    value = _config_value(argv)
    if value is None and not any(arg.startswith("--config.") for arg in argv):
        return
    if not value:
        raise UserError(_NEEDED)
    path = pathlib.Path(value.partition(":")[0])
    if not path.is_file():
        there = sorted(
            str(file)
            for file in path.parent.glob("[!_]*.py")
            if file.name not in ("base.py", "presets.py", "on_data.py")
        )
        advice = nearest(str(path), there) if there else f"no config in {path.parent}"
        raise UserError(f"--config={path}: no such file; {advice}")


def _config_value(argv: Sequence[str]) -> str | None:
    """What `--config` is set to, in either spelling; None where it is not set."""
    value = None
    for arg, following in zip(argv, [*argv[1:], ""]):
        if arg == "--config":
            value = following
        elif arg.startswith("--config="):
            value = arg.removeprefix("--config=")
    return value


def _raise_user_error_within(error: BaseException | None) -> None:
    """Finds what a config file itself had to say under the exceptions wrapped round it."""
    while error is not None:
        if type(error) is UserError and "\n" not in str(error):
            raise error
        error = error.__cause__ or error.__context__


def _check_fields(argv: Sequence[str]) -> None:
    """Names the first `--config.FIELD` that the config does not have."""
    value = _config_value(argv)
    try:
        config = flags.FLAGS["config"].parser.parse(value) if value else None
    except _PARSE_ERRORS as error:
        _raise_user_error_within(error)
        raise UserError(
            f"--config={value}: not an experiment ({first_line(error)}); it needs a function "
            "get_config(), with one argument if a preset follows the colon"
        ) from error
    for arg in argv:
        name = arg.removeprefix("--config.").partition("=")[0]
        if not arg.startswith("--config.") or not isinstance(config, ConfigDict):
            continue
        section, above = config, "config"
        for field in name.split("."):
            if not isinstance(section, ConfigDict):
                raise UserError(f"--config.{name}: {above} is one value and has no fields")
            if field not in section:
                raise UserError(
                    f"--config.{name}: {above} has no field {field!r}; {nearest(field, section)}"
                )
            section, above = section[field], f"{above}.{field}"
        text = arg.partition("=")[2]
        for kind in (int, float):
            if type(section) is kind and not _reads_as(kind, text):
                raise UserError(f"--config.{name}={text}: not a number; it is {section} now")


def _reads_as(kind: type, text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
