"""Video, waveform and spectrogram towers: pieces, DropToken, pooling, sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.models import create_model
from cvrl_jax.models.registry import count_parameters
from cvrl_jax.models.token_tower import kept_tokens
from data_pipelines.errors import UserError

TINY = {"layers": 1, "width": 8, "mlp": 12, "heads": 2, "head_size": 4}
VIDEO = {**TINY, "patch": (2, 4, 4), "grid": (2, 3, 2)}
CLIPS = np.random.default_rng(0).uniform(size=(3, 4, 12, 8, 3)).astype(np.float32)


def vit(**fields):
    return create_model("vit_small", **VIDEO | fields)


def shapes(name, x, **fields):
    tower = create_model(name, **fields)
    return jax.eval_shape(lambda: tower.init(jax.random.key(0), x, False))["params"]


CLIP, WAVE = jnp.zeros((1, 32, 224, 224, 3)), jnp.zeros((1, 153_600))
SENTENCE = jnp.zeros((1, 16), jnp.int32)
POSITIONS = {"vit": (8, 14, 14), "wat": (1200,), "spt": (9, 16)}


@pytest.mark.parametrize(
    ("name", "x", "millions"),
    [
        ("vit_base", CLIP, 87.45),
        ("vit_medium", CLIP, 154.34),
        ("vit_large", CLIP, 305.50),
        ("wat_base", WAVE, 86.08),
    ],
)
def test_towers_count_as_in_the_paper(name, x, millions):
    params = shapes(name, x)
    assert count_parameters(params) / 1e6 == pytest.approx(millions, abs=0.006)
    grid = tuple(table.shape[0] for table in params["positions"].values())
    assert grid == POSITIONS[name[:3]]


def test_the_small_text_tower_counts_as_in_the_paper_with_its_words_apart():
    params = shapes("t5_small", SENTENCE, word_size=300, frozen_words=True)
    words = count_parameters(params["words"])
    assert words == 65536 * 300  # 19.66 million
    assert (count_parameters(params) - words) / 1e6 == pytest.approx(19.0, abs=0.05)
    learned = shapes("t5_small", SENTENCE)
    assert learned["words"]["table"].shape == (65536, 512)


def test_the_modality_agnostic_tower_counts_as_in_the_paper():
    fields = {"pre_projection": True, "post_projection": 1024}
    towers = {
        "vit_medium": shapes("vit_medium", CLIP, **fields),
        "wat_medium": shapes("wat_medium", WAVE, **fields),
        "text_medium": shapes("text_medium", SENTENCE, word_size=300, **fields),
    }
    encoders = [params.pop("encoder") for params in towers.values()]
    same = [jax.tree.map(lambda leaf: leaf.shape, encoder) for encoder in encoders]
    assert same[0] == same[1] == same[2]
    towers["text_medium"].pop("words")
    total = count_parameters(encoders[0]) + count_parameters(towers)
    assert total / 1e6 == pytest.approx(161.3, abs=0.05)


def test_tubelets_are_the_strided_convolution_of_the_clip_in_minus_one_to_one(random_variables):
    tower = vit()
    p = random_variables(tower, CLIPS)["params"]
    pieces = tower.split(CLIPS)
    assert pieces.shape == (3, 2, 3, 2, 2 * 4 * 4 * 3)
    tokens = pieces @ p["patch"]["kernel"]
    kernel = np.asarray(p["patch"]["kernel"]).reshape(2, 4, 4, 3, 8)
    expected = jax.lax.conv_general_dilated(
        2 * CLIPS - 1, kernel, (2, 4, 4), "VALID", dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
    )
    np.testing.assert_allclose(tokens, expected, rtol=1e-4, atol=1e-4)


def test_what_does_not_fill_a_tubelet_is_cut_off_and_an_image_is_a_still(random_variables):
    tower = vit()
    variables = random_variables(tower, CLIPS)
    padded = np.pad(CLIPS, [(0, 0), (0, 1), (0, 3), (0, 2), (0, 0)], constant_values=0.5)
    np.testing.assert_array_equal(
        tower.apply(variables, padded, False), tower.apply(variables, CLIPS, False)
    )
    image = CLIPS[:, 0]
    still = np.repeat(image[:, None], 2, axis=1)
    np.testing.assert_array_equal(
        tower.apply(variables, image, False), tower.apply(variables, still, False)
    )


def test_the_feature_is_agg_or_the_mean_of_the_tokens_and_notices_their_places(random_variables):
    for pooling in ("agg", "mean"):
        tower = vit(pooling=pooling)
        variables = random_variables(tower, CLIPS)
        assert ("agg" in variables["params"]) == (pooling == "agg")
        feature = tower.apply(variables, CLIPS, False)
        assert feature.shape == (3, tower.feature_size)
        assert feature.dtype == jnp.float32
        turned = tower.apply(variables, CLIPS[:, ::-1], False)
        assert not np.allclose(feature, turned, atol=1e-3)
        placeless = vit(pooling=pooling, grid=(2, 3, 2))
        without = jax.tree.map(np.zeros_like, variables["params"]["positions"])
        bare = {"params": variables["params"] | {"positions": without}}
        swapped = np.concatenate([CLIPS[:, 2:], CLIPS[:, :2]], axis=1)  # two tubelets of time
        np.testing.assert_allclose(
            placeless.apply(bare, CLIPS, False), placeless.apply(bare, swapped, False), atol=1e-5
        )


def test_other_sizes_take_interpolated_positions(random_variables):
    tower = vit()
    variables = random_variables(tower, CLIPS)
    larger = np.random.default_rng(1).uniform(size=(2, 6, 16, 16, 3)).astype(np.float32)
    for how in ("cubic", "spline"):
        feature = vit(position_resize=how).apply(variables, larger, False)
        assert feature.shape == (2, 8)
        assert np.isfinite(feature).all()


def test_the_released_form_of_positions_and_modality_agnostic_layers_run(random_variables):
    tower = vit(position_norm=True, pre_projection=True, post_projection=6, dropout=0.1)
    variables = random_variables(tower, CLIPS)
    assert "norm" in variables["params"]["positions"]
    feature = tower.apply(variables, CLIPS, True, rngs={"dropout": jax.random.key(0)})
    assert feature.shape == (3, 6) == (3, tower.feature_size)


def test_drop_token_keeps_the_positions_and_pieces_it_drew(random_variables):
    variables = random_variables(vit(), CLIPS)
    key = jax.random.key(5)
    for shared in (False, True):
        tower = vit(drop_token=0.5, drop_token_shared=shared, pooling="mean")
        got = tower.apply(variables, CLIPS, True, rngs={"dropout": key})

        def by_hand(module, shared=shared):
            kept = kept_tokens(module.make_rng("dropout"), 1 if shared else 3, 12, 0.5)
            assert kept.shape[1] == 6
            p = variables["params"]
            x = vit().split(CLIPS).reshape(3, 12, -1) @ p["patch"]["kernel"] + p["patch"]["bias"]
            tables = p["positions"]
            grid = sum(
                tables[f"axis{axis}"].reshape(shape)
                for axis, shape in enumerate([(2, 1, 1, 8), (1, 3, 1, 8), (1, 1, 2, 8)])
            )
            x = jnp.take_along_axis(x + grid.reshape(12, 8), kept[..., None], axis=1)
            from cvrl_jax.models.transformer import Transformer

            return Transformer(**TINY).apply({"params": p["encoder"]}, x, False).mean(axis=1)

        expected = tower.apply(variables, method=by_hand, rngs={"dropout": key})
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_drop_token_is_off_in_evaluation(random_variables):
    variables = random_variables(vit(), CLIPS)
    np.testing.assert_array_equal(
        vit(drop_token=0.75).apply(variables, CLIPS, False),
        vit().apply(variables, CLIPS, False),
    )
    np.testing.assert_array_equal(
        vit().apply(variables, CLIPS, True), vit().apply(variables, CLIPS, False)
    )


def test_every_subset_of_tokens_is_as_likely_and_examples_draw_apart():
    kept = np.asarray(kept_tokens(jax.random.key(0), 4000, 4, 0.5))
    assert (np.diff(kept, axis=1) > 0).all()
    _, counts = np.unique(kept, axis=0, return_counts=True)
    assert len(counts) == 6
    np.testing.assert_allclose(counts / 4000, 1 / 6, atol=0.03)
    assert kept_tokens(jax.random.key(0), 1, 1568, 0.5).shape == (1, 784)
    assert kept_tokens(jax.random.key(0), 1, 3, 0.99).shape == (1, 1)


def test_a_waveform_is_cut_into_patches(random_variables):
    tower = create_model("wat_small", **TINY, patch=4, grid=(5,))
    wave = np.arange(2 * 22, dtype=np.float32).reshape(2, 22)
    pieces = tower.split(wave)
    assert pieces.shape == (2, 5, 4)
    np.testing.assert_array_equal(pieces[1, 2], [30, 31, 32, 33])
    variables = random_variables(tower, wave)
    assert tower.apply(variables, wave / 44, False).shape == (2, 8)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("vit_bse", {}, "did you mean 'vit_base'"),
        ("vit_base", {"drop_tokens": 0.5}, "did you mean 'drop_token'"),
        ("vit_base", {"drop_token": 1.0}, r"drop_token=1.0: must lie in \[0, 1\)"),
        ("vit_base", {"pooling": "avg"}, "pooling='avg'.*agg, mean"),
        ("vit_base", {"patch": (4, 16)}, "patch.*3 integers"),
        ("vit_base", {"grid": (8, 14, 0)}, "grid.*at least 1"),
        ("vit_base", {"layers": 0}, "layers=0: must be at least 1"),
        ("vit_base", {"post_projection": -1}, "post_projection=-1: must be at least 0"),
        ("t5_small", {"relative_bias": "last"}, "relative_bias='last'"),
        ("spt_base", {"band_range": (80.0,)}, "band_range.*2 numbers"),
        ("text_linear", {"vocabulary": 0}, "vocabulary=0"),
    ],
)
def test_what_cannot_be_built_is_explained(name, fields, message):
    from data_pipelines.errors import UserError

    with pytest.raises(UserError, match=message):
        create_model(name, **fields)


@pytest.mark.parametrize(
    ("name", "fields", "shape"),
    [
        ("vit_small", {"patch": (2, 8, 8)}, (1, 4, 4, 4, 3)),
        ("wat_base", {"patch": 128}, (1, 64)),
        ("spt_base", {"patch": (4, 5), "window": 256, "step": 64, "bands": 20}, (1, 300)),
    ],
)
def test_an_input_without_a_token_is_refused(name, fields, shape):
    tower = create_model(name, **fields)
    with pytest.raises(UserError, match="has no token"):
        jax.eval_shape(lambda x: tower.init(jax.random.key(0), x, train=False), jnp.zeros(shape))
