"""Sizes of the published towers, the rules of batch normalisation, types, and sharding."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from cvrl_jax.models import create_model
from cvrl_jax.models.conv3d import Conv3D
from cvrl_jax.models.resnet3d import Block, ConvBN

CLIP = (4, 4, 16, 16, 3)


def small(**fields):
    return create_model("r3d10", width=0.125, **fields)


@functools.partial(jax.jit, static_argnums=0, static_argnames="train")
def apply(tower, variables, clips, valid=None, *, train):
    return tower.apply(variables, clips, train, valid, mutable=True)


@pytest.fixture(scope="module")
def clips():
    return jax.random.uniform(jax.random.key(1), CLIP)


@pytest.fixture(scope="module")
def variables(clips, random_variables):
    return random_variables(small(), clips)


@pytest.mark.parametrize(
    ("name", "width", "parameters", "features"),
    [
        ("r3d50", 1, 31_672_128, 2048),
        ("r3d50", 2, 126_488_192, 4096),
        ("r3d50", 4, 505_552_128, 8192),
        ("r3d101", 1, 59_577_152, 2048),
        ("r3d152", 1, 82_036_544, 2048),
        ("r3d152", 2, 327_749_248, 4096),
        ("r2d50", 1, 23_508_032, 2048),  # torchvision's resnet50 without its classifier
        ("r2d18", 1, 11_176_512, 512),  # torchvision's resnet18 without its classifier
    ],
)
def test_parameter_counts_are_the_published_ones(name, width, parameters, features):
    tower = create_model(name, width=width)
    clip = jnp.zeros((1, 4, 32, 32, 3))
    shapes = jax.eval_shape(lambda: tower.init(jax.random.key(0), clip, False))
    assert sum(p.size for p in jax.tree.leaves(shapes["params"])) == parameters
    assert tower.feature_size == features


def test_stages_of_r3d50_have_the_shapes_of_the_paper():
    tower = create_model("r3d50")
    clip = jax.ShapeDtypeStruct((1, 16, 224, 224, 3), jnp.float32)

    def forward(x):
        variables = tower.init(jax.random.key(0), x, False)
        return tower.apply(
            variables, x, False, capture_intermediates=lambda module, _: isinstance(module, Block)
        )

    feature, captured = jax.eval_shape(forward, clip)
    stages = captured["intermediates"]
    assert feature.shape == (1, 2048)
    for last, shape in {
        "stage0_block2": (1, 8, 56, 56, 256),
        "stage1_block3": (1, 8, 28, 28, 512),
        "stage2_block5": (1, 8, 14, 14, 1024),
        "stage3_block2": (1, 8, 7, 7, 2048),
    }.items():
        assert stages[last]["__call__"][0].shape == shape


def test_running_statistics_move_by_a_tenth_of_the_way(clips, variables):
    _, state = apply(small(), variables, clips, train=True)
    stem = Conv3D(8, (5, 7, 7), (2, 2, 2)).apply(
        {"params": variables["params"]["stem"]["conv"]}, clips
    )
    running = state["batch_stats"]["stem"]["norm"]["bn"]
    old = variables["batch_stats"]["stem"]["norm"]["bn"]
    for name, batch in {"mean": stem.mean((0, 1, 2, 3)), "var": stem.var((0, 1, 2, 3))}.items():
        np.testing.assert_allclose(running[name], 0.9 * old[name] + 0.1 * batch, atol=1e-5)


def test_evaluation_uses_the_running_statistics_and_leaves_them_alone(clips, variables):
    feature, state = apply(small(), variables, clips, train=False)
    jax.tree.map(np.testing.assert_array_equal, state, variables)
    alone, _ = apply(small(), variables, clips[:1], train=False)
    np.testing.assert_allclose(feature[:1], alone, atol=1e-6)
    masked, _ = apply(small(), variables, clips, jnp.zeros(4, bool), train=False)
    np.testing.assert_array_equal(feature, masked)


def test_invalid_examples_change_neither_the_others_nor_the_statistics(clips, variables):
    alone, alone_state = apply(small(), variables, clips[1:], train=True)
    garbage = clips.at[0].set(1e3)
    valid = jnp.array([False, True, True, True])
    feature, state = apply(small(), variables, garbage, valid, train=True)
    np.testing.assert_allclose(feature[1:], alone, atol=2e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), state, alone_state)
    unmasked, _ = apply(small(), variables, garbage, train=True)
    assert not np.allclose(unmasked[1:], alone, atol=1e-2)


def test_bfloat16_arithmetic_keeps_float32_variables_and_features(clips, variables):
    feature, state = apply(small(dtype="bfloat16"), variables, clips, train=True)
    assert feature.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype("float32")}
    exact, _ = apply(small(), variables, clips, train=True)
    error = np.abs(feature - exact).max() / np.abs(exact).max()
    assert 1e-6 < error < 0.1  # rounded, so not equal, but the same function


def test_lowerings_agree_on_a_whole_tower(clips, variables):
    split, _ = apply(small(lowering="split"), variables, clips, train=False)
    direct, _ = apply(small(lowering="direct"), variables, clips, train=False)
    np.testing.assert_allclose(split, direct, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("window", "strides", "frames", "of_largest"),
    [
        ((1, 3, 3), (1, 2, 2), 2, 0.0),
        ((5, 3, 3), (2, 2, 2), 4, 3e-6),  # gradients of its kernel reach 70
    ],
)
def test_joint_normalisation_is_the_same_tower_and_has_the_same_gradient(
    random_variables, pairwise_sums, window, strides, frames, of_largest
):
    """In float32: a stem with scales of both signs, bottlenecks with and without a projection.

    Numbers behind a normalisation that is computed in another order are off by 1e-6 or so; an
    activation so close to 0 that it changes sides is not among these.
    """
    clips = jax.random.uniform(jax.random.key(4), (3, frames, 16, 16, 3))
    valid = jnp.array([True, False, True])
    fields: dict[str, Any] = {"padding": "same", "momentum": 0.9, "epsilon": 1e-3}
    fields["dtype"] = jnp.float32

    class Tower(nn.Module):
        lowering: str

        @nn.compact
        def __call__(self, x, train):
            conv_bn = fields | {"lowering": self.lowering}
            stem = ConvBN(8, window, strides, name="stem", pooled=True, **conv_bn)
            x = stem(x, train, valid)
            for i in range(2):
                x = Block(4, True, 1, 1, 1, conv_bn, name=f"block{i}")(x, train, valid)
            return x

    variables = random_variables(Tower("direct"), clips)
    variables["params"]["stem"]["norm"]["bn"]["scale"][::2] *= -1

    @functools.partial(jax.jit, static_argnums=0, compiler_options=pairwise_sums)
    def all_of_it(lowering, params, clips):
        def loss(params, clips):
            y, state = Tower(lowering).apply(
                variables | {"params": params}, clips, True, mutable=["batch_stats"]
            )
            return (y * jnp.cos(jnp.arange(y.size)).reshape(y.shape)).sum(), (y, state)

        return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(params, clips)

    joint, direct = (all_of_it(name, variables["params"], clips) for name in ("joint", "direct"))

    def check(a, b):
        atol = max(3e-5, of_largest * np.abs(b).max())
        np.testing.assert_allclose(a, b, atol=atol, rtol=1e-4)

    jax.tree.map(check, joint, direct)
    shapes = jax.eval_shape(lambda: Tower("joint").init(jax.random.key(0), clips, True))
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, variables)


@pytest.mark.parametrize("kernels", [(1, 1, 3, 3), (3, 1, 1, 3), (1, 1, 1, 1)])
def test_frames_that_do_not_meet_are_convolved_apart_with_the_same_result(
    random_variables, kernels
):
    def tower(lowering):
        return small(lowering=lowering, temporal_kernels=kernels)

    clips = jax.random.uniform(jax.random.key(5), CLIP)
    variables = random_variables(tower("direct"), clips)
    valid = jnp.array([True, False, True, True])
    (joint, state), (direct, expected) = (
        apply(tower(lowering), variables, clips, valid, train=True)
        for lowering in ("joint", "direct")
    )
    np.testing.assert_allclose(joint, direct, rtol=1e-4, atol=1e-5)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), state, expected
    )


def test_eight_devices_compute_what_one_computes(variables):
    clips = jax.random.uniform(jax.random.key(2), (8, *CLIP[1:]))
    valid = jnp.arange(8) != 3
    expected = apply(small(), variables, clips, valid, train=True)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec("data"))
    whole = NamedSharding(mesh, PartitionSpec())
    actual = apply(
        small(),
        jax.device_put(variables, whole),
        jax.device_put(clips, split),
        jax.device_put(valid, split),
        train=True,
    )
    assert len(actual[0].sharding.device_set) == 8
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), actual, expected)


def test_a_framewise_tower_on_a_clip_is_the_mean_over_its_frames(clips, random_variables):
    tower = create_model("r2d10", width=0.125)
    variables = random_variables(tower, clips)
    frames, _ = apply(tower, variables, clips.reshape(-1, *CLIP[2:]), train=False)
    mean = frames.reshape(*CLIP[:2], -1).mean(axis=1)
    feature, _ = apply(tower, variables, clips, train=False)
    np.testing.assert_allclose(feature, mean, rtol=1e-4, atol=1e-6)


def test_parameters_do_not_depend_on_the_size_of_the_clip():
    tower = small(temporal_strides=(2, 2, 2, 2))

    def names(shape):
        init = jax.eval_shape(lambda: tower.init(jax.random.key(0), jnp.zeros(shape), False))
        return jax.tree.map(lambda p: p.shape, init)

    assert names((1, 1, 8, 8, 3)) == names((1, 16, 32, 32, 3))
