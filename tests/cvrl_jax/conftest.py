"""Encoders with random weights, as a run or an export of one would hold them; small video files."""

import av
import numpy as np
import pytest

from cvrl_jax.description import Description
from cvrl_jax.export.names import as_tree, expected_arrays
from cvrl_jax.loading import make_encoder
from cvrl_jax.models import create_model

MODELS = {
    "r3d10": {"name": "r3d10", "width": 0.0625},
    "vit": {
        "name": "vit_small",
        "layers": 2,
        "width": 16,
        "mlp": 32,
        "heads": 2,
        "head_size": 8,
        "patch": [2, 4, 4],
        "grid": [2, 3, 4],
    },
    "r3d50": {"name": "r3d50", "width": 0.125},
    "r3d18": {
        "name": "r3d18",
        "stem_kernel": [3, 7, 7],
        "stem_strides": [1, 2, 2],
        "stem_pool": False,
        "temporal_kernels": [3, 3, 3, 3],
        "temporal_strides": [1, 2, 2, 2],
    },
}


def random_arrays(wanted, seed=0):
    """All scales, biases and running statistics matter."""
    rng = np.random.default_rng(seed)

    def draw(name, shape):
        leaf = name.rpartition(".")[2]
        if leaf == "kernel":
            fan_in = np.prod(shape[:-1])
            return rng.standard_normal(shape, np.float32) * np.float32((2 / fan_in) ** 0.5)
        low, high = {"scale": (0.5, 1.0), "var": (0.5, 2.0)}.get(leaf, (-0.2, 0.2))
        return rng.uniform(low, high, shape).astype(np.float32)

    return {name: draw(name, leaf.shape) for name, leaf in wanted.items()}


def random_encoder(name="r3d10", *, frames=4, size=16, framewise=False, **fields):
    model = MODELS[name] | fields
    tower = create_model(**model)
    arrays = random_arrays(expected_arrays(tower, frames, size))
    description = Description(
        model=model,
        frames=frames,
        stride=2.0,
        stride_unit="frames",
        size=size,
        framewise=framewise,
        origin={"method": "cvrl", "step": 7, "config": {"seed": 0}},
    )
    return make_encoder(description, as_tree(arrays), "float32", "a test")


@pytest.fixture(name="random_encoder", scope="session")
def _random_encoder():
    """`random_encoder(name, frames=4, size=16, **fields of the model)`."""
    return random_encoder


def write_video(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(
                rng.integers(0, 256, (32, 32, 3), np.uint8), format="rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(name="write_video", scope="session")
def _write_video():
    """`write_video(path, seed)`: ten frames of noise."""
    return write_video


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Two classes of seven videos, one of which is no video; read-only."""
    root = tmp_path_factory.mktemp("videos")
    for label in ("cats", "dogs"):
        for i in range(7):
            write_video(root / label / f"{i}.mp4", i)
    (root / "dogs" / "0.mp4").write_bytes(b"no video")
    return root
