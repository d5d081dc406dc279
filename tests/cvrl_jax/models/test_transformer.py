"""The stack against PyTorch's encoder, and T5's form against its equations in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cvrl_jax.models.transformer import Transformer, gelu

TINY = {"layers": 2, "width": 8, "mlp": 12, "heads": 2, "head_size": 4}
X = np.random.default_rng(0).normal(size=(3, 5, 8)).astype(np.float32)


@pytest.mark.parametrize(
    ("fields", "millions"),
    [
        ({}, 85.06),
        ({"width": 1024, "mlp": 4096, "heads": 16}, 151.16),
        ({"layers": 24, "width": 1024, "mlp": 4096, "heads": 16}, 302.31),
    ],
)
def test_encoders_count_as_in_the_paper(fields, millions):
    stack = Transformer(**fields)
    x = jnp.zeros((1, 2, stack.width))
    shapes = jax.eval_shape(lambda: stack.init(jax.random.key(0), x, False))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) / 1e6 == pytest.approx(
        millions, abs=0.005
    )


def test_gelu_is_exact():
    from scipy.stats import norm

    x = np.linspace(-6, 6, 101)
    np.testing.assert_allclose(gelu(x.astype(np.float32)), x * norm.cdf(x), atol=1e-6)


def test_the_stack_equals_pytorchs_encoder(random_variables):
    torch = pytest.importorskip("torch")
    stack = Transformer(**TINY)
    variables = random_variables(stack, X)
    p = variables["params"]

    def tensor(*arrays):
        return torch.from_numpy(np.concatenate(arrays))

    def dense(d):
        return tensor(np.asarray(d["kernel"]).T), tensor(d["bias"])

    layer = torch.nn.TransformerEncoderLayer(
        8, 2, 12, dropout=0.0, activation="gelu", layer_norm_eps=1e-6, batch_first=True,
        norm_first=True,
    )  # fmt: skip
    x = torch.from_numpy(X)
    hidden = torch.from_numpy(~np.array([[True] * 5, [True] * 3 + [False] * 2, [True] * 5]))
    for block in ("block0", "block1"):
        b = p[block]
        qkv = [dense(b["attention"][name]) for name in ("query", "key", "value")]
        (out_w, out_b), (up_w, up_b), (down_w, down_b) = (
            dense(d) for d in (b["attention"]["out"], b["up"], b["down"])
        )
        layer.load_state_dict(
            {
                "self_attn.in_proj_weight": torch.cat([w for w, _ in qkv]),
                "self_attn.in_proj_bias": torch.cat([bias for _, bias in qkv]),
                "self_attn.out_proj.weight": out_w,
                "self_attn.out_proj.bias": out_b,
                "linear1.weight": up_w,
                "linear1.bias": up_b,
                "linear2.weight": down_w,
                "linear2.bias": down_b,
                "norm1.weight": tensor(b["attention_norm"]["scale"]),
                "norm1.bias": tensor(b["attention_norm"]["bias"]),
                "norm2.weight": tensor(b["mlp_norm"]["scale"]),
                "norm2.bias": tensor(b["mlp_norm"]["bias"]),
            }
        )
        x = layer(x, src_key_padding_mask=hidden)
    expected = torch.nn.functional.layer_norm(
        x, (8,), tensor(p["norm"]["scale"]), tensor(p["norm"]["bias"]), 1e-6
    )
    got = jax.jit(lambda v, x: stack.apply(v, x, False, ~hidden.numpy()))(variables, X)
    np.testing.assert_allclose(got, expected.detach().numpy(), rtol=1e-4, atol=1e-5)


T5 = {**TINY, "biases": False, "scaled": False, "norm": "rms"}


@pytest.mark.parametrize("where", ["", "first", "all"])
def test_t5_equals_its_equations(where, random_variables):
    from scipy.stats import norm as normal

    from cvrl_jax.models.attention import distance_buckets

    stack = Transformer(**T5, relative_bias=where)
    variables = random_variables(stack, X)
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), variables["params"])
    assert not any("bias" in path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(
        {k: v["attention"] for k, v in p.items() if "block" in k}
    ))  # fmt: skip

    def rms(x, scale):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale

    x = X.astype(np.float64)
    for layer in range(2):
        b = p[f"block{layer}"]
        y = rms(x, b["attention_norm"]["scale"])
        q, k, v = (
            (y @ b["attention"][n]["kernel"]).reshape(3, 5, 2, 4) for n in ("query", "key", "value")
        )
        logits = np.einsum("nqhd,nkhd->nhqk", q, k)
        if where == "all" or (where == "first" and layer == 0):
            logits += p["relative_bias"]["table"][distance_buckets(5, 32, 64)].transpose(2, 0, 1)
        weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        joined = np.einsum("nhqk,nkhd->nqhd", weights, v).reshape(3, 5, 8)
        x = x + joined @ b["attention"]["out"]["kernel"]
        y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        y = (y * b["mlp_norm"]["scale"] + b["mlp_norm"]["bias"]) @ b["up"]["kernel"]
        x = x + (y * normal.cdf(y)) @ b["down"]["kernel"]
    got = jax.jit(lambda v, x: stack.apply(v, x, False))(variables, X)
    np.testing.assert_allclose(got, rms(x, p["norm"]["scale"]), rtol=1e-4, atol=1e-4)


def test_unscaled_attention_starts_with_smaller_queries():
    def spread(scaled):
        stack = Transformer(**{**TINY, "scaled": scaled, "head_size": 16})
        p = stack.init(jax.random.key(0), X, False)["params"]["block0"]["attention"]
        return float(p["query"]["kernel"].std() / p["key"]["kernel"].std())

    assert spread(True) == pytest.approx(1.0, rel=0.15)
    assert spread(False) == pytest.approx(0.25, rel=0.15)


def test_recomputing_changes_memory_alone(random_variables):
    variables = random_variables(Transformer(**TINY), X)

    def gradient(remat):
        stack = Transformer(**TINY, remat=remat, dropout=0.5, attention_dropout=0.5)
        rngs = {"dropout": jax.random.key(0)}
        return jax.grad(lambda v: (stack.apply(v, X, True, rngs=rngs) ** 2).sum())(variables)

    plain = gradient("none")
    for remat in ("dots", "block"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
            plain,
            gradient(remat),
        )


def test_dropout_acts_in_training_only_and_bfloat16_runs(random_variables):
    variables = random_variables(Transformer(**TINY), X)
    dropping = Transformer(**TINY, dropout=0.5)
    still = Transformer(**TINY).apply(variables, X, True)
    np.testing.assert_array_equal(dropping.apply(variables, X, False), still)
    a = dropping.apply(variables, X, True, rngs={"dropout": jax.random.key(1)})
    assert not np.allclose(a, still)
    half = Transformer(**TINY, dtype=jnp.bfloat16).apply(variables, X, False)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(np.float32), still, atol=0.15)
