"""How a step is computed: in how many parts, by how many threads and processes, and with what kept in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from trocar.model import Network


@dataclass(frozen=True)
class Engine:
    """Nothing here changes what is learned, but `parts`, which decides what is drawn.

    Args:
        parts: parts that a step's batch is cut into, each computed for itself with draws of its own; 0 for as many as
            `workers`. Threads and processes share them out; what is left over is computed one after the other, so more
            parts than both is gradient accumulation. A step with fewer samples has fewer parts.
        recompute_image_encoder: forget the activations inside the image encoder's blocks and compute them again for
            the gradients (gradient checkpointing): less memory, one more forward pass of it.
        recompute_memory_attention: the same for memory attention, frame by frame.
        loaders: threads that draw samples ahead.
        save_seconds: a checkpoint is written when so much time has passed since the last one.
        save_steps: and after every so many steps; 0 for by the clock alone.
        log_steps: a line of the log stands for so many steps.
    """

    parts: int = 0
    recompute_image_encoder: bool = False
    recompute_memory_attention: bool = False
    loaders: int = 1
    save_seconds: float = 120.0
    save_steps: int = 0
    log_steps: int = 20

    def __post_init__(self) -> None:
        if min(self.parts, self.save_steps) < 0 or min(self.loaders, self.log_steps) < 1:
            raise ValueError(
                "engine: parts and save_steps must be 0 or more, loaders and log_steps 1 or more, not "
                f"{self.parts}, {self.save_steps}, {self.loaders} and {self.log_steps}"
            )


def recompute_activations(network: Network, engine: Engine) -> None:
    """Let the parts of a network that the settings name compute their activations twice instead of keeping them.

    The network's weights and their names stay as they are; without gradients nothing changes.
    """
    if engine.recompute_image_encoder:
        for block in encoder_blocks(network):
            _recompute(block)
    if engine.recompute_memory_attention and network.config.remembers:
        _recompute(network.memory_attention)


def encoder_blocks(network: Network) -> nn.ModuleList:
    """The blocks of the image encoder, first to last, in SAM 2 and in SAM."""
    encoder = network.image_encoder if network.config.remembers else network.get_submodule("vit")
    assert isinstance(encoder.blocks, nn.ModuleList)
    return encoder.blocks


def _recompute(module: nn.Module) -> None:
    forward = module.forward

    def twice(*inputs: Any) -> Any:
        return checkpoint(forward, *inputs, use_reentrant=False)

    module.forward = twice  # where the module's own __call__ looks first
