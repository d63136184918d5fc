"""What every data set of the table keeps, on the tiny one in its own layout that it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trocar.bench.protocol import protocol_class
from trocar.bench.protocols import PROTOCOLS
from trocar.datasets import DATASETS, Dataset
from trocar.datasets.check import check_dataset
from trocar.frames import geometry_of
from trocar.load import load_dataset
from trocar.train.validation import Validation

pytestmark = pytest.mark.parametrize("name", DATASETS)


@pytest.fixture
def dataset(name: str) -> Dataset:
    return load_dataset(name)


@pytest.fixture
def root(dataset: Dataset, tmp_path: Path) -> Path:
    folder = tmp_path / dataset.name
    dataset.write_fixture(folder)
    return folder


def test_it_says_what_people_have_to_know(name: str, dataset: Dataset) -> None:
    assert dataset.name == name
    assert dataset.title
    assert dataset.licence
    assert dataset.citation
    assert dataset.layout
    assert dataset.splits
    assert dataset.obtain.startswith("https://"), "where to ask for the data"
    for split in dataset.splits.values():
        assert split.about
        assert split.cases is None or not split.names or split.cases == len(split.names)


def test_nothing_is_chosen_by_a_split_that_results_are_reported_on(name: str, dataset: Dataset) -> None:
    scored = {source.split for one in PROTOCOLS for source in protocol_class(one)().sources() if source.dataset == name}
    for split, known in dataset.splits.items():
        if split in scored or split in ("test", "held_out") or split.endswith("_test"):
            assert known.reported, split
        if known.reported:
            with pytest.raises(ValueError, match=f"'{split}' of {name} is what results are reported on"):
                Validation(name, split)
        else:
            assert Validation(name, split).split == split


def test_every_split_of_its_fixture_reads(dataset: Dataset, root: Path) -> None:
    for split in dataset.splits:
        cases = dataset.read(root, split)
        assert len({case.name for case in cases}) == len(cases)
        shown = set()
        for case in cases:
            source = case.open()
            assert len(source) == case.frames
            assert case.annotated_frames
            assert list(case.annotated_frames) == sorted(set(case.annotated_frames))
            for frame in range(case.frames):
                truth = case.truth(frame)
                assert (truth is not None) == (frame in case.annotated_frames)
                image = source[frame].image
                assert image.dtype == np.uint8
                assert image.shape == (*geometry_of(source, frame).size, 3)
                if truth is not None:
                    assert set(truth.masks) <= set(case.objects)
                    assert all(mask.shape == image.shape[:2] and mask.dtype == bool for mask in truth.masks.values())
                    shown |= {case.objects[number] for number, mask in truth.masks.items() if mask.any()}
        assert shown, f"the fixture's {split} shows no object"
        if dataset.classes and dataset.ids == "classes":
            assert shown <= set(dataset.classes.values())


def test_no_group_lies_in_two_splits(dataset: Dataset, root: Path) -> None:
    groups = {split: {case.group for case in dataset.read(root, split)} for split in dataset.splits}
    for split, own in groups.items():
        for other, others in groups.items():
            assert split == other or not own & others or dataset.overlapping_splits, f"{split} and {other}"


def test_the_check_passes_a_whole_set_and_names_what_is_damaged_or_missing(dataset: Dataset, root: Path) -> None:
    clean = check_dataset(dataset, root)
    assert {finding.problem for finding in clean.findings if "are published" not in finding.problem} == set()
    assert all(clean.frames.values())
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix not in (".txt", ".md"))
    largest = max(files, key=lambda path: path.stat().st_size)
    whole = largest.read_bytes()
    largest.write_bytes(whole[: len(whole) // 3])
    damaged = [finding.problem for finding in check_dataset(dataset, root).findings]
    assert any(largest.name in problem for problem in damaged), damaged
    largest.unlink()
    missing = check_dataset(dataset, root)
    assert len(missing.findings) > len(clean.findings)


def test_bad_names_are_answered(dataset: Dataset, root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no split 'other': choose from"):
        dataset.read(root, "other")
    with pytest.raises(FileNotFoundError, match="is not a folder: put"):
        dataset.read(tmp_path / "nowhere", next(iter(dataset.splits)))
