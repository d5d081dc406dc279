"""VATT: large video, base audio, small text tower (Akbari et al. 2021, arXiv 2104.11178).

Command:   python main.py --config=configs/vatt_lbs.py --workdir=runs/vatt_lbs \
             --config.data.source=folder --config.data.root=DIR
Hardware:  as vatt_mbs.py; expected time and metric: not run here at full size
Presets:   :tiny   built-in videos that speak, on 2 CPU cores; the same as that of vatt_mbs.py
           :small  16 x 112 x 112 for one GPU; not run here

Video and audio tower recompute their blocks in the backward pass, and the devices share the state.
"""

from ml_collections import ConfigDict

from configs import base
from configs.vatt_mbs import vatt_with


def get_config(preset: str = "") -> ConfigDict:
    """Returns the experiment; `preset` as for vatt_mbs.py."""
    config = base.get_config()
    config.name = "vatt_lbs"
    config = vatt_with(config, preset, video="large")
    if "tiny" not in preset.split(","):
        config.model.video.remat = "block"
        config.model.audio.remat = "block"
        config.parallel.preset = "fsdp"
    return config
