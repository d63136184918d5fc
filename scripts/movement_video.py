"""Render the video of docs/how-to/recognize.md: colonoscope movements one after another, and who moved how when.

    python scripts/movement_video.py movement.mp4 truth.csv
    trocar recognize movement.mp4 --model RECOGNIZER --out events.csv --plot plot.png --stride 3 --step 6

Each movement takes 24 frames, three times as many as in training, so that every third frame is looked at. Its seeds are
none that a recognizer is trained or tested on.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

from trocar.datasets.fixture import save_video
from trocar.datasets.procedure_scenes import TASKS, procedure_clip
from trocar.recognition.tasks import FIRST_SEED, SEEDS_A_PART

FRAMES, RATE_HZ, SIDE = 24, 12, 64
WANTED = ("insertion", "turn left", "insertion", "withdrawal", "turn right", "withdrawal")


def main(video: Path, truth: Path) -> None:
    """Write both files."""
    names = TASKS["endoscopy"]["movement"]
    clips, rows, seed = [], [], FIRST_SEED + 5 * SEEDS_A_PART
    for number, wanted in enumerate(WANTED):
        while names[procedure_clip(seed, "endoscopy", frames=1, side=32).labels["movement"]] != wanted:
            seed += 1
        clips.append(procedure_clip(seed, "endoscopy", frames=FRAMES, side=SIDE).images)
        rows.append([wanted, FRAMES * number, FRAMES * (number + 1)])
        seed += 1
    save_video(video, np.concatenate(clips), RATE_HZ)
    with truth.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["class", "start_frame", "stop_frame"], *rows])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
