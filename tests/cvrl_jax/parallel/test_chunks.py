"""Towers that see a batch in chunks, under a loss that sees it whole."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.gradients import loss_and_gradients
from cvrl_jax.methods import create_method
from cvrl_jax.methods.base import Aux
from cvrl_jax.methods.parts import combine, init_part, train_tower
from cvrl_jax.models import ProjectionHead
from cvrl_jax.parallel.chunks import in_chunks, join_rows, map_chunks, split_rows
from cvrl_jax.parallel.mesh import in_mesh, make_mesh, put_batch


def batch_of(method, size, rng):
    video = rng.integers(0, 256, (size, *method.inputs.clip_shape), np.uint8)
    return {"video": video, "valid": np.arange(size) != 3, "label": np.arange(size) % 2}


def test_a_chunk_takes_an_equal_part_of_every_device_and_all_come_back_in_order():
    mesh = make_mesh({"replica": 2, "data": 2, "model": 2})
    rows = np.arange(16.0, dtype=np.float32)

    @jax.jit
    @in_mesh(mesh)
    def run(batch):
        with in_chunks(2):
            doubled, mean = map_chunks(
                lambda x, key: (2 * x, x.mean()), batch["rows"], jax.random.key(0)
            )
        return doubled, mean, split_rows(batch["rows"], 2), join_rows(split_rows(batch["rows"], 2))

    doubled, mean, chunks, joined = run(put_batch({"rows": rows}, mesh))
    np.testing.assert_array_equal(doubled, 2 * rows)
    assert float(mean) == rows.mean()
    np.testing.assert_array_equal(joined, rows)
    np.testing.assert_array_equal(chunks[0], [0, 1, 4, 5, 8, 9, 12, 13])


def test_gradients_in_chunks_are_those_of_the_whole_batch(tiny_config):
    """All negatives count; a head with BatchNorm stays whole, so the equality is exact."""
    config = tiny_config("cvrl_vit", model__drop_token=0.0, augment__recipe="none")
    method = create_method(config)
    variables, key = method.init(jax.random.key(1)), jax.random.key(0)
    batch = jax.tree.map(jnp.asarray, batch_of(method, 8, np.random.default_rng(0)))
    whole, parts = (
        jax.jit(lambda v, b, n=n: loss_and_gradients(method, v, b, key, chunks=n))(variables, batch)
        for n in (1, 4)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), whole, parts)


class Square:
    """A loss that compares nothing: the mean over valid examples of (w x)^2."""

    def loss(self, variables, batch, key):
        z_B = batch["x"] * variables["params"]["w"]
        mean = jnp.where(batch["valid"], z_B**2, 0).sum() / jnp.maximum(batch["valid"].sum(), 1)
        seen = {"clock": {"seen": variables["clock"]["seen"] + 1}}
        return mean, Aux({"mean": mean}, seen, z_B[:, None, None])


@pytest.mark.parametrize("valid", [8, 5, 0])
def test_accumulated_gradients_weigh_valid_examples_alike(valid):
    batch = {"x": jnp.arange(1.0, 9.0), "valid": jnp.arange(8) < valid}
    variables = {"params": {"w": jnp.float32(2.0)}, "clock": {"seen": jnp.int32(0)}}
    key = jax.random.key(0)
    (loss, aux), gradients = loss_and_gradients(Square(), variables, batch, key, accumulate=4)
    expected = np.mean(np.arange(1.0, valid + 1) ** 2) if valid else 0.0
    assert float(loss) == pytest.approx(4 * expected)
    assert float(aux.metrics["mean"]) == pytest.approx(4 * expected)
    assert float(gradients["w"]) == pytest.approx(4 * expected)
    assert int(aux.collections["clock"]["seen"]) == 4
    np.testing.assert_array_equal(aux.features[:, 0, 0], 2 * np.arange(1.0, 9.0))


def test_batch_norm_in_a_tower_sees_a_chunk():
    """Its running mean is still that of the batch, the mean of the chunks' means; its variance
    lacks what the chunks differ by."""
    tower, key = ProjectionHead(hidden=3, layers=1, out=2, bn_momentum=0.0), jax.random.key(0)
    x_8x4 = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    x_8x4[4:] += 3.0
    variables = combine(tower=init_part(tower, key, x_8x4)[0])
    kept = []
    for chunks in (1, 2):
        with in_chunks(chunks):
            _, state = train_tower(tower, variables, "tower", x_8x4, np.ones(8, bool), key)
        kept.append(state["batch_stats"]["norm0"]["bn"])
    np.testing.assert_allclose(kept[0]["mean"], kept[1]["mean"], rtol=1e-5)
    assert (np.asarray(kept[1]["var"]) < np.asarray(kept[0]["var"])).all()
