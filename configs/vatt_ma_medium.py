"""Modality-agnostic VATT: one medium transformer for video, audio and text (arXiv 2104.11178).

Command:   python main.py --config=configs/vatt_ma_medium.py --workdir=runs/vatt_ma \
             --config.data.source=folder --config.data.root=DIR
Hardware:  as vatt_mbs.py
Expected:  published, zero-shot text-to-video R@10: YouCook2 40.6, MSR-VTT 23.6; not run here
Presets:   :tiny   built-in videos that speak, on 2 CPU cores, minutes
           :small  16 x 112 x 112 for one GPU; not run here

Each modality keeps its own embedding, positions, AGG token and projections; the blocks are shared.
"""

from ml_collections import ConfigDict

from configs import base
from configs.vatt_mbs import vatt


def get_config(preset: str = "") -> ConfigDict:
    """Returns the experiment; `preset` is "", "tiny" or "small"."""
    config = base.get_config()
    config.name = "vatt_ma_medium"
    config = vatt(config, preset, video="medium")
    tiny = preset == "tiny"
    model = config.model
    model.shared = True
    model.audio.name = "wat_medium"
    model.text.name = "text_medium"  # absolute positions in place of T5's
    model.text.relative_bias = ""
    model.text.grid = (16,)
    model.text.word_size = 64 if tiny else 300
    for modality in ("video", "audio", "text"):
        model[modality].pre_projection = True  # Dense and GELU between embedding and positions
        model[modality].post_projection = 128 if tiny else 1024  # Dense and GELU on the feature
    return config
