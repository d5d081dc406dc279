"""VATT, medium video, base audio and small text tower (Akbari et al. 2021, arXiv 2104.11178).

Command:   python main.py --config=configs/vatt_mbs.py --workdir=runs/vatt \
             --config.data.source=folder --config.data.root=DIR
Hardware:  a TPU pod slice for the full recipe (the paper: 256 TPU v3, under 3 days)
Expected:  published: MSR-VTT zero-shot text-to-video R@10 29.7, YouCook2 45.5; not run here
Presets:   :tiny   built-in videos that speak, on 2 CPU cores, minutes
           :small  16 x 112 x 112 for one GPU; not run here
"""

from ml_collections import ConfigDict

from configs import base
from configs.presets import apply_preset


def get_config(preset: str = "") -> ConfigDict:
    """Returns the experiment; `preset` is "", "tiny" or "small"."""
    config = base.get_config()
    config.name = "vatt_mbs"
    return vatt(config, preset, video="medium")


def vatt(config: ConfigDict, preset: str, video: str) -> ConfigDict:
    """Fills in what VATT's experiments share.

    Args:
      config: of base.py.
      preset: "", "tiny" or "small".
      video: size of the video tower.
    """
    config.update(batch_size=2048, steps=500_000)
    config.data.update(
        frames=32,
        stride=0.1,
        stride_unit="seconds",
        size=224,
        crop_area=(0.08, 1.0),
        audio=ConfigDict({"rate": 48_000, "samples": 153_600}),  # 3.2 s
        text=ConfigDict({"sentences": 5, "tokens": 16, "tokenizer": ""}),
    )
    config.method = ConfigDict(
        {
            "name": "vatt",
            "temperature": 0.07,
            "nce": "paper",  # paper | released (positives twice in the denominator; floor log 2)
            "audio_weight": 1.0,  # of the loss of video and audio
            "text_weight": 1.0,  # of the loss of video and text
        }
    )
    config.augment.update(recipe="linear", audio_noise=0.0, audio_mixup=False)
    config.optimizer.update(name="adamw", learning_rate=1e-4, weight_decay=0.0, warmup_steps=10_000)
    config.eval.update(protocols=("retrieval",), clips=4)
    config = apply_preset(config, preset)
    stack = {"dropout": 0.1, "attention_dropout": 0.1, "dtype": "bfloat16"}
    config.model = ConfigDict(
        {
            "shared": False,  # one transformer for all towers, which then agree in its fields
            "video": {"name": f"vit_{video}", "drop_token": 0.5, **stack},
            "audio": {"name": "wat_base", "drop_token": 0.5, **stack},
            "text": {"name": "t5_small", "vocabulary": 65536, **stack},
        }
    )
    config.head = ConfigDict({"va": 512, "vt": 256, "form": "paper"})
    if preset == "tiny":
        _tiny(config)
    return config


def _tiny(config: ConfigDict) -> None:
    config.eval.update(protocols=("retrieval", "knn", "linear"), retrieval_ways=64)
    config.data.update(
        constant_colour=True,
        stride=3.0,
        stride_unit="frames",
        audio=ConfigDict({"rate": 4000, "samples": 3840}),
        text=ConfigDict({"sentences": 1, "tokens": 16, "tokenizer": ""}),
    )
    stack = {
        "layers": 2,
        "width": 128,
        "mlp": 256,
        "heads": 4,
        "head_size": 32,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "dtype": "float32",
    }
    config.model.video.update(**stack, patch=(2, 8, 8), grid=(4, 4, 4))
    config.model.audio.update(**stack, patch=64, grid=(60,))
    config.model.text.update(**stack, vocabulary=512)
    config.head.update(va=64, vt=64)
