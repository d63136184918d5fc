"""The sizes of a network, as typed values: SAM 2.0 and 2.1, SAM, MedSAM, the embedded `nano`, tiny ones for tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

STRIDE = 32  # side lengths must be multiples of this: the deepest feature map is S / 32 wide


@dataclass(frozen=True)
class SemanticConfig:
    """The head that says what class a tracked object is of (`model/semantic_head.py`).

    Args:
        names: of the classes.
        width: of their text features, which are kept with the weights.
        text: where those come from: a text encoder and its template, or "stand-in" for a fixed orthonormal table, which
            knows nothing of the names' meaning.
        scale: factor on the cosines that makes them logits.
        temperature: that logits are divided by to give probabilities, fitted on held-out data.
        frame: which stride-16 feature the head looks at: the one that memory attention has "conditioned", or the
            image's own, "raw".
    """

    names: tuple[str, ...]
    width: int
    text: str = "stand-in"
    scale: float = 100.0
    temperature: float = 1.0
    frame: Literal["conditioned", "raw"] = "conditioned"


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that decides the shape and the arithmetic of a network.

    Args:
        name: what the network is called in the table of models.
        image_size: side S of the square input the weights were trained at, in pixels.
        family: "sam2" for a Hiera encoder and a memory; "sam" for a plain ViT of one stage and no memory, whose decoder
            has no finer maps, no object score and no pointers (`model/sam1.py`).
        input: how a frame becomes the square input (`track/features.py`): "stretched" (SAM 2), "padded" below and to
            the right (SAM), or "min-max", stretched and scaled to 0..1 (MedSAM).
        embed_dim: channels of the first encoder stage; each of the three later stages doubles them.
        num_heads: attention heads of the first stage; each later stage doubles them.
        blocks: encoder blocks in each stage.
        windows: attention window of each stage, in cells of that stage.
        global_blocks: numbers of the blocks that attend to the whole map, counted over all stages.
        position_size: side of the stored position map, resized to each input.
        hidden_dim: channels D of the features that memory attention and decoder work on.
        memory_dim: channels of a spatial memory; must divide `hidden_dim`.
        num_slots: rows of the temporal code table; the last one belongs to prompted frames.
        num_long_term_slots: further learned rows, for policies with a long-term memory.
        max_pointers: how many object pointers the published recipe attends to.
        pointer_time_code: whether pointers carry a code of their distance in time (2.1) or none (2.0).
        signed_pointer_distance: whether that distance has a sign for prompted frames.
        absent_memory: whether memories of frames without the object get a learned vector (2.1).
        dense_prompts: whether boxes and clicks are also drawn as a map that joins the image features. Not in SAM 2; a
            small network trained from little data learns to obey prompts much sooner with it.
        mask_prior: whether a tracked frame also gets the mask of the newest memory it reads, as a mask prompt. Not in
            SAM 2; for the same reason.
        mask_carried: whether that mask, and the prompt's, are first carried along the motion between the frames
            (`model/motion.py`), and join the answer. Not in SAM 2.
        semantic: the head for the objects' classes (SAM2S); None for none.
    """

    name: str
    image_size: int = 1024
    family: Literal["sam2", "sam"] = "sam2"
    input: Literal["stretched", "padded", "min-max"] = "stretched"
    embed_dim: int = 96
    num_heads: int = 1
    blocks: tuple[int, ...] = (1, 2, 7, 2)
    windows: tuple[int, ...] = (8, 4, 14, 7)
    global_blocks: tuple[int, ...] = (5, 7, 9)
    position_size: int = 7
    hidden_dim: int = 256
    memory_dim: int = 64
    memory_layers: int = 4
    memory_mlp_dim: int = 2048
    memory_dropout: float = 0.1
    decoder_heads: int = 8
    decoder_mlp_dim: int = 2048
    iou_hidden_dim: int = 256
    num_slots: int = 7
    num_long_term_slots: int = 0
    max_pointers: int = 16
    pointer_time_code: bool = True
    signed_pointer_distance: bool = True
    absent_memory: bool = True
    dense_prompts: bool = False
    mask_prior: bool = False
    mask_carried: bool = False
    semantic: SemanticConfig | None = None

    def __post_init__(self) -> None:
        if self.hidden_dim % self.memory_dim or self.hidden_dim % 8:
            raise ValueError(
                f"hidden_dim {self.hidden_dim} must be a multiple of 8 and of memory_dim {self.memory_dim}: "
                "choose other widths"
            )
        if self.mask_carried and not self.mask_prior:
            raise ValueError("mask_carried carries the mask that mask_prior hands on: set both")
        if self.image_size % STRIDE:
            raise ValueError(f"image_size {self.image_size} must be a multiple of {STRIDE}")

    @property
    def remembers(self) -> bool:
        """Whether the network has a memory, and so can track."""
        return self.family == "sam2"

    @property
    def stage_dims(self) -> tuple[int, int, int, int]:
        """Channels of the four stages of SAM 2's encoder, finest first."""
        d = self.embed_dim
        return (d, 2 * d, 4 * d, 8 * d)


def _as_20(config: NetworkConfig) -> NetworkConfig:
    """The 2.0 release of a 2.1 network: no time code on pointers, no vector for absence in the spatial memory."""
    return replace(
        config,
        name=config.name.replace("sam2.1-", "sam2-"),
        pointer_time_code=False,
        signed_pointer_distance=False,
        absent_memory=False,
    )


SAM21_TINY = NetworkConfig("sam2.1-tiny")
SAM21_SMALL = NetworkConfig("sam2.1-small", blocks=(1, 2, 11, 2), global_blocks=(7, 10, 13))
SAM21_BASE_PLUS = NetworkConfig(
    "sam2.1-base-plus",
    embed_dim=112,
    num_heads=2,
    blocks=(2, 3, 16, 3),
    global_blocks=(12, 16, 20),
    position_size=14,
)
SAM21_LARGE = NetworkConfig(
    "sam2.1-large",
    embed_dim=144,
    num_heads=2,
    blocks=(2, 6, 36, 4),
    windows=(8, 4, 16, 8),
    global_blocks=(23, 33, 43),
)
SAM20_TINY = _as_20(SAM21_TINY)
SAM20_SMALL = _as_20(SAM21_SMALL)
SAM20_BASE_PLUS = _as_20(SAM21_BASE_PLUS)
SAM20_LARGE = _as_20(SAM21_LARGE)

SAM_VIT_B = NetworkConfig(
    "sam-vit-b",
    family="sam",
    input="padded",
    embed_dim=768,
    num_heads=12,
    blocks=(12,),
    windows=(14,),
    global_blocks=(2, 5, 8, 11),
    position_size=64,
)
SAM_VIT_L = replace(
    SAM_VIT_B, name="sam-vit-l", embed_dim=1024, num_heads=16, blocks=(24,), global_blocks=(5, 11, 17, 23)
)
SAM_VIT_H = replace(
    SAM_VIT_B, name="sam-vit-h", embed_dim=1280, num_heads=16, blocks=(32,), global_blocks=(7, 15, 23, 31)
)
MEDSAM = replace(SAM_VIT_B, name="medsam", input="min-max")

# At 256 px the last two stages are 16 and 8 cells wide: small enough to attend to the whole map in every block.
NANO = NetworkConfig(
    "nano",
    image_size=256,
    embed_dim=48,
    blocks=(1, 2, 5, 2),
    windows=(8, 4, 8, 8),
    global_blocks=(4, 5, 6, 7),
    position_size=7,
    hidden_dim=128,
    memory_layers=2,
    memory_mlp_dim=512,
    memory_dropout=0.0,
    decoder_heads=4,
    decoder_mlp_dim=512,
    iou_hidden_dim=128,
    dense_prompts=True,
    mask_prior=True,
    mask_carried=True,
)


def tiny_random(name: str = "tiny-random") -> NetworkConfig:
    """A network of under a million parameters that runs at 64 px: for tests, and for measuring the rest."""
    return NetworkConfig(
        name,
        image_size=64,
        embed_dim=16,
        blocks=(1, 1, 2, 1),
        windows=(8, 4, 4, 2),
        global_blocks=(3,),
        hidden_dim=64,
        memory_dim=32,
        memory_layers=1,
        memory_mlp_dim=64,
        memory_dropout=0.0,
        decoder_heads=4,
        decoder_mlp_dim=64,
        iou_hidden_dim=64,
    )


def tiny_drawn(name: str = "tiny-drawn") -> NetworkConfig:
    """`tiny_random` at 96 px with nano's two additions, without which it does not learn to track in minutes."""
    return replace(tiny_random(name), image_size=96, dense_prompts=True, mask_prior=True)


def tiny_sam(name: str = "tiny-sam") -> NetworkConfig:
    """A SAM of 0.3 million parameters that runs at 96 px, with windows that need padding: for tests."""
    return NetworkConfig(
        name,
        image_size=96,
        family="sam",
        input="padded",
        embed_dim=48,
        num_heads=2,
        blocks=(3,),
        windows=(4,),
        global_blocks=(1,),
        position_size=6,
        hidden_dim=64,
        decoder_heads=4,
        decoder_mlp_dim=64,
        iou_hidden_dim=64,
    )
