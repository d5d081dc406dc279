"""Packages, dependencies and extras. Lower bounds only."""

import pathlib

from setuptools import find_packages, setup

CORE = [
    "absl-py",
    "array_record>=0.6",
    "av>=18",
    "clu>=0.0.12",
    "flatbuffers>=24.3",
    "flax>=0.12",
    "fsspec>=2024.2",
    "grain>=0.2.15",
    "jax>=0.9",
    "jinja2>=3.1",
    "matplotlib>=3.8",
    "ml-collections>=1.0",
    "msgspec>=0.20",
    "numpy>=1.26",
    "opencv-python-headless>=4.9",
    "optax>=0.2.5",
    "orbax-checkpoint>=0.12",
    "pebble>=5.1",
    "pillow>=10",
    "pyarrow>=15",
    "rich>=13",
    "safetensors>=0.4.5",
    "scikit-learn>=1.4",
    "scipy>=1.11",
    "simplejpeg>=1.8",
    "tensorboardX>=2.6",
    "threadpoolctl>=3",
    "tokenizers>=0.20",
    "tqdm>=4.66",
    "usearch>=2.26",
    "webvtt-py>=0.5",
]
# The compiler of TPUs, for machines without one; it must know the jax beside it.
PLAN = ["libtpu>=0.0.40"]
PREPARE = ["apache-beam>=2.61"]
TORCH = ["pytorchvideo>=0.1.5", "torch>=2.6", "torchvision>=0.21"]
EXPORT = [*TORCH, "onnx>=1.17", "onnxruntime>=1.20", "onnxscript>=0.2", "transformers>=4.46"]
BENCH = [
    *TORCH,
    "decord>=0.6",
    "kornia>=0.8",
    "lightly>=1.5",
    "open_clip_torch>=2.24",
    "transformers>=4.46",
]
# TensorFlow itself stays out. tensorflow-datasets imports importlib_resources unasked-for.
TFDS = ["importlib_resources>=6", "tensorflow-datasets>=4.9.9"]
DEV = [
    *PREPARE,
    *TFDS,
    "hypothesis>=6.100",
    "ipykernel>=6.29",
    "nbclient>=0.10",
    "nbformat>=5.10",
    "pyright>=1.1.380",
    "pytest>=8",
    "pytest-xdist>=3.5",
    "ruff>=0.6",
]

setup(
    name="cvrl_jax",
    version="0.1.0",
    description="Self-supervised video representation learning in JAX: CVRL and its family",
    long_description=pathlib.Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["cvrl_jax*", "data_pipelines*", "configs*"]),
    package_data={
        "cvrl_jax.observe.report": ["*.html.j2"],
        "cvrl_jax.plan": ["*.html.j2"],
        "cvrl_jax.search": ["*.html.j2"],
        "data_pipelines.census": ["census.html.j2"],
    },
    install_requires=CORE,
    extras_require={
        "bench": BENCH,
        "cuda12": ["jax[cuda12]"],
        "dev": DEV,
        "export": EXPORT,
        "gcs": ["gcsfs>=2024.2"],
        "plan": PLAN,
        "prepare": PREPARE,
        "s3": ["s3fs>=2024.2"],
        "tfds": TFDS,
        "tpu": ["jax[tpu]"],
        "wandb": ["wandb>=0.17"],
    },
)
