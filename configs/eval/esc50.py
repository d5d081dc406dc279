"""ESC-50: VATT's linear classifier on the features of sound, over the five folds.

Command:   python main.py --mode=eval --config=configs/eval/esc50.py --checkpoint=runs/vatt \
             --workdir=runs/vatt_esc50 --config.data.root=ESC-50-master
Expected:  published, VATT-MBS: 84.7; not run here
Presets:   :tiny   two windows of each sound, short training
"""

from ml_collections import ConfigDict

from configs.eval import vatt_linear


def get_config(preset: str = "") -> ConfigDict:
    """Returns the evaluation; `preset` is "" or "tiny"."""
    config = vatt_linear.get_config(preset)
    config.name = f"esc50:{preset}" if preset else "esc50"
    config.data.source = "esc50"
    config.eval.protocols = ("audio_linear",)
    return config
