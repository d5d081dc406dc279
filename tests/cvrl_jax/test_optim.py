import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from cvrl_jax.optim import create_optimizer, decay_mask, warmup_cosine
from data_pipelines.errors import UserError

RNG = np.random.default_rng(0)
PARAMS = {
    "dense": {"kernel": RNG.normal(size=(3, 2)), "bias": RNG.normal(size=2)},
    "norm": {"scale": RNG.normal(size=2), "kernel": RNG.normal(size=2)},
}
GRADS = [jax.tree.map(lambda p: RNG.normal(size=p.shape), PARAMS) for _ in range(3)]
DECAYED = {"dense": {"kernel": True, "bias": False}, "norm": {"scale": False, "kernel": False}}


def section(**changes):
    config = ConfigDict(
        {
            "name": "sgd",
            "learning_rate": 0.5,
            "base_learning_rate": 0.08,
            "momentum": 0.9,
            "nesterov": False,
            "weight_decay": 0.1,
            "warmup_steps": 2,
            "betas": (0.9, 0.95),
            "epsilon": 1e-8,
            "schedule": "cosine",
            "layer_decay": 1.0,
            "clip_norm": 0.0,
            "clip_part": "all",
        },
        type_safe=False,
    )
    config.update(changes)
    return config


def run(config, total_steps=10):
    optimizer, schedule = create_optimizer(config, total_steps, batch_size=256)
    params = jax.tree.map(jnp.float32, PARAMS)
    state = optimizer.init(params)
    for grads in GRADS:
        updates, state = jax.jit(optimizer.update)(
            jax.tree.map(jnp.float32, grads), state, params, schedule=schedule
        )
        params = optax.apply_updates(params, updates)
    return params, [float(schedule(step)) for step in range(len(GRADS))]


def oracle(update):
    """`update(weights, gradient, memory, decayed, step) -> weights` over three steps in float64."""

    def leaf(weights, decayed, *grads):
        weights, memory = np.array(weights), {}
        for step, gradient in enumerate(grads):
            weights = update(weights, gradient, memory, decayed, step)
        return weights

    return jax.tree.map(leaf, PARAMS, DECAYED, *GRADS)


def assert_trees_close(got, expected):
    jax.tree.map(lambda g, e: np.testing.assert_allclose(g, e, rtol=1e-5, atol=1e-6), got, expected)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_decays_before_momentum(nesterov):
    got, rates = run(section(nesterov=nesterov))

    def update(weights, gradient, memory, decayed, step):
        gradient = gradient + 0.1 * weights * decayed
        memory["m"] = 0.9 * memory.get("m", 0.0) + gradient
        direction = gradient + 0.9 * memory["m"] if nesterov else memory["m"]
        return weights - rates[step] * direction

    assert_trees_close(got, oracle(update))


def test_lars_rescales_and_decays_kernels_only():
    got, rates = run(section(name="lars"))

    def update(weights, gradient, memory, decayed, step):
        if decayed:
            gradient = gradient + 0.1 * weights
            gradient = gradient * 0.001 * np.linalg.norm(weights) / np.linalg.norm(gradient)
        memory["m"] = 0.9 * memory.get("m", 0.0) + rates[step] * gradient
        return weights - memory["m"]

    assert_trees_close(got, oracle(update))


def test_adamw_decouples_the_decay():
    got, rates = run(section(name="adamw"))

    def update(weights, gradient, memory, decayed, step):
        memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * gradient
        memory["v"] = 0.95 * memory.get("v", 0.0) + 0.05 * gradient**2
        m, v = memory["m"] / (1 - 0.9 ** (step + 1)), memory["v"] / (1 - 0.95 ** (step + 1))
        return weights - rates[step] * (m / (np.sqrt(v) + 1e-8) + 0.1 * weights * decayed)

    assert_trees_close(got, oracle(update))


def test_adam_has_its_own_epsilon_and_no_decay():
    got, rates = run(section(name="adam", epsilon=0.1, weight_decay=0.0))

    def update(weights, gradient, memory, decayed, step):
        memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * gradient
        memory["v"] = 0.95 * memory.get("v", 0.0) + 0.05 * gradient**2
        m, v = memory["m"] / (1 - 0.9 ** (step + 1)), memory["v"] / (1 - 0.95 ** (step + 1))
        return weights - rates[step] * m / (np.sqrt(v) + 0.1)

    assert_trees_close(got, oracle(update))


@pytest.mark.parametrize(
    ("curve", "middle"), [("quarter_cosine", 8.54e-5), ("cosine_to_half", 7.5e-5)]
)
def test_vatts_two_schedules_fall_from_1e_4_to_half_of_it(curve, middle):
    schedule = warmup_cosine(1e-4, 10_000, 500_000, curve)
    np.testing.assert_allclose(schedule(250_000), middle, rtol=1e-3)
    np.testing.assert_allclose(schedule(500_000), 5e-5, rtol=1e-5)
    np.testing.assert_allclose(schedule(600_000), 5e-5, rtol=1e-5)
    np.testing.assert_allclose(schedule(10_000), 1e-4, rtol=2e-3)
    np.testing.assert_allclose(schedule(5_000), schedule(10_000) / 2, rtol=1e-5)


def test_only_kernels_of_two_or_more_axes_decay():
    assert decay_mask(PARAMS) == DECAYED


@pytest.mark.parametrize(("peak", "total", "top"), [(0.32, 71_488, 0.3195), (32.0, 35_744, 31.80)])
def test_schedule_of_the_published_runs(peak, total, top):
    schedule = warmup_cosine(peak, 1_787, total)
    assert float(schedule(0)) == 0.0
    np.testing.assert_allclose(schedule(1_787), top, rtol=2e-4)
    np.testing.assert_allclose(schedule(893), top * 893 / 1_787, rtol=2e-4)
    np.testing.assert_allclose(schedule(total // 2), peak / 2, rtol=1e-4)
    np.testing.assert_allclose(schedule(total), 0.0, atol=1e-6 * peak)
    rates = [float(schedule(step)) for step in range(1_780, 1_795)]
    assert np.argmax(rates) == 7  # the ramp meets the cosine without a jump


@pytest.mark.parametrize("warmup", [0, 1, 4])
def test_schedule_step_by_step(warmup):
    schedule = warmup_cosine(2.0, warmup, 10)
    cosine = 1 + np.cos(np.pi * np.arange(11) / 10)
    expected = cosine.copy()
    expected[:warmup] = cosine[warmup] * np.arange(warmup) / max(warmup, 1)
    np.testing.assert_allclose([schedule(s) for s in range(11)], expected, atol=1e-6)
    np.testing.assert_allclose(jax.jit(schedule)(jnp.int32(5)), expected[5], rtol=1e-5)


def test_peak_follows_the_batch_unless_given():
    _, schedule = create_optimizer(section(learning_rate=None, warmup_steps=0), 10, batch_size=1024)
    np.testing.assert_allclose(schedule(0), 0.32, rtol=1e-6)
    _, schedule = create_optimizer(section(warmup_steps=0), 10, batch_size=1024)
    np.testing.assert_allclose(schedule(0), 0.5, rtol=1e-6)


def test_impossible_requests_say_how_to_fix_them():
    with pytest.raises(UserError, match="'adamv' is unknown; did you mean 'adam'"):
        create_optimizer(section(name="adamv"), 10, 256)
    with pytest.raises(UserError, match=r"warmup_steps=10 .* shorten the warm-up"):
        create_optimizer(section(warmup_steps=10), 10, 256)
    with pytest.raises(UserError, match=r"'adam' has no weight decay.*take 'adamw'"):
        create_optimizer(section(name="adam"), 10, 256)
    with pytest.raises(UserError, match="'cosin' is unknown; did you mean 'cosine'"):
        create_optimizer(section(schedule="cosin"), 10, 256)


@pytest.mark.parametrize(("part", "scale_of_head"), [("all", 1 / 26), ("towers", 1.0)])
def test_long_gradients_are_cut_before_anything_else(part, scale_of_head):
    params = {"tower": {"kernel": jnp.ones(2)}, "head": {"kernel": jnp.ones(1)}}
    gradients = {"tower": {"kernel": jnp.array([6.0, 8.0])}, "head": {"kernel": jnp.array([24.0])}}
    config = section(momentum=0.0, weight_decay=0.0, warmup_steps=0, clip_part=part, clip_norm=1.0)
    optimizer, schedule = create_optimizer(config, 10, batch_size=256)
    updates, _ = optimizer.update(gradients, optimizer.init(params), params, schedule=schedule)
    # |(6, 8)| = 10 and |(6, 8, 24)| = 26
    scale_of_tower = 1 / 26 if part == "all" else 1 / 10
    rate = float(schedule(0))
    np.testing.assert_allclose(
        updates["tower"]["kernel"], -rate * scale_of_tower * np.array([6, 8])
    )
    np.testing.assert_allclose(updates["head"]["kernel"], [-rate * scale_of_head * 24], rtol=1e-6)


def test_short_gradients_stay():
    config = section(clip_norm=1e6)
    assert_trees_close(run(config)[0], run(section())[0])
