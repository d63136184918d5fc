"""The guard: no clip whose recording is in a benchmark's test split is ever pretrained on.

Fifteen of the sixteen data sets of SurgRec's benchmark are also in its pretraining list, and the paper does not say
that test videos were taken out. Here a run that would see one stops. Data sets that share recordings under different
names (Cholec80, CholecT45 and CholecT50) count as one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from trocar.pretrain.corpus import Clip, Corpus
from trocar.settings import read_table

#: What names the same recording: (pattern of an id, what it is known as). CholecT45 and CholecT50 number the videos of
#: Cholec80 as it does; CholecT50 has five more, numbered above 80.
SAME_RECORDING = (
    (re.compile(r"(?:cholec80|cholect45|cholect50)/(?:.*/)?(?:video|vid)_?0*(\d+)"), r"cholec80/video\1"),
)


def recording(source: str, path: str) -> str:
    """The id of the recording that a file shows: SOURCE/PATH in lower case, without its ending.

    Args:
        source: name of the data set.
        path: of the file, from its folder.
    """
    stem = path.rsplit(".", 1)[0] if "." in path.rsplit("/", 1)[-1] else path
    return _known_as(f"{source}/{stem}".lower())


def _known_as(name: str) -> str:
    for pattern, known in SAME_RECORDING:
        if pattern.fullmatch(name):
            return pattern.sub(known, name)
    return name


def read_test_videos(paths: Sequence[Path]) -> dict[str, str]:
    """Recording -> the benchmark whose test split has it, from TOML files with lines `cholec80 = ["video41", ...]`.

    The name of a benchmark is that of its source, an id the path of a file in the source's folder, its ending apart.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: it is not of this form.
    """
    found: dict[str, str] = {}
    for path in paths:
        for benchmark, names in read_table(path).items():
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError(f'{path}: {benchmark} must be a list of video ids, such as ["video41", "video42"]')
            for name in names:
                found[recording(benchmark, name)] = benchmark
    return found


def clips_of_tests(clips: Collection[Clip], test: Mapping[str, str]) -> dict[str, str]:
    """Clip -> the benchmark whose test split has its recording; also clips whose own split says so."""
    return {
        clip.clip: test.get(clip.source_video, "its own data set")
        for clip in clips
        if clip.source_video in test or clip.split == "test"
    }


def refuse_test_videos(clips: Collection[Clip], test: Mapping[str, str]) -> None:
    """Stop when a clip's recording is in a test split.

    Raises:
        ValueError: it is; the message names the first three.
    """
    found = clips_of_tests(clips, test)
    if found:
        shown = ", ".join(f"{clip} ({benchmark})" for clip, benchmark in list(found.items())[:3])
        raise ValueError(
            f"{len(found)} clips are of recordings in a benchmark's test split: {shown}: "
            "name these test videos in scan.test_videos, then scan and sample again"
        )


def without_test_videos(corpus: Corpus, test: Mapping[str, str]) -> Corpus:
    """The corpus with all clips and videos of recordings in test splits excluded, and what repeats their pictures."""
    reasons = {
        video.video: f"test split: of {test.get(video.source_video, 'its own data set')}"
        for video in corpus.videos
        if video.source_video in test or video.split == "test"
    }
    for video in corpus.videos:
        original = video.excluded.removeprefix("duplicate: of ")
        if video.excluded and original in reasons:
            reasons[video.video] = f"{reasons[original]}, repeated by this video"
    return replace(
        corpus,
        videos=tuple(replace(one, excluded=reasons.get(one.video, one.excluded)) for one in corpus.videos),
        clips=tuple(replace(one, excluded=reasons.get(one.video, one.excluded)) for one in corpus.clips),
    )
