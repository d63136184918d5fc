"""RecognitionClip: a piece of a video with one class, as SurgRec's downstream sets have them (its section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RecognitionClip:
    """Some frames of a video and what they show.

    Args:
        video: a video, or a picture, which is a clip of one frame.
        start: its first frame, from 0.
        stop: the frame after its last one; None for up to the end of the video.
        label: number of its class.
        case: the patient, procedure or person that it comes from, which must lie on one side of any split.
        source_video: the recording that it was cut from, by the name its owners give it.
    """

    video: Path
    start: int
    stop: int | None
    label: int
    case: str
    source_video: str

    @property
    def name(self) -> str:
        """Says which clip it is; unique within its set."""
        return f"{self.video.as_posix()}[{self.start}:{'' if self.stop is None else self.stop}]"


Parts = Mapping[str, Sequence[RecognitionClip]]
"""The clips of "train", "validation" and "test"."""


def check_parts(parts: Parts, name: str) -> None:
    """Raise ValueError where two parts of a split share a case, a recording or a clip."""
    listed = list(parts.items())
    for number, (one, clips) in enumerate(listed):
        for other, others in listed[number + 1 :]:
            for what, ids, other_ids in (
                ("case", {clip.case for clip in clips}, {clip.case for clip in others}),
                ("recording", {clip.source_video for clip in clips}, {clip.source_video for clip in others}),
            ):
                if shared := sorted(ids & other_ids):
                    raise ValueError(
                        f"{name}: {one} and {other} share {len(shared)} {what}s ({', '.join(shared[:3])}"
                        f"{', ...' if len(shared) > 3 else ''}), so that scores would be too good: "
                        f"put all clips of a {what} into one part"
                    )
