"""CVRL's linear evaluation of a checkpoint: 32 x 2 frames at 256 pixels, 10 clips x 3 crops.

Command:   python main.py --mode=eval --config=configs/linear_probe.py --checkpoint=runs/cvrl \
             --workdir=runs/cvrl_linear --config.data.source=folder --config.data.root=DIR
Hardware:  as cvrl_r3d50.py; expected metric: published K400 linear 63.8 (200 epochs); not run here
Presets:   :tiny   built-in videos on 2 CPU cores
           :small  112 pixels, for one GPU; not run here

Model, head and method come from the checkpoint, data and evaluation from here. The probe is trained
on cached features of ten evenly spaced clips per training video, one of them drawn in each epoch.
"""

from ml_collections import ConfigDict

from configs import base
from configs.presets import apply_preset


def get_config(preset: str = "") -> ConfigDict:
    """Returns the evaluation; `preset` is "", "tiny" or "small"."""
    config = base.get_config()
    config.name = "linear_probe"
    config = apply_preset(config, preset)
    config.eval.update(clips=10, train_clips=10, crops=3)
    if not preset:
        config.eval.update(frames=32, size=256)
    return config
