"""The towers compute what independent PyTorch networks compute with the same weights."""

import sys
import types
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.models import create_model

torch = pytest.importorskip("torch")


def assert_same_features(tower, variables, clip, expected):
    feature = jax.jit(lambda v, x: tower.apply(v, x, False))(variables, clip)
    assert feature.shape == expected.shape
    assert feature.std() > 1e-3  # a dead network would agree with anything
    np.testing.assert_allclose(feature, expected, atol=1e-4 * np.abs(expected).max())


def conv_weight(kernel):
    return torch.from_numpy(kernel.transpose(4, 3, 0, 1, 2).copy())


@pytest.fixture
def create_resnet(monkeypatch):
    """pytorchvideo's builder; it imports torchvision only for a detection head, unused here."""
    ops = types.ModuleType("torchvision.ops")
    ops.RoIAlign = None
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.ops", ops)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pytorchvideo.models.resnet").create_resnet


@pytest.mark.parametrize("temporal_strides", [(1, 1, 1, 1), (1, 2, 1, 2)])
def test_r3d50_equals_pytorchvideo(create_resnet, random_variables, temporal_strides):
    clip = np.random.default_rng(1).random((2, 8, 48, 48, 3), np.float32)
    tower = create_model("r3d50", padding="symmetric", temporal_strides=temporal_strides)
    variables = random_variables(tower, clip)
    oracle = create_resnet(
        stem_conv_kernel_size=(5, 7, 7),
        stem_conv_stride=(2, 2, 2),
        stage_conv_a_kernel_size=((1, 1, 1), (1, 1, 1), (3, 1, 1), (3, 1, 1)),
        stage_temporal_stride=temporal_strides,
        head=None,
    ).eval()
    weights = {}
    for module, p in variables["params"].items():
        stats = variables["batch_stats"][module]
        if module == "stem":
            convs = {("blocks.0.conv", "blocks.0.norm"): (p, stats)}
        else:
            stage, block = module.removeprefix("stage").split("_block")
            prefix = f"blocks.{int(stage) + 1}.res_blocks.{block}"
            names = {
                f"conv{i}": (f"{prefix}.branch2.conv_{abc}", f"{prefix}.branch2.norm_{abc}")
                for i, abc in enumerate("abc")
            } | {"shortcut": (f"{prefix}.branch1_conv", f"{prefix}.branch1_norm")}
            convs = {names[conv]: (p[conv], stats[conv]) for conv in p}
        for (conv_name, norm_name), (p, stats) in convs.items():
            norm, running = p["norm"]["bn"], stats["norm"]["bn"]
            weights[f"{conv_name}.weight"] = conv_weight(p["conv"]["kernel"])
            for name, value in {
                "weight": norm["scale"],
                "bias": norm["bias"],
                "running_mean": running["mean"],
                "running_var": running["var"],
                "num_batches_tracked": np.array(0),
            }.items():
                weights[f"{norm_name}.{name}"] = torch.from_numpy(value)
    oracle.load_state_dict(weights, strict=True)
    with torch.no_grad():
        expected = oracle(torch.from_numpy(clip.transpose(0, 4, 1, 2, 3))).mean((2, 3, 4))
    assert_same_features(tower, variables, clip, expected.numpy())


def torch_r3d18(variables, clip):
    """R3D-18 as torchvision draws it, from PyTorch's own convolution and normalisation."""
    functional = torch.nn.functional

    def conv_bn(x, params, stats, stride, padding):
        x = functional.conv3d(
            x, conv_weight(params["conv"]["kernel"]), stride=stride, padding=padding
        )
        norm, running = params["norm"]["bn"], stats["norm"]["bn"]
        values = (running["mean"], running["var"], norm["scale"], norm["bias"])
        return functional.batch_norm(x, *map(torch.from_numpy, values), eps=1e-5)

    p, s = variables["params"], variables["batch_stats"]
    x = torch.from_numpy(clip.transpose(0, 4, 1, 2, 3))
    x = conv_bn(x, p["stem"], s["stem"], (1, 2, 2), (1, 3, 3)).relu()
    for stage in range(4):
        for block in range(2):
            stride = 2 if stage > 0 and block == 0 else 1
            bp, bs = (t[f"stage{stage}_block{block}"] for t in (p, s))
            y = conv_bn(x, bp["conv0"], bs["conv0"], stride, 1).relu()
            y = conv_bn(y, bp["conv1"], bs["conv1"], 1, 1)
            if stride == 2:
                x = conv_bn(x, bp["shortcut"], bs["shortcut"], stride, 0)
            x = (x + y).relu()
    return x.mean((2, 3, 4)).numpy()


def test_r3d18_of_torchvision_can_be_expressed(random_variables):
    clip = np.random.default_rng(2).random((2, 8, 32, 32, 3), np.float32)
    fields = {
        "stem_kernel": (3, 7, 7),
        "stem_strides": (1, 2, 2),
        "stem_pool": False,
        "temporal_kernels": (3, 3, 3, 3),
        "temporal_strides": (1, 2, 2, 2),
        "padding": "symmetric",
    }
    shapes = jax.eval_shape(
        lambda: create_model("r3d18", **fields).init(
            jax.random.key(0), jnp.zeros(clip.shape), False
        )
    )
    # torchvision's r3d_18 has 33,371,472 parameters, 205,200 of them in its classifier.
    assert sum(p.size for p in jax.tree.leaves(shapes["params"])) == 33_371_472 - 205_200
    tower = create_model("r3d18", width=0.25, **fields)
    variables = random_variables(tower, clip)
    assert_same_features(tower, variables, clip, torch_r3d18(variables, clip))
