"""Makes a vocabulary from the sentences of a collection, or of a text file."""

from __future__ import annotations

import argparse
import json
import logging
import pathlib
from collections.abc import Iterator

from data_pipelines.command import Parser, run
from data_pipelines.errors import BadVideo, UserError
from data_pipelines.sources import add_section_flags, read_splits, section_of
from data_pipelines.sources.listing import check_missing
from data_pipelines.text.tokenizer import word_tokenizer
from data_pipelines.text.train import train_vocabulary

_EPILOG = """The output is what config.data.text.tokenizer names: one word per line, or with an
ending of .json a file of Hugging Face's tokenizers. Sentences of a split named test are not
looked at. Exit status: 0; 2 when the request cannot be met; 130 after Ctrl-C."""


def main(argv: list[str]) -> int:
    """Writes the vocabulary; prints its size as the last line."""
    flags = _parser().parse_args(argv)
    output = pathlib.Path(flags.output).expanduser()
    found = train_vocabulary(_sentences(flags), flags.size, flags.least)
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.suffix == ".json":
        word_tokenizer(found.words).save(str(output))
    else:
        output.write_text("".join(f"{word}\n" for word in found.words), encoding="utf-8")
    if flags.json:
        print(json.dumps({"words": len(found.words), "sentences": found.sentences}))
    else:
        print(f"{len(found.words)} words of {found.sentences} sentences in {output}")
    return 0


def _sentences(flags: argparse.Namespace) -> Iterator[str]:
    place = pathlib.Path(flags.input).expanduser()
    if place.suffix == ".txt":
        if not place.is_file():
            raise UserError(f"{place} does not exist: name a text with a sentence in every line")
        with place.open(encoding="utf-8-sig", errors="replace") as lines:
            yield from lines
        return
    section = section_of(flags, flags.input, flags.root)
    splits = read_splits(section)
    unread = 0
    for name, source in splits.items():
        if name == "test" and len(splits) > 1:
            continue
        check_missing(source, section.max_missing_fraction)
        for index in range(len(source)):
            try:
                yield from (caption.text for caption in source.info(index).captions)
            except BadVideo:
                unread += 1
    if unread:
        logging.getLogger(__name__).warning("the sentences of %d videos cannot be read", unread)


def _parser() -> Parser:
    parser = Parser(prog="python -m data_pipelines.text", description=__doc__, epilog=_EPILOG)
    add = parser.add_argument
    add("--input", metavar="PLACE", required=True,
        help="a .txt file with a sentence in every line; or videos with sentences: a list of them "
        "ending in .csv or .jsonl, or the folder of a --source")  # fmt: skip
    add("--root", metavar="DIR", default="", help="folder that a list's paths are relative to; "
        "default: its own")  # fmt: skip
    add("--output", metavar="FILE", required=True, help="vocabulary.txt, or .json")
    add("--size", type=int, default=65_536, help="most words; default %(default)s")
    add("--least", type=int, default=1, help="how often a word must occur; default %(default)s")
    add("--json", action="store_true", help="print the counts as JSON")
    add_section_flags(parser)
    return parser


if __name__ == "__main__":
    run(main, "interrupted; nothing was written")
