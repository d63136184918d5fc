"""SAR-RARP50: the suturing of the dorsal vascular complex in 50 robotic prostatectomies, nine classes at 1 Hz.

Videos have 60 frames a second; the name of a label picture is the number of its frame, a multiple of 60. A case has the
labelled frames alone, as SA-SV and the challenge's scores do (10 test videos, 3252 frames). Some procedures come in two
pieces (video_11_1 and video_11_2), which are one group. Reading the labels does not need the video.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from trocar.datasets.case import Case, FrameTruth
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.palette import Palette
from trocar.datasets.picture_cases import pictures
from trocar.formats.images import natural_key
from trocar.formats.video import VideoSource
from trocar.frames import Frame

CLASSES = {
    1: "tool clasper",
    2: "tool wrist",
    3: "tool shaft",
    4: "suturing needle",
    5: "thread",
    6: "suction tool",
    7: "needle holder",
    8: "clamps",
    9: "catheter",
}
PALETTE = Palette({number: number for number in (0, *CLASSES)})
SPLITS = {
    "train": Split("the owners' training videos, of 40 procedures"),
    "test": Split("the owners' test videos, and SA-SV's test set", 10, reported=True),
}


def cases(root: Path, split: str) -> Iterator[Case]:
    folders = [path for path in root.glob(f"{split}*/video_*") if path.is_dir()]
    for folder in sorted(folders, key=lambda path: natural_key(path.name)):
        yield _case(folder)


def _case(folder: Path) -> Case:
    labels = pictures(folder / "segmentation")
    numbers = [int(path.stem) for path in labels]
    opened: list[_LabelledFrames] = []

    def source() -> _LabelledFrames:
        if not opened:
            opened.append(_LabelledFrames(folder / "video_left.avi", numbers))
        return opened[0]

    def truth(frame: int) -> FrameTruth:
        return PALETTE.read(labels[frame])

    procedure = "_".join(folder.name.split("_")[:2])
    return Case(folder.name, len(labels), source, truth, CLASSES, group=procedure)


class _LabelledFrames:
    """Some frames of a video, by number."""

    def __init__(self, path: Path, numbers: list[int]) -> None:
        self._video = VideoSource(path)
        self._numbers = numbers
        self.name = str(path)
        self.geometry = self._video.geometry
        self.rate_hz: float | None = 1.0
        if numbers[-1] >= len(self._video):
            raise ValueError(
                f"{path} has {len(self._video)} frames and frame {numbers[-1]} is labelled: it is cut short; fetch it "
                "again"
            )

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Frame:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} is outside {self.name}, of which frames 0 to {len(self) - 1} are labelled")
        return replace(self._video[self._numbers[index]], index=index)


def write_fixture(root: Path) -> None:
    for place, folder in enumerate(("train1/video_01", "train2/video_11_1", "train2/video_11_2", "test/video_41")):
        images, labels = made_up(3, (1, 3, 5), seed=place)
        for second, truth in enumerate(labels):
            save(root / folder / "segmentation" / f"{second * 60:09d}.png", truth)
        with av.open(str(root / folder / "video_left.avi"), "w") as container:
            stream = container.add_stream("mjpeg", rate=60)
            stream.height, stream.width = images.shape[1:3]
            stream.pix_fmt = "yuvj420p"
            for number in range(121):
                picture = np.ascontiguousarray(images[number // 60])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            container.mux(stream.encode())


DATASET = Dataset(
    name="sar-rarp50",
    title="SAR-RARP50",
    frames="video",
    ids="classes",
    licence="stated on its Synapse page, which is shown after signing in",
    obtain="https://www.synapse.org/Synapse:syn27618412 (an account; also at https://rdr.ucl.ac.uk)",
    citation="Psychogyios et al., SAR-RARP50: segmentation of surgical instrumentation and action recognition on "
    "robot-assisted radical prostatectomy challenge, arXiv 2401.00496, 2023",
    classes=CLASSES,
    splits=SPLITS,
    layout="train1/video_NN/video_left.avi  segmentation/NNNNNNNNN.png  (train2 alike, or one folder train*)\n"
    "test/video_NN/video_left.avi  segmentation/NNNNNNNNN.png  (or test*)",
    cases=cases,
    write_fixture=write_fixture,
)
