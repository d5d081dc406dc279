"""The three ways to meet negatives give the float64 numbers, in value and gradient."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.losses import info_nce, mil_nce, ring
from cvrl_jax.losses.negatives import negatives_logsumexp, negatives_statistics
from cvrl_jax.parallel.mesh import AXES, batch_sharding, in_mesh
from data_pipelines.errors import UserError

SHAPES = [(1, 1, 1), (1, 2, 1), (1, 8, 1), (2, 4, 1), (2, 2, 2)]
B, K, D = 16, 3, 6


def mesh_of(shape: tuple[int, int, int]) -> jax.sharding.Mesh:
    count = int(np.prod(shape))
    kinds = (jax.sharding.AxisType.Auto,) * 3
    return jax.make_mesh(shape, AXES, axis_types=kinds, devices=jax.devices()[:count])


def put(mesh: jax.sharding.Mesh, *arrays: np.ndarray | jax.Array) -> list[jax.Array]:
    return [jax.device_put(array, batch_sharding(mesh)) for array in arrays]


def inputs(seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(B, D)), rng.normal(size=(B * K, D))
    return x.astype("f"), y.astype("f"), rng.random(B) < 0.8, rng.random(B * K) < 0.7


def oracle(x, y, x_valid, y_valid, temperature):
    """Float64 similarities, masked, with logsumexp over rows and columns and softmax over both."""
    s = x.astype("d") @ y.astype("d").T / temperature
    same = np.arange(len(x))[:, None] == np.arange(len(y)) // (len(y) // len(x))
    s = np.where(same | ~x_valid[:, None] | ~y_valid, -np.inf, s)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_x, of_y = np.logaddexp.reduce(s, axis=1), np.logaddexp.reduce(s, axis=0)
        return s, of_x, of_y


@pytest.mark.parametrize("way", ["gathered", "ring"])
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradient(shape, way, monkeypatch) -> None:
    monkeypatch.setattr(ring, "_TILE_BYTES", 4 * 3 * B // (shape[0] * shape[1]))  # 3 columns
    x, y, x_valid, y_valid = inputs()
    s, of_x, of_y = oracle(x, y, x_valid, y_valid, 0.1)
    to_x = np.where(np.isfinite(of_x), np.arange(B) - 3.0, 0)
    to_y = np.where(np.isfinite(of_y), 0.5 * np.arange(B * K), 0)

    mesh = mesh_of(shape)

    @jax.jit
    @in_mesh(mesh)
    def both(x, y, x_valid, y_valid):
        def weighted(x, y):
            got = negatives_logsumexp(x, y, x_valid, y_valid, 0.1, way)
            return (got[0] * to_x).sum() + (got[1] * to_y).sum(), got

        return jax.value_and_grad(weighted, argnums=(0, 1), has_aux=True)(x, y)

    (_, got), (dx, dy) = both(*put(mesh, x, y, x_valid, y_valid))
    for found, wanted in zip(got, (of_x, of_y)):
        there = np.isfinite(wanted)
        np.testing.assert_allclose(np.asarray(found)[there], wanted[there], rtol=2e-6)
        assert (np.asarray(found)[~there] < -1e8).all()
    with np.errstate(invalid="ignore"):
        weight = np.nan_to_num(np.exp(s - of_x[:, None])) * to_x[:, None]
        weight += np.nan_to_num(np.exp(s - of_y)) * to_y
    wanted_x = weight @ y.astype("d") / 0.1
    wanted_y = weight.T @ x.astype("d") / 0.1
    # float32 similarities of about 100 are exact to 1e-5, and so are their exponentials.
    np.testing.assert_allclose(dx, wanted_x, rtol=2e-4, atol=2e-5 * np.abs(wanted_x).max())
    np.testing.assert_allclose(dy, wanted_y, rtol=2e-4, atol=2e-5 * np.abs(wanted_y).max())


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 4, 1)])
def test_statistics(shape) -> None:
    x, y, x_valid, y_valid = inputs(1)
    s, of_x, _ = oracle(x, y, x_valid, y_valid, 0.5)
    mesh = mesh_of(shape)
    found = jax.jit(in_mesh(mesh)(negatives_statistics), static_argnums=4)(
        *put(mesh, x, y, x_valid, y_valid), 0.5
    )
    there = np.isfinite(of_x)
    with np.errstate(invalid="ignore"):
        p = np.nan_to_num(np.exp(s - of_x[:, None]))
    mean = (p * np.where(np.isfinite(s), s, 0)).sum(axis=1)
    for got, wanted in zip(found, (s.max(axis=1), of_x, mean)):
        np.testing.assert_allclose(np.asarray(got)[there], wanted[there], rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.01, 0.07, 1.0])
def test_losses_are_the_same_by_either_way(temperature) -> None:
    """In bfloat16 and at temperature 0.01 too; nothing overflows."""
    x, y, x_valid, y_valid = inputs(2)
    mesh = mesh_of((2, 4, 1))
    one, several, *masks = put(
        mesh,
        jnp.bfloat16(x),
        jnp.bfloat16(y).reshape(B, K, D),
        x_valid,
        y_valid.reshape(B, K),
    )
    two = several[:, 0]

    def losses(one, two, several, x_valid, y_valid, way):
        contrast = info_nce(one, two, temperature, x_valid, way=way)
        return contrast + mil_nce(one, several, temperature, x_valid, y_valid, way=way)

    step = jax.jit(
        in_mesh(mesh)(jax.value_and_grad(losses, argnums=(0, 1, 2))), static_argnames="way"
    )
    gathered, ringed = (step(one, two, several, *masks, way=way) for way in ("gathered", "ring"))
    np.testing.assert_allclose(gathered[0], ringed[0], rtol=1e-5)
    for a, b in zip(gathered[1], ringed[1]):
        assert np.isfinite(np.asarray(a, "f")).all()
        np.testing.assert_allclose(np.asarray(a, "f"), np.asarray(b, "f"), rtol=0.02, atol=1e-3)


def test_the_ring_never_holds_all_pairs() -> None:
    """Of 8,192 examples: 256 MB of similarities, if they were all there at once."""

    def loss(x, y, way):
        return info_nce(x, y, way=way)

    shapes = [jax.ShapeDtypeStruct((8192, 16), jnp.float32)] * 2
    step = jax.jit(jax.grad(loss), static_argnames="way")
    memory = {
        way: step.lower(*shapes, way=way).compile().memory_analysis().temp_size_in_bytes
        for way in ("gathered", "ring")
    }
    assert memory["gathered"] > 256 << 20
    assert memory["ring"] < 64 << 20


def test_an_unknown_way() -> None:
    x, y, x_valid, y_valid = inputs()
    with pytest.raises(UserError, match="did you mean 'ring'"):
        negatives_logsumexp(x, y, x_valid, y_valid, 0.1, "rnig")  # pyright: ignore
