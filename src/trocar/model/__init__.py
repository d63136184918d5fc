"""The SAM 2 network: plain tensors in and out."""

from trocar.model.config import NANO, NetworkConfig, tiny_random
from trocar.model.network import Network
from trocar.model.tensors import (
    Decoded,
    ImageFeatures,
    MemoryTokens,
    ProjectedMemory,
    PromptEmbeddings,
    PromptTensors,
    embedded_prompt,
    no_prompt,
)

__all__ = [
    "NANO",
    "Decoded",
    "ImageFeatures",
    "MemoryTokens",
    "Network",
    "NetworkConfig",
    "ProjectedMemory",
    "PromptEmbeddings",
    "PromptTensors",
    "embedded_prompt",
    "no_prompt",
    "tiny_random",
]
