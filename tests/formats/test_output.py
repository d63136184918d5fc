"""Output folders: what is on disk after a run, after Ctrl+C, after a crash, after a resume, and on a full disk."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import av
import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_videos import Recipe, number_in, write_video
from PIL import Image

from trocar.formats import FORMATS, MaskOutput, open_source, write_masks, write_run_record
from trocar.formats.label_png import read_label_pngs
from trocar.formats.overlay import draw_overlay
from trocar.formats.rle import read_rle
from trocar.formats.video import VideoSource
from trocar.frames import ArraySource
from trocar.masks import FrameMasks

SIZE = (48, 64)
SOURCE = ArraySource(np.zeros((12, *SIZE), np.uint8), name="twelve", rate_hz=25.0)


def masks_at(frame: int) -> FrameMasks:
    """Object 1 moves down with the frame number; object 2 is still and overlaps it at times; object 3 is absent."""
    first, second = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    first[frame * 2 : frame * 2 + 10, 5:20] = True
    second[20:30, 15:40] = True
    return FrameMasks(frame, {1: first, 2: second, 3: np.zeros(SIZE, bool)}, {1: 0.9, 2: 0.5}, frozenset({1}))


def same(a: FrameMasks, b: FrameMasks) -> bool:
    equal = a.masks.keys() == b.masks.keys() and all(np.array_equal(a.masks[i], b.masks[i]) for i in a.masks)
    return equal and (a.frame, dict(a.scores), a.prompted) == (b.frame, dict(b.scores), b.prompted)


def interrupted(frames: list[int], error: type[BaseException]) -> Iterator[FrameMasks]:
    for frame in frames:
        yield masks_at(frame)
    raise error


def frames_shown(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_every_format_holds_every_frame(tmp_path: Path) -> None:
    paths = write_masks(tmp_path, map(masks_at, range(12)), SOURCE, ("png", "rle", "overlay"))
    assert [p.name for p in paths] == ["masks", "masks.json", "overlay.mp4", "masks.jsonl"]
    assert all(p.exists() for p in paths)
    for file in ("masks.json", "masks.jsonl"):
        assert all(same(masks_at(i), masks) for i, masks in enumerate(read_rle(tmp_path / file)))
    assert sorted(p.name for p in (tmp_path / "masks").iterdir()) == [f"{i:05d}.png" for i in range(12)]
    labels = np.asarray(Image.open(tmp_path / "masks/00004.png"))
    assert (labels[25, 10], labels[20, 17], labels[0, 0], labels[8, 6]) == (0, 2, 0, 1)
    assert frames_shown(tmp_path / "overlay.mp4") == 12
    assert not list(tmp_path.rglob("*part*"))


def test_label_maps_read_back(tmp_path: Path) -> None:
    write_masks(tmp_path, map(masks_at, range(12)), SOURCE)
    for frame, masks in enumerate(read_label_pngs(tmp_path / "masks")):
        wanted = masks_at(frame)
        assert np.array_equal(masks.masks[2], wanted.masks[2])
        assert np.array_equal(masks.masks[1], wanted.masks[1] & ~wanted.masks[2])


@pytest.mark.parametrize("order", [list(range(11, -1, -1)), [5, 6, 7, 8, 9, 10, 11, 4, 3, 2, 1, 0]])
def test_any_order_gives_the_same_files(tmp_path: Path, order: list[int]) -> None:
    formats = ("png", "rle", "overlay")
    write_masks(tmp_path / "a", map(masks_at, range(12)), SOURCE, formats)
    write_masks(tmp_path / "b", map(masks_at, order), SOURCE, formats)
    for path in sorted((tmp_path / "a").rglob("*.*")):
        if path.suffix != ".jsonl":
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path


def test_interrupting_leaves_valid_files_and_resume_goes_on(tmp_path: Path) -> None:
    formats = ("png", "rle", "overlay")
    with pytest.raises(KeyboardInterrupt):
        write_masks(tmp_path / "b", interrupted([0, 1, 2, 3, 4], KeyboardInterrupt), SOURCE, formats)
    assert [m.frame for m in read_rle(tmp_path / "b/masks.json")] == [0, 1, 2, 3, 4]
    assert frames_shown(tmp_path / "b/overlay.mp4") == 5
    assert len(list((tmp_path / "b/masks").iterdir())) == 5
    assert not list((tmp_path / "b").rglob("*part*"))
    write_masks(tmp_path / "b", map(masks_at, range(5, 12)), SOURCE, formats, resume=True)
    write_masks(tmp_path / "a", map(masks_at, range(12)), SOURCE, formats)
    for path in (p for p in sorted((tmp_path / "a").rglob("*")) if p.is_file()):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path


def test_a_crash_leaves_only_the_part_and_resume_drops_a_torn_line(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write_masks(tmp_path, interrupted([0, 1, 2], RuntimeError), SOURCE, ("rle", "overlay"))
    assert [p.name for p in tmp_path.iterdir()] == ["masks.jsonl.part"]
    part = tmp_path / "masks.jsonl.part"
    part.write_bytes(part.read_bytes()[:-20])
    with MaskOutput(tmp_path, SOURCE, ("rle", "png"), resume=True) as output:
        assert output.done == [0, 1]
        for frame in range(2, 12):
            output.write(masks_at(frame))
    assert all(same(masks_at(i), masks) for i, masks in enumerate(read_rle(tmp_path / "masks.json")))
    assert len(list((tmp_path / "masks").iterdir())) == 12


def test_a_corrected_frame_replaces_the_earlier_one(tmp_path: Path) -> None:
    corrected = FrameMasks(1, {1: np.ones(SIZE, bool)})
    write_masks(tmp_path, [masks_at(0), masks_at(1), corrected], SOURCE, ("rle", "png"))
    for file in ("masks.json", "masks.jsonl"):
        assert same(list(read_rle(tmp_path / file))[1], corrected)
    assert (np.asarray(Image.open(tmp_path / "masks/00001.png")) == 1).all()


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    write_masks(tmp_path, map(masks_at, range(12)), SOURCE, ("png", "rle"))
    (tmp_path / "masks/keep.png").write_bytes(b"mine")
    write_masks(tmp_path, map(masks_at, range(3)), SOURCE, ("png",))
    assert sorted(p.name for p in (tmp_path / "masks").iterdir()) == ["00000.png", "00001.png", "00002.png", "keep.png"]
    assert not (tmp_path / "masks.json").exists()


def test_files_of_others_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/00000.png").write_bytes(b"truth")
    with pytest.raises(ValueError, match="was there before"):
        write_masks(tmp_path, [masks_at(0)], SOURCE)
    assert (tmp_path / "masks/00000.png").read_bytes() == b"truth"
    (tmp_path / "j").mkdir()
    (tmp_path / "j/masks.jsonl").write_text("mine\n")
    with pytest.raises(ValueError, match="is not a journal of masks"):
        write_masks(tmp_path / "j", [], SOURCE)
    assert (tmp_path / "j/masks.jsonl").read_text() == "mine\n"


def test_another_source_is_refused(tmp_path: Path) -> None:
    write_masks(tmp_path, [masks_at(0)], SOURCE)
    other = ArraySource(np.zeros((9, *SIZE), np.uint8), name="nine")
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"holds masks of twelve \(12 frames.*not of nine: choose another folder"):
            write_masks(tmp_path, [], other, resume=resume)
    assert [m.frame for m in read_rle(tmp_path / "masks.jsonl")] == [0]


def test_bad_requests_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot be written as 'gif': use .*nifti, .*png, .*rle, .*overlay"):
        MaskOutput(tmp_path, SOURCE, ("gif",))
    with pytest.raises(
        ValueError, match="needs a source that says where in the patient it lies, which twelve does not"
    ):
        MaskOutput(tmp_path, SOURCE, ("nifti",))
    with pytest.raises(ValueError, match="give source="):
        write_masks(tmp_path, [masks_at(0)])
    with pytest.raises(ValueError, match=r"mask of object 1 on frame 0 is \(2, 2\)"):
        write_masks(tmp_path, [FrameMasks(0, {1: np.ones((2, 2), bool)})], SOURCE)
    with pytest.raises(ValueError, match="frame 12 is outside twelve, which has 12 frames"):
        write_masks(tmp_path, [masks_at(12)], SOURCE)
    with pytest.raises(ValueError, match="object ids 1 to 255, not 256"):
        write_masks(tmp_path, [FrameMasks(0, {256: np.ones(SIZE, bool)})], SOURCE)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file, not a folder"):
        MaskOutput(tmp_path / "file", SOURCE)


def test_label_maps_are_named_after_pictures(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("b", "a"):
        Image.new("RGB", (64, 48)).save(tmp_path / f"in/{name}.jpg")
    write_masks(tmp_path / "out", map(masks_at, range(2)), open_source(tmp_path / "in"))
    assert sorted(p.name for p in (tmp_path / "out/masks").iterdir()) == ["a.png", "b.png"]


def test_volumes_stream_out_in_any_order(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((64, 48, 12), np.int16), np.diag([-1, -1, 2, 1])), tmp_path / "v.nii.gz")
    source = open_source(tmp_path / "v.nii.gz")
    write_masks(tmp_path / "out", map(masks_at, reversed(range(12))), source, ("nifti", "overlay"))
    written = np.asarray(nib.load(tmp_path / "out/masks.nii.gz").dataobj)
    assert written[6, 8 + 4, 4] == 1  # x grows to the left and y to the back: voxel (column, row, slice)
    assert written[6, 8 + 4 + 20, 4] == 0


def test_overlays_keep_display_times(tmp_path: Path) -> None:
    times = (0, 40, 200, 240, 900, 1000)
    source = VideoSource(write_video(tmp_path / "v.mp4", Recipe(times_ms=times, size=(96, 128))))
    empty = [FrameMasks(i, {}) for i in (5, 1, 2, 3, 4)]
    write_masks(tmp_path / "out", empty, source, ("overlay",))
    shown = VideoSource(tmp_path / "out/overlay.mp4")
    assert [number_in(shown[i].image) for i in range(5)] == [1, 2, 3, 4, 5]
    assert [shown[i].time_s for i in range(5)] == pytest.approx([0, 0.16, 0.2, 0.86, 0.96], abs=1e-3)


def test_overlays_of_odd_sizes_are_even(tmp_path: Path) -> None:
    source = ArraySource(np.zeros((2, 47, 63), np.uint8))
    write_masks(tmp_path, [FrameMasks(0, {1: np.ones((47, 63), bool)})], source, ("overlay",))
    assert VideoSource(tmp_path / "overlay.mp4").geometry.size == (48, 64)


def test_drawing_marks_each_object_in_its_colour() -> None:
    image = np.full((120, 160, 3), 128, np.uint8)
    a, b = np.zeros((120, 160), bool), np.zeros((120, 160), bool)
    a[10:60, 10:60], b[70:110, 80:150] = True, True
    drawn = draw_overlay(image, FrameMasks(0, {1: a, 2: b, 3: np.zeros_like(a)}))
    assert (image == 128).all()
    assert (drawn[115:, :70] == 128).all()
    assert not np.array_equal(drawn[14, 14], drawn[74, 84])
    assert np.abs(drawn[10, 30].astype(int) - drawn[14, 14]).sum() > 50  # contour against fill


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    monkeypatch.setattr("trocar.formats.whole_file.secrets.token_hex", lambda count: "0")
    (tmp_path / ".part-0-run.json").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"the disk is full, .*run\.json could not be written: free some space") as caught:
        write_run_record(tmp_path / "run.json", {"a": 1})
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_run_records_are_json(tmp_path: Path) -> None:
    write_run_record(tmp_path / "run.json", {"source": Path("a.mp4"), "seconds": 1.5})
    assert json.loads((tmp_path / "run.json").read_text()) == {"source": "a.mp4", "seconds": 1.5}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 2**20)), max_size=12))
def test_journals_hold_the_last_word(tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, int]]) -> None:
    folder = tmp_path_factory.mktemp("j")
    wanted: dict[int, np.ndarray] = {}
    with MaskOutput(folder, SOURCE, ()) as output:
        for frame, seed in writes:
            wanted[frame] = np.random.default_rng(seed).random(SIZE) < 0.5
            output.write(FrameMasks(frame, {5: wanted[frame]}))
    found = {m.frame: m.masks[5] for m in read_rle(folder / "masks.jsonl")}
    assert list(found) == sorted(wanted)
    assert all(np.array_equal(found[i], wanted[i]) for i in wanted)


def test_damaged_mask_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"kind": "trocar-masks", "frames": [')
    (tmp_path / "o.json").write_text('{"frames": []}')
    for name in ("m.json", "o.json"):
        with pytest.raises(ValueError, match=f"{name} is not a file of masks"):
            list(read_rle(tmp_path / name))


def test_the_table_is_complete() -> None:
    for name, info in FORMATS.items():
        assert info.about
        assert info.extensions
        assert info.open or info.writes, name
        assert bool(info.output) == info.writes
        assert not (info.write_frame and info.write_all)
