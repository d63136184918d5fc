"""Tiny made-up folders in the layout of each recognition set, written from what its table says."""

from __future__ import annotations

import json
from pathlib import Path

from trocar.datasets.recognition_sets import RecognitionSet

CASES = {
    "cataract-21": [f"case_{n:02d}_{'training' if n < 18 else 'validation'}" for n in (1, 2, 3, 18, 19)],
    "cataract-101": [str(n) for n in range(269, 279)],
    "cataract-1k": [f"case_{n}" for n in range(4687, 4697)],
    "jigsaws": [*"BCDEFGHI"],
    "sar-rarp50": ["video_1", "video_2", "video_11", "video_41", "video_50"],
    "autolaparo": ["01", "02", "11", "15"],
    "cholec80": ["video01", "video02", "video03", "video41"],
    "m2cai16": ["workflow_video_01", "workflow_video_02", "test_workflow_video_01"],
    "multibypass140": [f"BBP{n:02d}" for n in range(1, 11)],
}
PLACES = {  # where the labels of a case lie
    "cataract-21": "videos/{case}.csv",
    "cataract-1k": "annotations/{case}/{case}_annotations_phases.csv",
    "jigsaws": "Suturing/transcriptions/Suturing_{case}001.txt",
    "sar-rarp50": "train1/{case}/action_discrete.txt",
    "autolaparo": "labels/label_{case}.txt",
    "cholec80": "phase_annotations/{case}-phase.txt",
    "m2cai16": "{folder}/{case}.txt",
    "multibypass140": "labels/bern/labels_by70/{case}.mp4.json",
}
CLIPS = {  # of sets whose clips are files: class and number of the case -> path
    "colonoscopic": "{code}/NBI({number}).mp4",
    "hyper-kvasir": "{code}/{number:08d}-0000-0000-0000-000000000000_1.avi",
    "kvasir-capsule": "{code}/{number:016x}_7.jpg",
    "ldpolypvideo": "{code}/{number}.avi",
    "lapgyn4": "Surgical_Actions/{code}/c_{number}_v_1_f_2.jpg",
    "surgicalactions160": "{code}_name/{code}_{local:02d}.mp4",
}


def write_files(dataset: RecognitionSet, root: Path) -> None:
    """Empty videos and pictures, and labels of two clips a case."""
    {"class_folders": _clips, "starts": _starts, "ratings": _ratings}.get(dataset.layout, _labels)(dataset, root)


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _clips(dataset: RecognitionSet, root: Path) -> None:
    for index, code in enumerate(dataset.files["codes"]):
        for number in range(10):
            _touch(root / CLIPS[dataset.name].format(code=code, number=10 * index + number, local=number))


def _labels(dataset: RecognitionSet, root: Path) -> None:
    codes = dataset.files["codes"]
    for index, case in enumerate(CASES[dataset.name]):
        folder = "test_dataset" if case.startswith("test") else "train_dataset"
        path = root / PLACES[dataset.name].format(case=case, folder=folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        pair = (codes[index % len(codes)], codes[(index + 1) % len(codes)])
        path.write_text(_text(dataset, pair), encoding="utf-8")
        source = path.stem
        video = dataset.files["video"].format(case=case, source=source, folder=path.parent.relative_to(root).as_posix())
        if dataset.name == "sar-rarp50":
            video = f"{path.parent.relative_to(root).as_posix()}/video_left.avi"
        _touch(root / Path(video.replace("*", "BernBypass70").replace("transcriptions/../", "")))


def _text(dataset: RecognitionSet, pair: tuple[str, str]) -> str:
    """Two clips of 20 rows (or frames) each."""
    files = dataset.files
    if dataset.layout == "json_phases":
        spans = [(0, 800, pair[0]), (800, 1600, pair[1])]
        return json.dumps({"phases": [{"start": a, "end": b, "label_name": name} for a, b, name in spans]})
    delimiter = files["delimiter"] or " "
    lines = ["first" + delimiter + "second"] if files.get("header") else []
    if dataset.layout == "frame_labels":
        first = files.get("first", 0)
        lines += [f"{first + n}{delimiter}{pair[n // 20]}" for n in range(40)]
    elif dataset.name == "cataract-1k":
        lines += [f"1,{name},{20 * n},{20 * n + 19}" for n, name in enumerate(pair)]
    else:
        lines += [f"{20 * n} {20 * n + 19} {name} " for n, name in enumerate(pair)]
    return "\n".join(lines) + "\n"


def _starts(dataset: RecognitionSet, root: Path) -> None:
    lines = ["VideoID;FrameNo;Phase"]
    for case in CASES[dataset.name]:
        _touch(root / "videos" / f"case_{case}.mp4")
        lines += [f"{case};0;1", f"{case};20;2"]
    (root / "annotations.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _ratings(dataset: RecognitionSet, root: Path) -> None:
    lines = ["VIDEO,STUDENT,GLOBA_RATING_SCORE"]
    for student in range(10):
        for name, score in ((f"A{student}A", 10), (f"B{student}B", 30)):
            _touch(root / "videos" / f"{name}.mp4")
            lines += [f"{name},S{student},{score}", f"{name},S{student},{score + 4}"]
    (root / "OSATS.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
