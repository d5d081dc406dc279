"""Opens an exported encoder in PyTorch; needs torch, safetensors and the library it was made for.

    encoder = load("NAME.safetensors")                # a torch.nn.Module in evaluation mode
    vectors = encoder(clips)                          # float32 [B, D]

`clips` is uint8 or float in [0, 1], [B, 3, T, H, W], RGB. The network without this file:

    state = safetensors.torch.load_file("NAME.safetensors")
    network = create_resnet(head=None, ...)           # arguments: in the card NAME.md
    network.load_state_dict(state, strict=True)

That is the same network unless it was trained with TensorFlow's SAME padding, which puts the odd
zero at the end of an axis: PyTorch's layers pad both ends alike, so `load` pads in front of them.

Copyright of the cvrl_jax authors, Apache-2.0; copy it wherever the weights go.
"""

import json
import math

import safetensors
import safetensors.torch
import torch


class Encoder(torch.nn.Module):
    """Pixels to vectors: normalisation, the network, and the mean over time and space."""

    def __init__(self, network, mean, std, padding, framewise):
        super().__init__()
        self.network = network
        self.framewise = framewise  # the network saw single frames; a clip is their mean
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1, 1), persistent=False)
        if padding == "same":
            for module in network.modules():
                if isinstance(module, (torch.nn.Conv3d, torch.nn.MaxPool3d)):
                    module.padding = 0 if isinstance(module, torch.nn.MaxPool3d) else (0, 0, 0)
                    module.register_forward_pre_hook(pad_same)

    def forward(self, clips):
        """[B, 3, T, H, W] -> [B, D]."""
        if not clips.is_floating_point():
            clips = clips.float() / 255
        batch, _, frames = clips.shape[:3]
        if self.framewise:
            clips = clips.transpose(1, 2).flatten(0, 1).unsqueeze(2)
        features = self.network((clips - self.mean) / self.std)
        features = features.mean((2, 3, 4)) if features.ndim == 5 else features
        return features.unflatten(0, (batch, frames)).mean(1) if self.framewise else features


def pad_same(module, inputs):
    """Pads as TensorFlow does: ceil(size / stride) outputs, the odd element at the end."""
    (x,) = inputs
    empty = -math.inf if isinstance(module, torch.nn.MaxPool3d) else 0.0
    pads = []
    for size, window, stride in zip(x.shape[2:], module.kernel_size, module.stride):
        total = max((math.ceil(size / stride) - 1) * stride + window - size, 0)
        pads = [total // 2, total - total // 2, *pads]  # torch lists the last axis first
    return torch.nn.functional.pad(x, pads, value=empty)


def build(library, arguments):
    """The bare network."""
    if library == "torchvision":
        from torchvision.models.video import r3d_18

        network = r3d_18(weights=None)
        network.fc = torch.nn.Identity()
        return network
    from pytorchvideo.models.resnet import create_resnet

    pool = torch.nn.MaxPool3d if arguments["stem_pool"] else None
    return create_resnet(head=None, **(arguments | {"stem_pool": pool}))


def load(path):
    """Builds the network that `path` names in its header and loads its weights."""
    with safetensors.safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["torch"])
    network = build(about["library"], about["arguments"])
    network.load_state_dict(safetensors.torch.load_file(path), strict=True)
    settings = {key: about[key] for key in ("mean", "std", "padding", "framewise")}
    return Encoder(network, **settings).eval()
