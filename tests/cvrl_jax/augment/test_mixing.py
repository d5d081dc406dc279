"""A mixture's pixels and its target hold the same share of each of the two examples."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.augment import Mixing
from data_pipelines.errors import UserError

COUNT = 64
NUMBERS = jnp.arange(COUNT, dtype=jnp.float32)
CLIPS = jnp.broadcast_to(NUMBERS[:, None, None, None, None], (COUNT, 2, 8, 8, 3))
ALL = jnp.ones(COUNT, bool)


def mixed(counts=ALL, **alphas):
    mixing = Mixing(**alphas)
    clips, share = mixing(jax.random.key(0), CLIPS, counts)
    targets = mixing.targets(jnp.eye(COUNT), share)
    return np.asarray(clips), np.asarray(share), np.asarray(targets)


@pytest.mark.parametrize("alphas", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_the_target_is_the_share_of_the_pixels(alphas):
    clips, share, targets = mixed(**alphas)
    own, partner = np.arange(COUNT), COUNT - 1 - np.arange(COUNT)
    np.testing.assert_allclose(
        clips.mean(axis=(1, 2, 3, 4)), share * own + (1 - share) * partner, atol=1e-4
    )
    np.testing.assert_allclose(targets @ np.arange(COUNT), clips.mean(axis=(1, 2, 3, 4)), atol=1e-4)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert share.std() > 0.1


def test_cutmix_pastes_one_box_into_all_frames():
    clips, share, _ = mixed(cutmix=1.0)
    np.testing.assert_array_equal(clips[:, 0], clips[:, 1])
    pasted = clips[:, 0, :, :, 0] != np.arange(COUNT)[:, None, None]
    for box, s in zip(pasted, share):
        rows, columns = np.flatnonzero(box.any(axis=1)), np.flatnonzero(box.any(axis=0))
        assert box.sum() == len(rows) * len(columns)
        assert box.mean() == pytest.approx(1 - s, abs=1e-6)


def test_mixup_is_the_same_everywhere():
    clips, _, _ = mixed(mixup=0.8)
    assert np.ptp(clips.reshape(COUNT, -1), axis=1).max() == 0


def test_with_both_about_half_is_cut():
    clips, _, _ = mixed(mixup=0.8, cutmix=1.0)
    cut = np.ptp(clips.reshape(COUNT, -1), axis=1) > 0
    assert 0.25 < cut.mean() < 0.75


def test_what_does_not_count_is_mixed_with_none():
    counts = ALL.at[3].set(False)
    clips, share, targets = mixed(counts, mixup=0.8, cutmix=1.0)
    for row in (3, COUNT - 4):
        assert share[row] == 1
        np.testing.assert_array_equal(clips[row], CLIPS[row])
        np.testing.assert_array_equal(targets[row], np.eye(COUNT)[row])


def test_nothing_is_mixed_by_default_and_alphas_are_not_negative():
    clips, share, targets = mixed()
    np.testing.assert_array_equal(clips, CLIPS)
    np.testing.assert_array_equal(targets, np.eye(COUNT))
    assert (share == 1).all()
    with pytest.raises(UserError, match=r"config\.method\.cutmix = -1"):
        Mixing(cutmix=-1.0)
