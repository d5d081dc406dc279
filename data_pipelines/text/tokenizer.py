"""From a sentence to the numbers of its words."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from data_pipelines.errors import UserError

PAD = "<pad>"
"""Fills sentences up; always number 0."""

UNKNOWN = "<unk>"
"""Stands for every word that the vocabulary does not have."""

_PADS = (PAD, "[PAD]")  # what files of other projects call it
_PUNCTUATION = tokenizers.Regex(r"[!-/:-@\[-`{-~]")  # that of ASCII
_STRANGE = "\u2047\uffff"  # in no vocabulary of words


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """Turns sentences into numbers; threads may share it.

    Attributes:
      size: numbers there may be; every one is below it.
      tokens: of a sentence, at most; the rest is cut off.
    """

    size: int
    tokens: int
    _inner: tokenizers.Tokenizer

    def encode(self, sentence: str) -> list[int]:
        """Returns the numbers of a sentence, [] if there is no word in it.

        A word that the vocabulary does not have becomes that of `UNKNOWN`. Marks that the tokenizer
        adds at either end count as tokens, but not as words.
        """
        encoded = self._inner.encode(sentence)
        return [] if all(encoded.special_tokens_mask) else encoded.ids


@functools.lru_cache(maxsize=16)
def load_tokenizer(path: str = "", tokens: int = 16) -> Tokenizer:
    """Reads a tokenizer.

    Args:
      path: a file of Hugging Face's `tokenizers` (ending in .json), or a vocabulary: one word per
        line, UTF-8, whose numbers are those of the lines from 0. "" = the words of the built-in
        source.
      tokens: of a sentence, at most.

    Raises:
      UserError: there is no such file, it is malformed, number 0 is not `PAD`, unknown words have
        no number, or the marks at the ends of a sentence are more than `tokens`.
    """
    if not path:
        # Here, for sources know texts.
        from data_pipelines.sources.moving_shapes import VOCABULARY

        return _finish(word_tokenizer(VOCABULARY), "the built-in vocabulary", tokens)
    file = pathlib.Path(path).expanduser()
    if not file.is_file():
        raise UserError(
            f"config.data.text.tokenizer={path} is no file: name a vocabulary (one word per line) "
            "or a tokenizers .json file; python -m data_pipelines.text makes one"
        )
    if file.suffix == ".json":
        try:
            inner = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises nothing narrower
            raise UserError(f"{path} is no file of Hugging Face's tokenizers: {error}") from error
    else:
        inner = word_tokenizer(_read_vocabulary(file))
    return _finish(inner, path, tokens)


def word_tokenizer(vocabulary: Sequence[str]) -> tokenizers.Tokenizer:
    """Makes the word-level tokenizer of VATT and DMVR.

    ASCII punctuation is taken out, letters become small ones, and blanks separate words.

    Args:
      vocabulary: the words by number, all different.
    """
    numbers = {word: number for number, word in enumerate(vocabulary)}
    inner = tokenizers.Tokenizer(models.WordLevel(numbers, unk_token=UNKNOWN))
    inner.normalizer = normalizers.Sequence(
        [normalizers.Replace(_PUNCTUATION, ""), normalizers.Lowercase()]
    )
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return inner


def _read_vocabulary(file: pathlib.Path) -> list[str]:
    try:
        words = file.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"the vocabulary {file} is not text in UTF-8: {error}") from error
    words = [word.removesuffix("\r") for word in words]
    lines: dict[str, int] = {}
    for line, word in enumerate(words, start=1):
        if word in lines:
            raise UserError(
                f"the vocabulary {file} has {word!r} in line {lines[word]} and again in line "
                f"{line}: a word must have one number"
            )
        lines[word] = line
    if UNKNOWN not in lines:
        raise UserError(f"the vocabulary {file} has no {UNKNOWN}: add a line with it")
    return words


def _finish(inner: tokenizers.Tokenizer, name: str, tokens: int) -> Tokenizer:
    pads = {pad: number for pad in _PADS if (number := inner.token_to_id(pad)) is not None}
    if not pads:
        raise UserError(
            f"{name} has no {PAD}: it must be number 0 (the first line of a vocabulary)"
        )
    if 0 not in pads.values():
        pad, number = next(iter(pads.items()))
        raise UserError(
            f"{name}: {pad} is number {number}; it must be 0 (the first line of a vocabulary)"
        )
    inner.no_padding()
    inner.enable_truncation(tokens)
    try:
        inner.encode(f"a {_STRANGE}")
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{name} has no number for unknown words: {error}") from error
    marks = len(inner.encode("").ids)
    if marks >= tokens:
        raise UserError(
            f"{name} adds {marks} marks to a sentence: {tokens} tokens leave no room for words"
        )
    return Tokenizer(max(inner.get_vocab().values()) + 1, tokens, inner)
