"""Text towers: padding is not seen, words are looked up, frozen ones stay."""

import jax
import numpy as np
import pytest

from cvrl_jax.models import create_model
from data_pipelines.errors import UserError

TINY = {"layers": 2, "width": 8, "mlp": 12, "heads": 2, "head_size": 4, "vocabulary": 20}
SENTENCES = np.array([[3, 5, 7, 0, 0], [4, 4, 0, 0, 0], [0, 0, 0, 0, 0]], np.int32)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("t5_small", TINY),
        ("t5_small", {**TINY, "word_size": 6, "relative_bias": "all"}),
        ("text_small", {**TINY, "grid": (5,)}),
        ("text_small", {**TINY, "grid": (5,), "pooling": "mean"}),
        ("text_linear", {"vocabulary": 20, "word_size": 6, "width": 8}),
    ],
)
class TestEveryTower:
    def test_padding_is_not_seen_and_order_is_where_it_should_be(
        self, name, fields, random_variables
    ):
        tower = create_model(name, **fields)
        variables = random_variables(tower, SENTENCES)
        feature = np.asarray(tower.apply(variables, SENTENCES, False))
        assert feature.shape == (3, tower.feature_size)
        assert feature.dtype == np.float32
        assert np.isfinite(feature).all()
        shorter = tower.apply(variables, SENTENCES[:2, :4], False)
        if "grid" not in fields:  # positions of another length are interpolated
            np.testing.assert_allclose(shorter, feature[:2], atol=1e-5)
        words = variables["params"]["words"]["table"]
        other = words.copy()
        other[0] += 3.0
        moved = {"params": variables["params"] | {"words": {"table": other}}}
        np.testing.assert_allclose(tower.apply(moved, SENTENCES, False), feature, atol=1e-5)
        turned = np.asarray(tower.apply(variables, SENTENCES[:1, [2, 1, 0, 3, 4]], False))
        assert np.allclose(turned, feature[:1], atol=1e-5) == (name == "text_linear")

    def test_a_word_beyond_the_vocabulary_shows(self, name, fields, random_variables):
        tower = create_model(name, **fields)
        variables = random_variables(tower, SENTENCES)
        beyond = np.array([[3, 20, 0, 0, 0]], np.int32)
        assert np.isnan(tower.apply(variables, beyond, False)).any()

    def test_frozen_words_get_no_gradient(self, name, fields, random_variables):
        for frozen in (True, False):
            tower = create_model(name, **fields, frozen_words=frozen)
            variables = random_variables(tower, SENTENCES)
            gradient = jax.grad(lambda v, t=tower: (t.apply(v, SENTENCES, False) ** 2).sum())
            words = np.asarray(gradient(variables)["params"]["words"]["table"])
            assert (words == 0).all() == frozen
            assert (words[0] == 0).all()  # padding never learns


def test_the_linear_tower_is_the_greatest_of_relu_of_dense(random_variables):
    tower = create_model("text_linear", vocabulary=20, word_size=6, width=8)
    variables = random_variables(tower, SENTENCES)
    p = variables["params"]
    dense = np.asarray(p["words"]["table"]) @ p["out"]["kernel"] + p["out"]["bias"]
    expected = [np.maximum(dense[[w for w in row if w]], 0).max(0, initial=0) for row in SENTENCES]
    np.testing.assert_allclose(
        tower.apply(variables, SENTENCES, False), np.array(expected), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", ["t5_small", "text_linear"])
def test_words_start_from_a_file(name, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float16)
    np.save(tmp_path / "words.npy", vectors)
    fields = {"vocabulary": 20, "word_size": 6, "word_vectors": str(tmp_path / "words.npy")}
    tower = create_model(name, **fields)
    params = jax.jit(lambda: tower.init(jax.random.key(0), SENTENCES, False))()["params"]
    np.testing.assert_array_equal(params["words"]["table"], vectors.astype(np.float32))
    (tmp_path / "words.txt").write_text("hello")
    for changed, says in (
        ({"vocabulary": 21}, r"holds an array \[20, 6\].*\[21, 6\]"),
        ({"word_vectors": str(tmp_path / "none.npy")}, r"is no \.npy file"),
        ({"word_vectors": str(tmp_path / "words.txt")}, r"is no \.npy file"),
    ):
        wrong = create_model(name, **fields | changed)  # what is trained already needs no file
        with pytest.raises(UserError, match=says):
            jax.eval_shape(lambda t=wrong: t.init(jax.random.key(0), SENTENCES, False))
