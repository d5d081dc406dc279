"""Packages, dependencies and extras. Lower bounds only."""

import pathlib

from setuptools import find_packages, setup

CORE = [
    "absl-py",
    "av>=14.2",
    "clu>=0.0.12",
    "flax>=0.12",
    "grain>=0.2.15",
    "jax>=0.9",
    "jinja2>=3.1",
    "matplotlib>=3.8",
    "ml-collections>=1.0",
    "numpy>=1.26",
    "opencv-python-headless>=4.9",
    "optax>=0.2.5",
    "orbax-checkpoint>=0.12",
    "pebble>=5.1",
    "pillow>=10",
    "pyarrow>=15",
    "rich>=13",
    "scikit-learn>=1.4",
    "tensorboardX>=2.6",
    "threadpoolctl>=3",
    "tqdm>=4.66",
]
DEV = ["hypothesis>=6.100", "pyright>=1.1.380", "pytest>=8", "pytest-xdist>=3.5", "ruff>=0.6"]

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
        "cvrl_jax.observe.report": ["template.html.j2"],
        "data_pipelines.census": ["census.html.j2"],
    },
    install_requires=CORE,
    extras_require={
        "cuda12": ["jax[cuda12]"],
        "dev": DEV,
        "tfds": ["tensorflow-datasets>=4.9.7"],
        "tpu": ["jax[tpu]"],
        "wandb": ["wandb>=0.17"],
    },
)
