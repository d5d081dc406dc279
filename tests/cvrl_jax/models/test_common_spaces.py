"""The common spaces in their three forms, against the layers written out."""

import jax
import numpy as np
import pytest

from cvrl_jax.models import CommonSpaces
from data_pipelines.errors import UserError

RNG = np.random.default_rng(0)
FEATURES = {
    "video": RNG.normal(size=(6, 5)).astype(np.float32),
    "audio": RNG.normal(size=(6, 4)).astype(np.float32),
    "text": RNG.normal(size=(12, 3)).astype(np.float32),
}


@pytest.fixture(scope="module", params=["paper", "released", "joint"])
def case(request):
    heads = CommonSpaces(va=7, vt=2 if request.param != "joint" else 7, form=request.param)
    variables = heads.init(jax.random.key(0), FEATURES, False)
    draw = np.random.default_rng(1)
    stats = jax.tree.map(
        lambda leaf: draw.uniform(0.5, 1.5, leaf.shape).astype(np.float32),
        variables["batch_stats"],
    )
    return request.param, heads, {"params": variables["params"], "batch_stats": stats}


def dense_norm(variables, name, x):
    p, running = variables["params"][name], variables["batch_stats"][name]["norm"]["bn"]
    z = x @ np.asarray(p["dense"]["kernel"])
    return (z - running["mean"]) / np.sqrt(running["var"] + 1e-5)


def test_every_form_is_its_layers(case):
    form, heads, variables = case
    got = heads.apply(variables, FEATURES, False)
    video, audio, text = (FEATURES[m] for m in ("video", "audio", "text"))
    p = variables["params"]

    def relu(x):
        return np.maximum(x, 0)

    if form == "joint":
        z = {m: dense_norm(variables, f"{m}_joint", relu(x)) for m, x in FEATURES.items()}
        expected = {
            "video_va": z["video"], "video_vt": z["video"], "audio_va": z["audio"],
            "audio_vt": z["audio"], "text_vt": z["text"],
        }  # fmt: skip
    else:
        video_va = dense_norm(
            variables, "video_va", relu(dense_norm(variables, "video_hidden", video))
        )
        if form == "paper":
            audio_va = dense_norm(variables, "audio_va", audio)
            text_vt = dense_norm(variables, "text_vt", text)
            between = lambda z: z  # noqa: E731
        else:
            audio_va = audio @ p["audio_va"]["kernel"] + p["audio_va"]["bias"]
            text_vt = text @ p["text_vt"]["kernel"] + p["text_vt"]["bias"]
            between = relu
        expected = {
            "video_va": video_va,
            "audio_va": audio_va,
            "text_vt": text_vt,
            "video_vt": dense_norm(variables, "va_to_vt", between(video_va)),
            "audio_vt": dense_norm(variables, "va_to_vt", between(np.asarray(audio_va))),
        }
    assert set(got) == set(expected)
    for name, z in expected.items():
        np.testing.assert_allclose(got[name], z, rtol=1e-4, atol=1e-5, err_msg=name)


def test_modalities_may_be_missing(case):
    _, heads, variables = case
    whole = heads.apply(variables, FEATURES, False)
    for modality in FEATURES:
        alone = heads.apply(variables, {modality: FEATURES[modality]}, False)
        assert {name.partition("_")[0] for name in alone} == {modality}
        for name, z in alone.items():
            np.testing.assert_allclose(z, whole[name], rtol=1e-6)


def test_rows_that_do_not_count_enter_no_statistics(case):
    _, heads, variables = case
    valid = {"video": np.arange(6) > 0, "audio": np.arange(6) != 2, "text": np.arange(12) < 9}
    dirty = {m: np.where(valid[m][:, None], x, 1e3).astype(np.float32) for m, x in FEATURES.items()}
    (a, one), (b, two) = (
        heads.apply(variables, f, True, valid, mutable=["batch_stats"]) for f in (FEATURES, dirty)
    )
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), one, two)
    for name in a:
        rows = valid[name.partition("_")[0]]
        np.testing.assert_allclose(a[name][rows], b[name][rows], rtol=1e-4, atol=1e-5)
    assert ("audio_vt" in a) == (heads.form == "joint")


def test_the_papers_sizes():
    shapes = jax.eval_shape(
        lambda: CommonSpaces().init(
            jax.random.key(0),
            {"video": np.zeros((1, 1024)), "audio": np.zeros((1, 768)), "text": np.zeros((1, 512))},
            False,
        )
    )
    kernels = 1024 * 512 + 512 * 512 + 768 * 512 + 512 * 256 + 512 * 256
    norms = 2 * (3 * 512 + 2 * 256)
    assert sum(p.size for p in jax.tree.leaves(shapes["params"])) == kernels + norms


def test_an_unknown_form_names_the_nearest():
    with pytest.raises(UserError, match="'papr'; did you mean 'paper'"):
        CommonSpaces(form="papr").check()
    with pytest.raises(UserError, match=r"config.head.vt = 0"):
        CommonSpaces(vt=0).check()
