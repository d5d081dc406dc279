"""How residual towers are called in other libraries: one table for both directions.

PyTorch keeps a convolution as [out, in, t, h, w], this project and TensorFlow as [t, h, w, in,
out].
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from cvrl_jax.export.names import Named
from cvrl_jax.models.resnet3d import BASIC_BLOCKS, BOTTLENECK_BLOCKS, ResNet3D
from data_pipelines.errors import UserError

log = logging.getLogger(__name__)

_MODULE = re.compile(r"^(params|batch_stats)\.(.+?)\.(?:norm\.bn\.(\w+)|conv\.(kernel))$")
_BLOCK = re.compile(r"^stage(\d)_block(\d+)\.(?:conv(\d)|(shortcut))$")
_TORCH = {
    "kernel": ".weight",
    "scale": ".weight",
    "bias": ".bias",
    "mean": ".running_mean",
    "var": ".running_var",
}


@dataclasses.dataclass(frozen=True)
class Layout:
    """One library's names.

    Attributes:
      name: how users call it.
      stem: names of the stem's convolution and normalisation.
      conv: (stage, block, i) -> names of the i-th convolution of a block and of what follows it.
      shortcut: (stage, block) -> likewise of the projection.
      head: how the names of a classifier begin, which a tower has no place for.
      normalization: of the pixels that published weights expect.
      padding: that they were trained with.
      leaves: what follows the name of a layer, by our name of the array.
    """

    name: str
    stem: tuple[str, str]
    conv: Callable[[int, int, int], tuple[str, str]]
    shortcut: Callable[[int, int], tuple[str, str]]
    head: str
    normalization: str
    padding: str = "symmetric"
    leaves: Mapping[str, str] = dataclasses.field(default_factory=lambda: _TORCH)

    def names(self, ours: Iterable[str]) -> dict[str, str]:
        """Our name of every array of a residual tower -> theirs."""
        found = {}
        for name in ours:
            match = _MODULE.match(name)
            assert match, name
            _, module, statistic, kernel = match.groups()
            conv, norm = self._module(module)
            found[name] = (conv if kernel else norm) + self.leaves[kernel or statistic]
        return found

    def _module(self, module: str) -> tuple[str, str]:
        if module == "stem":
            return self.stem
        match = _BLOCK.match(module)
        assert match, module
        stage, block, conv, _ = match.groups()
        if conv is None:
            return self.shortcut(int(stage), int(block))
        return self.conv(int(stage), int(block), int(conv))


def _branch(stage: int, block: int) -> str:
    return f"blocks.{stage + 1}.res_blocks.{block}."


def _layer(stage: int, block: int) -> str:
    return f"layer{stage + 1}.{block}."


def _downsample(stage: int, block: int) -> tuple[str, str]:
    return f"{_layer(stage, block)}downsample.0", f"{_layer(stage, block)}downsample.1"


PYTORCHVIDEO = Layout(
    name="pytorchvideo",
    stem=("blocks.0.conv", "blocks.0.norm"),
    conv=lambda stage, block, i: (
        f"{_branch(stage, block)}branch2.conv_{'abc'[i]}",
        f"{_branch(stage, block)}branch2.norm_{'abc'[i]}",
    ),
    shortcut=lambda stage, block: (
        f"{_branch(stage, block)}branch1_conv",
        f"{_branch(stage, block)}branch1_norm",
    ),
    head="blocks.5.",
    normalization="slowfast",
)
TORCHVISION_VIDEO = Layout(
    name="torchvision",
    stem=("stem.0", "stem.1"),
    conv=lambda stage, block, i: (
        f"{_layer(stage, block)}conv{i + 1}.0",
        f"{_layer(stage, block)}conv{i + 1}.1",
    ),
    shortcut=_downsample,
    head="fc.",
    normalization="kinetics",
)
TORCHVISION_IMAGE = Layout(
    name="torchvision",
    stem=("conv1", "bn1"),
    conv=lambda stage, block, i: (
        f"{_layer(stage, block)}conv{i + 1}",
        f"{_layer(stage, block)}bn{i + 1}",
    ),
    shortcut=_downsample,
    head="fc.",
    normalization="imagenet",
)


def blocks_of(ours: Iterable[str]) -> list[tuple[int, int]]:
    """The (stage, block) pairs of a residual tower in order, from our names of its arrays."""
    modules = [match.group(2) for match in map(_MODULE.match, ours) if match]
    found = [match.groups() for match in map(_BLOCK.match, modules) if match]
    return sorted({(int(stage), int(block)) for stage, block, *_ in found})


def check_wanted(library: str, file: str, wanted: Iterable[str], model: Mapping[str, Any]) -> None:
    """Raises a UserError where the tower to be filled, by our names, is no residual one."""
    if not all(map(_MODULE.match, wanted)):
        raise UserError(
            f"config.init_from={library}:{file}: these are weights of residual networks, but "
            f"config.model is {model['name']!r}; choose one of r3d10 ... r3d152, r2d10 ... r2d152"
        )


def tell_of_pixels(layout: Layout, model: Mapping[str, Any]) -> None:
    """Warns where published weights expect other pixels or padding than `config.model` has."""
    fields = {"normalization": layout.normalization, "padding": layout.padding}
    usual = {field.name: field.default for field in dataclasses.fields(ResNet3D)}
    for field, value in fields.items():
        here = model.get(field, usual[field])
        if here != value:
            log.warning(
                "published %s weights were made with config.model.%s=%s; this run has %s",
                layout.name,
                field,
                value,
                here,
            )


def to_torch(layout: Layout, arrays: Named) -> Named:
    """A tower's arrays by our names -> a whole PyTorch state dict."""
    state: Named = {}
    for ours, theirs in layout.names(arrays).items():
        value = np.asarray(arrays[ours])
        if ours.endswith(".kernel"):
            value = value.transpose(4, 3, 0, 1, 2)
        state[theirs] = np.ascontiguousarray(value)
        if theirs.endswith(".running_mean"):  # PyTorch keeps it; nothing depends on it
            counter = theirs.removesuffix("running_mean") + "num_batches_tracked"
            state[counter] = np.array(0, np.int64)
    return state


def pytorchvideo_arguments(tower: ResNet3D) -> dict[str, object]:
    """What `pytorchvideo.models.resnet.create_resnet` is to be called with, beside `head=None`.

    Raises:
      UserError: it cannot build this tower.
    """
    if tower.depth not in BOTTLENECK_BLOCKS:
        raise _unfit(
            "pytorchvideo", f"bottleneck towers of depth {[*BOTTLENECK_BLOCKS]}", f"{tower.depth}"
        )
    _check_epsilon("pytorchvideo", tower)
    return {
        "model_depth": tower.depth,
        "stem_dim_out": round(64 * tower.width),
        "stem_conv_kernel_size": tower.stem_kernel,
        "stem_conv_stride": tower.stem_strides,
        "stem_pool": tower.stem_pool,
        "stage_conv_a_kernel_size": [(kt, 1, 1) for kt in tower.temporal_kernels],
        "stage_temporal_stride": tower.temporal_strides,
    }


def check_r3d18(tower: ResNet3D) -> None:
    """Raises a UserError where `torchvision.models.video.r3d_18` is another network."""
    wanted = {
        "depth": 18,
        "width": 1.0,
        "stem_kernel": (3, 7, 7),
        "stem_strides": (1, 2, 2),
        "stem_pool": False,
        "temporal_kernels": (3, 3, 3, 3),
        "temporal_strides": (1, 2, 2, 2),
    }
    other = [
        f"{field}={getattr(tower, field)!r}"
        for field, value in wanted.items()
        if getattr(tower, field) != value
    ]
    if other:
        fields = ", ".join(f"{field}={value!r}" for field, value in wanted.items())
        raise _unfit("torchvision", f"r3d_18, that is {fields}", ", ".join(other))
    _check_epsilon("torchvision", tower)


def _check_epsilon(target: str, tower: ResNet3D) -> None:
    if tower.bn_epsilon != 1e-5:
        raise _unfit(target, "BatchNorm with epsilon 1e-5", f"bn_epsilon={tower.bn_epsilon!r}")


def _unfit(target: str, takes: str, has: str) -> UserError:
    return UserError(
        f"--to={target} takes {takes}; this tower has {has}: use --to=safetensors or "
        "--to=stablehlo, which take every tower"
    )


def check_residual(target: str, tower: object, name: str) -> ResNet3D:
    """Returns the tower if it is a residual one; a UserError otherwise."""
    if not isinstance(tower, ResNet3D):
        depths = [*BASIC_BLOCKS, *BOTTLENECK_BLOCKS]
        raise _unfit(target, f"residual towers (r3d, r2d of depth {depths})", f"{name!r} instead")
    return tower
