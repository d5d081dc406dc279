"""The attentive probe (V-JEPA, arXiv 2404.08471): cross-attention with a learned query.

Command:   python main.py --mode=eval --config=configs/eval/attentive.py --workdir=runs/cvrl
Presets:   :tiny   two views; seconds on 2 CPU cores for a run of the preset :tiny

It looks at the tokens of a transformer, or at the views of a video where the tower has no tokens.
"""

from ml_collections import ConfigDict

from configs.eval import base


def get_config(preset: str = "") -> ConfigDict:
    """Returns the evaluation; `preset` is "" or "tiny"."""
    config = base.get_config("attentive", "attentive", preset=preset)
    if not preset:  # every token is kept in memory
        config.eval.update(clips=4, train_clips=2)
    return config
