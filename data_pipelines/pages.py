"""HTML pages from Jinja templates: strict, escaped, and on disk as a whole or not at all."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import jinja2


def render(package: str, template: str, contents: dict[str, Any], **filters: Callable) -> str:
    """Fills in a template.

    Args:
      package: dotted name of the package beside whose modules the template lies.
      template: name of its file.
      contents: what it shows, by name; text is escaped, and a name it lacks is an error.
      **filters: functions that the template applies.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(template).render(contents)


def write_whole(path: pathlib.Path, page: str) -> None:
    """Writes or replaces a file in one piece; makes the folders it needs.

    File names that are no UTF-8 reach us as lone surrogates, and are shown escaped.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_bytes(page.encode("utf-8", "backslashreplace"))
    os.replace(unfinished, path)
