"""Smaller sizes of any experiment: what `:tiny` and `:small` behind a config's name mean."""

from ml_collections import ConfigDict

from data_pipelines.errors import UserError
from data_pipelines.suggest import nearest

PRESETS = ("", "tiny", "small")


def apply_preset(config: ConfigDict, preset: str) -> ConfigDict:
    """Shrinks `config` in place to the named size and returns it.

    Raises:
      UserError: unknown preset.
    """
    if preset == "tiny":
        _tiny(config)
        if config.model.get("name", "").startswith("r"):
            _tiny_residual(config)
    elif preset == "small":
        _small(config)
    elif preset:
        raise UserError(
            f"unknown preset ':{preset}' of config {config.name}; {nearest(preset, PRESETS[1:])}"
        )
    if preset:
        config.name = f"{config.name}:{preset}"
    return config


def _tiny(config: ConfigDict) -> None:
    """Minutes on two CPU cores, on the built-in videos."""
    config.update(batch_size=32, steps=650)
    config.data.update(
        frames=8, stride=3.0, size=32, train_videos=1024, test_videos=384, crop_area=(0.5, 1.0)
    )
    config.augment.strength = 0.25  # full strength takes some thousand steps to get going here
    config.optimizer.update(name="adamw", learning_rate=0.003, weight_decay=1e-4, warmup_steps=20)
    config.eval.update(every=250, clips=2, train_clips=2, batch_size=64)
    config.eval.linear.update(batch_size=128)
    config.checkpoint.update(every=250)
    config.log.update(every=10)


def _tiny_residual(config: ConfigDict) -> None:
    config.model.update(
        name="r3d10",
        width=0.25,
        stem_kernel=(3, 5, 5),
        stem_strides=(2, 2, 2),
        stem_pool=False,
        temporal_kernels=(3, 3, 3, 3),
        dtype="float32",
    )
    config.head.update(hidden=256, layers=2, out=64)


def _small(config: ConfigDict) -> None:
    """One GPU: 16 frames of 112 pixels."""
    config.update(batch_size=128, steps=20_000)
    config.data.update(size=112)
    config.optimizer.update(warmup_steps=500)
    config.eval.update(every=2_000)
