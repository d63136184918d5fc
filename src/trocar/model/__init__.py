"""The SAM 2 network: plain tensors in and out."""

from trocar.model.config import NANO, NetworkConfig, tiny_random
from trocar.model.network import Network
from trocar.model.tensors import Decoded, ImageFeatures, MemoryTokens, ProjectedMemory, PromptTensors, no_prompt

__all__ = [
    "NANO",
    "Decoded",
    "ImageFeatures",
    "MemoryTokens",
    "Network",
    "NetworkConfig",
    "ProjectedMemory",
    "PromptTensors",
    "no_prompt",
    "tiny_random",
]
