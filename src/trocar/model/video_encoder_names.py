"""Which video encoders have names, where their weights come from, and how they are found on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from trocar.model.registry import WEIGHTS_FOLDER


@dataclass(frozen=True)
class VideoEncoderInfo:
    """One line of the table of video encoders.

    Args:
        name: what people type.
        about: what it is, and who trained it.
        repository: where the weights are published; on Hugging Face unless it is an address.
        licence: of the weights.
        unread: why trocar cannot read the published files; "" where it can.
    """

    name: str
    about: str
    repository: str
    licence: str
    unread: str = ""


_NC = "CC-BY-NC-4.0"
_TIMESFORMER = "its TimeSformer and the names of its tensors are not implemented"
_OTHER_SHAPE = "its CAFormer, ConvNeXt and PVT encoders and the names of its tensors are not implemented"

#: SurgRec's baselines and what stands near them; the licences are those that the publishers name.
VIDEO_ENCODERS: dict[str, VideoEncoderInfo] = {
    info.name: info
    for info in (
        VideoEncoderInfo("videomae-base", "VideoMAE ViT-B, Kinetics-400", "MCG-NJU/videomae-base", _NC),
        VideoEncoderInfo("videomae-large", "VideoMAE ViT-L, Kinetics-400", "MCG-NJU/videomae-large", _NC),
        VideoEncoderInfo("vjepa2-vitl", "V-JEPA 2 ViT-L at 256 px", "facebook/vjepa2-vitl-fpc64-256", "MIT"),
        VideoEncoderInfo(
            "dinov3-vitb16",
            "DINOv3 ViT-B/16, frame by frame",
            "facebook/dinov3-vitb16-pretrain-lvd1689m",
            "DINOv3 License (to be accepted on its page)",
        ),
        VideoEncoderInfo("dinov2-base", "DINOv2 ViT-B/14, frame by frame", "facebook/dinov2-base", "Apache-2.0"),
        VideoEncoderInfo(
            "clip-vitb16", "CLIP's image encoder, ViT-B/16, frame by frame", "openai/clip-vit-base-patch16", "MIT"
        ),
        VideoEncoderInfo(
            "endofm", "Endo-FM, endoscopy video", "https://github.com/med-air/Endo-FM", "Apache-2.0", _TIMESFORMER
        ),
        VideoEncoderInfo(
            "surgenet", "SurgeNet, surgical frames", "TimJaspersTue/SurgeNetModels", f"{_NC} (weights)", _OTHER_SHAPE
        ),
    )
}


def find_video_encoder(name: str) -> Path:
    """Where an encoder lies, for `open_video_encoder`.

    Args:
        name: the path of a file or folder; or a name of VIDEO_ENCODERS, whose folder is looked for under its own name
            and its repository's in the folder that TROCAR_WEIGHTS names.

    Raises:
        FileNotFoundError: it is not on this machine; the message says where to get it.
        ValueError: there is no such name, or the published files cannot be read.
    """
    path = Path(name)
    if path.exists():
        return path
    if name not in VIDEO_ENCODERS:
        if path.suffix or len(path.parts) > 1:
            raise FileNotFoundError(f"{name} is not there: give a weights file, or a folder of transformers")
        near = get_close_matches(name, VIDEO_ENCODERS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"there is no video encoder {name!r}; {hint}names are: {', '.join(VIDEO_ENCODERS)}")
    info = VIDEO_ENCODERS[name]
    if info.unread:
        raise ValueError(f"{name} ({info.repository}, {info.licence}) cannot be read: {info.unread}; take another one")
    folder = os.environ.get(WEIGHTS_FOLDER)
    published = info.repository.rpartition("/")[2]
    for place in (Path(folder) / name, Path(folder) / published) if folder else ():
        if place.is_dir():
            return place
    raise FileNotFoundError(
        f"the weights of {name!r} are not on this machine: get {info.repository} from Hugging Face ({info.licence}), "
        f"put its files in a folder named {published}, and name the folder around it in {WEIGHTS_FOLDER}"
    )
