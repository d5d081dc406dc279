"""Makes a vocabulary of the commonest words of a corpus."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from tokenizers import trainers

from data_pipelines.errors import UserError
from data_pipelines.text.tokenizer import PAD, UNKNOWN, word_tokenizer


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """What a corpus gave.

    Attributes:
      words: by number; `PAD` and `UNKNOWN` first, then the commonest first.
      sentences: how many there were.
    """

    words: tuple[str, ...]
    sentences: int


def train_vocabulary(sentences: Iterable[str], size: int, least: int = 1) -> Vocabulary:
    """Counts words as `word_tokenizer` sees them, and keeps the commonest.

    Args:
      sentences: the corpus.
      size: of the vocabulary at most, `PAD` and `UNKNOWN` included.
      least: how often a word must occur.

    Returns:
      A function of the corpus alone: of equally common words, the first by code point is kept.

    Raises:
      UserError: there is no word in the corpus, or no room for one.
    """
    if size < 3 or least < 1:
        raise UserError(
            f"a vocabulary of {size} words that occur {least} times: give 3 and 1 at least"
        )
    count = 0

    def counted() -> Iterable[str]:
        nonlocal count
        for sentence in sentences:
            count += 1
            yield sentence

    inner = word_tokenizer([PAD, UNKNOWN])
    trainer = trainers.WordLevelTrainer(
        vocab_size=size, min_frequency=least, special_tokens=[PAD, UNKNOWN], show_progress=False
    )
    inner.train_from_iterator(counted(), trainer)
    numbers = inner.get_vocab()
    if len(numbers) < 3:
        raise UserError(
            f"no word occurs {least} times in {count} sentences: name a corpus, or a source whose "
            "videos have sentences"
        )
    return Vocabulary(tuple(sorted(numbers, key=numbers.__getitem__)), count)
