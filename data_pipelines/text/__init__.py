"""Sentences as numbers: which belong to a clip, and what number each word has."""

from data_pipelines.text.sentences import nearest_sentences, read_text
from data_pipelines.text.tokenizer import PAD, UNKNOWN, Tokenizer, load_tokenizer, word_tokenizer

__all__ = [
    "PAD",
    "UNKNOWN",
    "Tokenizer",
    "load_tokenizer",
    "nearest_sentences",
    "read_text",
    "word_tokenizer",
]
