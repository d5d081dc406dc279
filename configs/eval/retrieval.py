"""Clip retrieval as on UCF101 and HMDB51: test videos search the training videos, R@1 to R@50.

Command:   python main.py --mode=eval --config=configs/eval/retrieval.py --workdir=runs/cvrl
Presets:   :tiny   two views; seconds on 2 CPU cores for a run of the preset :tiny

A query is a hit at k if any of the k most similar training videos has its class. Retrieval between
text, sound and video is --config.eval.protocols="('cross_modal_retrieval',)".
"""

from ml_collections import ConfigDict

from configs.eval import base


def get_config(preset: str = "") -> ConfigDict:
    """Returns the evaluation; `preset` is "" or "tiny"."""
    config = base.get_config("retrieval", "clip_retrieval", preset=preset)
    if not preset:
        config.eval.crops = 1
    return config
