"""Sentences as numbers: which belong to a clip, and what number each word has."""

from data_pipelines.text.sentences import chosen_sentences, nearest_sentences, read_text
from data_pipelines.text.tokenizer import PAD, UNKNOWN, Tokenizer, load_tokenizer, word_tokenizer

__all__ = [
    "PAD",
    "UNKNOWN",
    "Tokenizer",
    "chosen_sentences",
    "load_tokenizer",
    "nearest_sentences",
    "read_text",
    "word_tokenizer",
]
