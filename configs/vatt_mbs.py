"""VATT: medium video, base audio, small text tower (Akbari et al. 2021, arXiv 2104.11178).

Command:   python main.py --config=configs/vatt_mbs.py --workdir=runs/vatt \
             --config.data.source=folder --config.data.root=DIR
Hardware:  a TPU pod slice for the full recipe (the paper: 256 TPU v3, under 3 days)
Expected:  published, zero-shot text-to-video R@10: YouCook2 45.5, MSR-VTT 29.7; not run here
Presets:   :tiny   built-in videos that speak, on 2 CPU cores, minutes
           :small  16 x 112 x 112 for one GPU; not run here
Towers:    :spectrogram   sound as log-mel spectrograms in place of waveforms
           :linear_text   words without a transformer (MMV)
           both go with each other and with a preset: :tiny,spectrogram,linear_text

Where paper and released code disagree the fields say so; the values are the paper's, or the code's
where the paper says nothing.
"""

from ml_collections import ConfigDict

from configs import base
from configs.presets import apply_preset


def get_config(preset: str = "") -> ConfigDict:
    """Returns the experiment; `preset` is "", "tiny" or "small", and towers behind commas."""
    config = base.get_config()
    config.name = "vatt_mbs"
    return vatt_with(config, preset, video="medium")


def vatt_with(config: ConfigDict, preset: str, video: str) -> ConfigDict:
    """As `vatt`; words of `preset` between commas may also name other towers."""
    words = preset.split(",")
    sizes = [word for word in words if word not in TOWERS]
    config = vatt(config, ",".join(sizes), video)
    for name in TOWERS:
        if name in words:
            TOWERS[name](config, "tiny" in sizes)
            config.name = f"{config.name}:{name}"
    return config


def vatt(config: ConfigDict, preset: str, video: str) -> ConfigDict:
    """Fills in what VATT's experiments share, shrinks it to `preset`, and returns it.

    Args:
      config: of base.py, with its name.
      preset: "", "tiny" or "small".
      video: size of the video tower: base, medium or large.
    """
    config.update(batch_size=2048, steps=500_000)
    config.data.update(frames=32, stride=0.1, stride_unit="seconds", crop_area=(0.08, 1.0))
    config.data.crop = "random"  # the released code: scale_jittered
    config.data.audio = ConfigDict(
        {
            "rate": 48_000,  # samples per second
            "samples": 153_600,  # of the waveform that begins with the clip: 3.2 s, as the clip
        }
    )
    config.data.text = ConfigDict(
        {
            "sentences": 5,  # nearest to the clip in time: the candidates of MIL-NCE
            "tokens": 16,  # words of a sentence; the rest is cut off
            "tokenizer": "",  # vocabulary or tokenizers .json; "" = the words of moving_shapes
        }
    )

    config.model = model = ConfigDict()
    model.shared = False  # one transformer for all towers; see vatt_ma_medium.py
    ours = {
        "dropout": 0.1,  # of the released code; the paper says nothing of it
        "attention_dropout": 0.1,  # likewise; 0 lets fused attention kernels run
        "remat": "none",  # kept for the backward pass, see base.py
        "dtype": "bfloat16",  # of activations; parameters are float32
    }
    tokens = {
        "drop_token": 0.5,  # share of tokens left out in training
        "drop_token_shared": False,  # True: one draw for the whole batch, as the released code
        "position_norm": False,  # True: LayerNorm and dropout on positions, as the released code
    }
    model.video = ConfigDict(
        {
            "name": f"vit_{video}",
            "patch": (4, 16, 16),  # frames, height and width of a token
            "grid": (8, 14, 14),  # rows of the position tables; others are interpolated
            **tokens,
            **ours,
        }
    )
    model.audio = ConfigDict(
        {
            "name": "wat_base",  # wat_* waveforms; for spectrograms see above
            "patch": 128,  # samples of a token
            "grid": (1200,),
            **tokens,
            **ours,
        }
    )
    model.text = ConfigDict(
        {
            "name": "t5_small",  # t5_* | text_* (absolute positions); for words alone see above
            "vocabulary": 65_536,  # at least what the tokenizer has
            "word_size": 0,  # of a word's vector, 0 = width; the released code: 300, frozen
            "frozen_words": False,
            "word_vectors": "",  # .npy file to start from; the released code: word2vec's
            "relative_bias": "first",  # layer with T5's bias; all: the released code, and T5
            **ours,
        }
    )

    config.head = head = ConfigDict()
    head.va = 512  # dimensions of the space of video and audio
    head.vt = 256  # dimensions of the space of video and text
    head.form = "paper"  # paper | released | joint (one space of va dimensions)

    config.method = method = ConfigDict()
    method.name = "vatt"
    method.temperature = 0.07
    method.nce = "paper"  # paper | released (positives twice in the denominator: floor log 2)
    method.audio_weight = 1.0  # of the loss of video and audio
    method.text_weight = 1.0  # of the loss of video and text; the released code halves both

    config.augment.recipe = "vatt"
    config.augment.audio_noise = 0.0  # of the loudest sample; the released code has 0.01
    config.augment.audio_mixup = False  # with another waveform of the batch, by Beta(10, 2)

    config.optimizer.update(
        name="adam",
        learning_rate=1e-4,
        epsilon=1e-7,
        weight_decay=0.0,
        warmup_steps=10_000,  # the released code: 5,000
        schedule="quarter_cosine",  # to 5e-5; the released code: cosine_to_half
    )
    config.eval.update(protocols=("cross_modal_retrieval",), clips=4)
    apply_preset(config, preset)
    if preset == "tiny":
        _tiny(config)
    elif preset == "small":
        config.data.update(frames=16, stride=0.2)
        config.model.video.grid = (4, 7, 7)
    return config


def _tiny(config: ConfigDict) -> None:
    """Four shapes, four motions and eight colours, seen, heard and told."""
    config.update(batch_size=64, steps=640)
    config.data.update(stride_unit="frames", constant_colour=True, train_videos=4096)
    config.data.audio.update(rate=4000, samples=3840)  # 24 frames at 25 per second
    config.data.text.update(sentences=2)
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
    config.model.video.update(**stack, drop_token=0.0, patch=(2, 8, 8), grid=(4, 4, 4))
    config.model.audio.update(**stack, drop_token=0.0, patch=64, grid=(60,))
    config.model.text.update(**stack, vocabulary=128)
    config.head.update(va=64, vt=64)
    # The sentences name the colour, and the sound tells left from right.
    config.augment.recipe = "none"
    config.optimizer.update(
        name="adam", learning_rate=1e-3, weight_decay=0.0, warmup_steps=50, schedule="cosine"
    )
    config.eval.update(
        every=400,
        train_clips=1,
        protocols=("cross_modal_retrieval", "knn", "linear"),
        retrieval_ways=64,
    )


def _spectrogram(config: ConfigDict, tiny: bool) -> None:
    """Tokens are tiles of a log-mel spectrogram, 16 steps by 5 bands as in the released code."""
    audio = config.model.audio
    config.model.audio = ConfigDict(
        audio.to_dict()
        | {
            "name": audio.name.replace("wat", "spt"),
            "patch": (4, 5) if tiny else (16, 5),  # steps of time, bands
            "grid": (14, 4) if tiny else (9, 16),
            "rate": config.data.audio.rate,
            "window": 256 if tiny else 2048,  # samples
            "step": 64 if tiny else 1024,  # samples
            "bands": 20 if tiny else 80,
            "band_range": (80.0, 1900.0) if tiny else (80.0, 7600.0),  # Hz
        }
    )


def _linear_text(config: ConfigDict, tiny: bool) -> None:
    """A Dense layer on every word's vector, the greatest over the sentence."""
    text = config.model.text
    config.model.text = ConfigDict(
        {
            "name": "text_linear",
            "vocabulary": text.vocabulary,
            "word_size": 64 if tiny else 300,
            "frozen_words": False,
            "word_vectors": "",  # .npy file to start from; the released code: word2vec's, frozen
            "width": 128 if tiny else 2048,
            "dtype": text.dtype,
        }
    )


TOWERS = {"spectrogram": _spectrogram, "linear_text": _linear_text}
