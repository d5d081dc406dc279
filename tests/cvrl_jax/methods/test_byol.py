from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.methods import create_method


@pytest.fixture(scope="module")
def method(tiny_config):
    return create_method(tiny_config("byol", method__momentum=0.9))


@pytest.fixture(scope="module")
def variables(method):
    return jax.jit(method.init)(jax.random.key(0))


def test_the_teacher_starts_as_the_student(variables):
    for part in ("tower", "head"):
        jax.tree.map(
            np.testing.assert_array_equal,
            variables["teacher"]["params"][part],
            variables["params"][part],
        )
    assert "predictor" not in variables["teacher"]["params"]


@pytest.mark.parametrize("step", [0, 3, 10, 25])
def test_the_teacher_moves_by_the_momentum_of_the_step(method, variables, step):
    student = jax.tree.map(lambda p: p + 1.0, variables["params"])
    moved = method.after_update(variables | {"params": student}, jnp.float32(min(step / 10, 1)))
    # BYOL, appendix: tau = 1 - (1 - tau_base) (cos(pi k / K) + 1) / 2
    tau = 1 - (1 - 0.9) * (np.cos(np.pi * min(step / 10, 1)) + 1) / 2
    for part in ("tower", "head"):
        jax.tree.map(
            lambda new, old, s: np.testing.assert_allclose(
                new, tau * np.asarray(old) + (1 - tau) * np.asarray(s), rtol=1e-5, atol=1e-6
            ),
            moved["teacher"]["params"][part],
            variables["teacher"]["params"][part],
            student[part],
        )
    jax.tree.map(np.testing.assert_array_equal, moved["params"], student)
    assert moved["teacher"]["batch_stats"] is variables["teacher"]["batch_stats"]


def test_no_gradient_reaches_the_teacher(method, variables):
    spec = method.inputs
    rng = np.random.default_rng(0)
    batch = {
        "video": rng.integers(0, 256, (8, 2, spec.frames, spec.size, spec.size, 3), np.uint8),
        "valid": np.ones(8, bool),
    }

    def loss(params):
        teacher = variables["teacher"] | {"params": params}
        return method.loss(variables | {"teacher": teacher}, batch, jax.random.key(1))[0]

    grads = jax.jit(jax.grad(loss))(variables["teacher"]["params"])
    assert all(not np.any(g) for g in jax.tree.leaves(grads))
