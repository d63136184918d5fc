"""What every recognition set of the table keeps, on a tiny made-up folder in its own layout."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from trocar.bench.published_checks import DOMAINS as PUBLISHED_DOMAINS
from trocar.datasets.recognition_clip import check_parts
from trocar.datasets.recognition_layouts import LAYOUTS
from trocar.datasets.recognition_sets import DOMAINS, RecognitionSet, recognition_sets

sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))
from recognition_files import CASES, write_files

SETS = recognition_sets()
everything = pytest.mark.parametrize("dataset", SETS.values(), ids=list(SETS))


def test_they_are_the_sixteen_of_the_paper_in_its_domains() -> None:
    def plain(name: str) -> str:
        return re.sub(r"[^a-z0-9]", "", name.lower())

    published = {plain(name): domain.lower() for domain, names in PUBLISHED_DOMAINS.items() for name in names}
    assert {plain(one.name): one.domain for one in SETS.values()} == published
    assert set(DOMAINS) == set(published.values())


@everything
def test_it_says_what_people_have_to_know(dataset: RecognitionSet) -> None:
    assert dataset.obtain.startswith("https://")
    assert dataset.title
    assert dataset.licence
    assert dataset.citation
    assert dataset.split_from
    assert dataset.split in ("official", "community", "ours")
    assert (dataset.split == "ours") == (not dataset.train)
    assert dataset.layout in LAYOUTS
    assert dataset.confirmed or dataset.note, "say what could not be confirmed"
    assert len(set(dataset.classes)) == len(dataset.classes) == len(set(dataset.files["codes"])) > 1


@everything
def test_its_folder_reads_into_parts_that_share_no_case(dataset: RecognitionSet, tmp_path: Path) -> None:
    write_files(dataset, tmp_path)
    parts = dataset.read(tmp_path)
    assert list(parts) == ["train", "validation", "test"]
    assert all(parts.values()), {part: len(clips) for part, clips in parts.items()}
    check_parts(parts, dataset.name)
    clips = [clip for part in parts.values() for clip in part]
    assert len({clip.name for clip in clips}) == len(clips)
    for clip in clips:
        assert clip.video.is_file()
        assert 0 <= clip.label < len(dataset.classes)
        assert clip.stop is None or clip.stop > clip.start
    assert dataset.read(tmp_path) == parts, "the same files, the same split"


@pytest.mark.parametrize(
    "dataset", [one for one in SETS.values() if one.layout != "class_folders"], ids=lambda one: one.name
)
def test_two_clips_of_a_case_have_the_frames_and_classes_that_were_written(
    dataset: RecognitionSet, tmp_path: Path
) -> None:
    write_files(dataset, tmp_path)
    clips = [clip for part in dataset.read(tmp_path).values() for clip in part]
    first = min({clip.case for clip in clips}, key=lambda case: (len(case), case))
    spans = [(clip.start, clip.stop) for clip in clips if clip.case == first]
    if dataset.layout == "ratings":
        assert spans == [(0, None), (0, None)]
        assert {clip.label for clip in clips} == {0, 2}, "means of 12 and 32 points"
    else:
        scale = 25 if dataset.name == "autolaparo" else 1
        last = None if dataset.layout == "starts" else 40 * scale
        assert spans == [(0, 20 * scale), (20 * scale, last)]
        assert len(clips) == 2 * len(CASES[dataset.name])


@everything
def test_an_empty_folder_says_what_is_missing(dataset: RecognitionSet, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="put the set's files there"):
        dataset.read(tmp_path)
    with pytest.raises(FileNotFoundError, match="https://"):
        dataset.read(tmp_path / "nowhere")
