"""CVRL with a small network: R3D-18, 8 frames of 112 pixels, for one GPU or a patient CPU.

Command:   python main.py --config=configs/cvrl_r3d18.py --workdir=runs/cvrl_r3d18 \
             --config.data.source=folder --config.data.root=DIR
Hardware:  one GPU; expected time and metric: not run here at full size
Presets:   :tiny   built-in videos on 2 CPU cores
"""

from ml_collections import ConfigDict

from configs import base
from configs.presets import apply_preset


def get_config(preset: str = "") -> ConfigDict:
    """Returns the experiment; `preset` is "", "tiny" or "small"."""
    config = base.get_config()
    config.name = "cvrl_r3d18"
    config.update(batch_size=128, steps=20_000)
    config.data.update(frames=8, stride=4.0, size=112)
    config.model.name = "r3d18"
    config.head.update(hidden=512)
    config.optimizer.update(warmup_steps=500)
    config.eval.update(every=2_000)
    return apply_preset(config, preset)
