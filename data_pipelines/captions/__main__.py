"""Cuts the sentences of a whole collection, one JSON object, into a file for each video."""

from __future__ import annotations

import json
import mmap
import pathlib
import re
from collections.abc import Iterator

from tqdm import tqdm

from data_pipelines.command import Parser, run
from data_pipelines.errors import UserError

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\]]', re.DOTALL)


def main(argv: list[str]) -> int:
    """Writes the files; prints how many."""
    parser = Parser(prog="python -m data_pipelines.captions", description=__doc__)
    parser.add_argument("file", help='JSON: {"ID": {"text": [...], "start": [...], "end": [...]}}')
    parser.add_argument("folder", help="where ID.json is written for each video")
    flags = parser.parse_args(argv)
    file, folder = pathlib.Path(flags.file).expanduser(), pathlib.Path(flags.folder).expanduser()
    if not file.is_file() or not file.stat().st_size:
        raise UserError(f"{file} does not exist, or is empty: name a JSON file of sentences")
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    with (
        file.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
        tqdm(total=len(content), unit="B", unit_scale=True, disable=None) as bar,
    ):
        for name, begin, end in members(content, str(file)):
            if not name or "/" in name or name.startswith("."):
                raise UserError(f"{file}: {name!r} cannot be the name of a video's file")
            (folder / f"{name}.json").write_bytes(content[begin:end])
            written += 1
            bar.update(end - bar.n)
    print(f"{written} videos")
    return 0


def members(content: bytes | mmap.mmap, where: str) -> Iterator[tuple[str, int, int]]:
    """Yields the members of a JSON object whose values are objects or lists.

    Nothing but the place of each value is kept, so the object may be larger than the memory.

    Args:
      content: the object, UTF-8.
      where: its file, for messages.

    Yields:
      (name, where the value begins, where it ends).

    Raises:
      UserError: it is no such object, or breaks off.
    """
    depth, begin, name = 0, 0, None
    for token in _TOKEN.finditer(content):
        text = token.group()
        if text[:1] == b'"':
            if depth == 1 and name is None:
                name = json.loads(text)
        elif text in (b"{", b"["):
            depth += 1
            if depth == 1 and text == b"[":
                raise UserError(f"{where} holds a list, not an object by names of videos")
            if depth == 2:
                begin = token.start()
        else:
            depth -= 1
            if depth == 1 and name is not None:
                yield name, begin, token.end()
                name = None
    if depth or name is not None:
        raise UserError(f"{where} breaks off, or is no JSON object of objects")


if __name__ == "__main__":
    run(main, "interrupted; the same command writes the files again")
