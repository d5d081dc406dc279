"""Text towers: a transformer, and a linear layer on words (VATT, arXiv 2104.11178, 3.1 and 4)."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cvrl_jax.models.fields import check_fields
from cvrl_jax.models.heads import dense_init
from cvrl_jax.models.token_tower import TokenTower
from cvrl_jax.models.transformer import gelu
from data_pipelines.errors import UserError


class TextTransformer(TokenTower):
    """Words -> vectors -> transformer; token 0 is padding, seen by none.

    The fields of T5 (see `Transformer`) instead of `grid` give positions by distance.

    Attributes (and those of `TokenTower`):
      vocabulary: number of tokens, padding included.
      word_size: length of a word's vector. 0 = `width`, learned one for one (the paper: a linear
        layer on one-hot words). 300 = word2vec's, with a Dense layer and GELU behind it (the
        released code), or with `pre_projection` in its place.
      frozen_words: never learn the vectors (the released code).
      word_vectors: .npy file of the vectors to start from, [vocabulary, word_size] (the released
        code: those of word2vec); '' = drawn at random.
    """

    vocabulary: int = 65536
    word_size: int = 0
    frozen_words: bool = False
    word_vectors: str = ""

    def _words(self) -> Words:
        size = self.word_size or self.width
        return Words(
            self.vocabulary, size, self.frozen_words, self.word_vectors, self.dtype, name="words"
        )

    def split(self, x: jax.Array) -> jax.Array:
        """Tokens int [N, L] -> [N, L, 1]."""
        return x[..., None]

    def visible(self, pieces_NxSxP: jax.Array) -> jax.Array:
        """All but padding."""
        return pieces_NxSxP[..., 0] != 0

    def embed(self, pieces_NxSxP: jax.Array) -> jax.Array:
        """Looks the words up."""
        words = self._words()(pieces_NxSxP[..., 0])
        if not self.word_size or self.pre_projection:
            return words
        dense = nn.Dense(
            self.width, use_bias=self.biases, kernel_init=dense_init, dtype=self.dtype, name="patch"
        )
        return gelu(dense(words))


class LinearText(nn.Module):
    """ReLU(Dense(word)), the greatest over the words of a sentence (MMV, arXiv 2006.16228).

    Attributes:
      vocabulary: number of tokens, padding (0) included.
      word_size: length of a word's vector.
      frozen_words: never learn the vectors.
      word_vectors: .npy file of the vectors to start from; '' = drawn at random.
      width: D.
      dtype: of the arithmetic.
    """

    vocabulary: int = 65536
    word_size: int = 300
    frozen_words: bool = False
    word_vectors: str = ""
    width: int = 2048
    dtype: Any = jnp.float32

    @property
    def feature_size(self) -> int:
        """D, the length of a feature."""
        return self.width

    def check(self) -> None:
        """Raises a UserError where a field's value cannot be."""
        check_fields(self, {})

    def _words(self) -> Words:
        return Words(
            self.vocabulary,
            self.word_size,
            self.frozen_words,
            self.word_vectors,
            self.dtype,
            name="words",
        )

    @nn.compact
    def __call__(self, x_NxL: jax.Array, train: bool, valid: jax.Array | None = None) -> jax.Array:
        """Tokens int [N, L] -> float32 [N, D]; zeros for a sentence of padding alone."""
        del train, valid
        dense = nn.Dense(self.width, kernel_init=dense_init, dtype=self.dtype, name="out")
        hidden_NxLxD = nn.relu(dense(self._words()(x_NxL)))
        # ReLU leaves nothing below 0, so padding at 0 never wins.
        return jnp.where(x_NxL[..., None] != 0, hidden_NxLxD, 0.0).max(axis=1).astype(jnp.float32)


class Words(nn.Module):
    """A table of word vectors, `table` float32 [vocabulary, size].

    Attributes:
      vocabulary: number of tokens.
      size: length of a vector.
      frozen: no gradient reaches the table.
      file: .npy file of the table at the start; '' = random.
      dtype: of the vectors looked up.
    """

    vocabulary: int
    size: int
    frozen: bool
    file: str
    dtype: Any

    def _init(self, key: jax.Array, shape: tuple[int, int], dtype: Any) -> jax.Array:
        if not self.file:
            return nn.initializers.normal(stddev=self.size**-0.5)(key, shape, dtype)
        # Looked at here and not before: a checkpoint is used without the file it started from.
        check_vectors(self.file, shape)
        # Called back, or they would be a constant of the program.
        return jax.pure_callback(
            lambda: np.load(self.file, allow_pickle=False).astype(np.float32),
            jax.ShapeDtypeStruct(shape, dtype),
        )

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Tokens int [...] -> [..., size]; NaN for a token beyond the vocabulary."""
        table = self.param("table", self._init, (self.vocabulary, self.size), jnp.float32)
        table = jax.lax.stop_gradient(table) if self.frozen else table
        return jnp.take(table, tokens, axis=0, mode="fill").astype(self.dtype)


def check_vectors(file: str, shape: tuple[int, int]) -> None:
    """Raises a UserError where `file` is no .npy array of that shape."""
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False).shape
    except (OSError, ValueError) as error:
        raise UserError(f"model field word_vectors={file!r} is no .npy file ({error})") from error
    if found != shape:
        raise UserError(
            f"model field word_vectors={file!r} holds an array {list(found)}; vocabulary and "
            f"word_size ask for {list(shape)}"
        )
