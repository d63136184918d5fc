"""Which image encoder features come from, as a short text: heads and caches of another one are refused."""

from __future__ import annotations

import hashlib

import torch

from trocar.model.network import Network

# The finer maps pass through two layers of the mask decoder while an image is encoded.
ENCODER = ("image_encoder.", "vit.", "mask_decoder.stride4_conv.", "mask_decoder.stride8_conv.")


def encoder_fingerprint(network: Network) -> str:
    """16 hexadecimal digits that say which image encoder this is and how it takes frames.

    Weights are compared after rounding to half precision, so that a network which computes in float16 is the same.
    """
    digest = hashlib.sha256(f"{network.config.family} {network.config.input}".encode())
    for name, tensor in network.state_dict().items():
        if name.startswith(ENCODER):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().to("cpu", torch.float16).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
