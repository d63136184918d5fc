"""The scan: what it finds, what it leaves out, and that it goes on where it stopped."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_corpus import ANYTHING, SETTINGS, made_clip, render, small_corpus

from trocar.pretrain.corpus import Corpus, Source, fingerprint, read_corpus, write_corpus
from trocar.pretrain.rendered_corpus import RenderedCorpus, render_corpus, write_video
from trocar.pretrain.scan import scan, stretches


def test_a_manifest_says_what_there_is_and_reads_back(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path, videos=2)
    assert [video.video for video in corpus.videos] == ["root/prostatectomy/1.mp4", "root/suturing_pad/0.mp4"]
    first = corpus.videos[0]
    assert (first.domain, first.procedure) == ("robotic", "prostatectomy")
    assert (first.rows, first.columns, first.fps) == (48, 48, 4.0)
    assert first.duration_s == pytest.approx(4.0)
    assert [(clip.start_s, clip.stop_s) for clip in corpus.clips[:2]] == [(0.0, 2.0), (2.0, pytest.approx(4.0))]
    assert all(len(clip.picture_hash) == 16 for clip in corpus.clips)
    again = read_corpus(corpus.folder)
    assert (again.sources, again.videos, again.clips) == (corpus.sources, corpus.videos, corpus.clips)


def test_a_source_describes_itself(tmp_path: Path) -> None:
    render(tmp_path / "root" / "1.mp4", 0)
    (tmp_path / "root" / "source.toml").write_text(
        'name = "cholec80"\npool = "core"\nlicence = "CC BY-NC-SA 4.0"\nsplit = "train"\ndomain = "laparoscopy"\n'
    )
    corpus = scan([tmp_path / "root"], tmp_path / "corpus", SETTINGS)
    (video,) = corpus.videos
    assert (video.video, video.pool, video.split, video.domain) == ("cholec80/1.mp4", "core", "train", "laparoscopy")
    assert video.licence == "CC BY-NC-SA 4.0"
    (tmp_path / "root" / "source.toml").write_text('pool = "golden"\n')
    with pytest.raises(ValueError, match="choose one of unlabelled, clinical, core"):
        scan([tmp_path / "root"], tmp_path / "corpus", SETTINGS)


def test_damaged_and_empty_files_are_listed_and_stop_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    render(root / "good.mp4", 0)
    (root / "empty.mp4").write_bytes(b"")
    (root / "cut.mp4").write_bytes((root / "good.mp4").read_bytes()[:300])
    (root / "text.avi").write_text("no video")
    corpus = scan([root], tmp_path / "corpus", SETTINGS)
    assert [video.path for video in corpus.videos] == ["good.mp4"]
    with (tmp_path / "corpus" / "damaged.csv").open(encoding="utf-8") as file:
        listed = {Path(row["path"]).name: row["error"] for row in csv.DictReader(file)}
    assert set(listed) == {"empty.mp4", "cut.mp4", "text.avi"}
    assert "0 bytes" in listed["empty.mp4"]


def test_a_second_scan_looks_only_at_what_is_new_or_changed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for number in range(3):
        render(root / f"{number}.mp4", number)
    looked: list[int] = []
    first = scan([root], tmp_path / "corpus", SETTINGS, progress=lambda done, count: looked.append(done))
    assert looked == [1, 2, 3]
    journal = tmp_path / "corpus" / "scan.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join(lines[:2]) + "\n" + lines[2][:40])  # killed in the middle of the third line
    looked.clear()
    assert (
        scan([root], tmp_path / "corpus", SETTINGS, progress=lambda done, _: looked.append(done)).clips == first.clips
    )
    assert looked == [3]
    render(root / "1.mp4", 17, frames=24)
    looked.clear()
    assert len(scan([root], tmp_path / "corpus", SETTINGS, progress=lambda done, _: looked.append(done)).clips) == 7
    assert looked == [3]
    looked.clear()
    other = replace(SETTINGS, clip_s=1.0)
    scan([root], tmp_path / "corpus", other, progress=lambda done, _: looked.append(done))
    assert looked == [1, 2, 3]


def test_what_is_excluded_stays_listed_with_its_reason(tmp_path: Path) -> None:
    root = tmp_path / "root"
    render(root / "1.mp4", 0)
    write_video(root / "dark.mp4", np.full((16, 48, 48, 3), 2, np.uint8), 4)
    settings = replace(SETTINGS, exclusion=replace(ANYTHING, ids=("root/1.mp4@2.00",)))
    corpus = scan([root], tmp_path / "corpus", settings)
    reasons = {clip.clip: clip.excluded for clip in corpus.clips}
    assert reasons == {
        "root/1.mp4@0.00": "",
        "root/1.mp4@2.00": "list: root/1.mp4@2.00",
        "root/dark.mp4@0.00": "quality: dark in 3 of 3 frames",
        "root/dark.mp4@2.00": "quality: dark in 3 of 3 frames",
    }
    assert [clip.clip for clip in corpus.usable()] == ["root/1.mp4@0.00"]


@pytest.mark.slow
def test_several_processes_find_the_same(tmp_path: Path) -> None:
    alone = small_corpus(tmp_path, videos=4)
    together = scan([tmp_path / "root"], tmp_path / "other", SETTINGS, processes=2)
    assert (together.videos, together.clips) == (alone.videos, alone.clips)


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [
        (31.0, [(0.0, 15.0), (15.0, 31.0)]),  # a rest of 1 s joins the clip before
        (33.0, [(0.0, 15.0), (15.0, 30.0), (30.0, 33.0)]),
        (30.0, [(0.0, 15.0), (15.0, 30.0)]),
        (1.0, [(0.0, 1.0)]),  # a short video is one short clip
    ],
)
def test_where_clips_lie(duration_s: float, expected: list[tuple[float, float]]) -> None:
    assert stretches(duration_s, 15.0, 2.0) == expected


def test_bad_roots_and_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        scan([tmp_path / "none"], tmp_path / "corpus", SETTINGS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no videos"):
        scan([tmp_path / "empty"], tmp_path / "corpus", SETTINGS)
    with pytest.raises(ValueError, match="two sources are called 'empty'"):
        scan([tmp_path / "empty", tmp_path / "empty"], tmp_path / "corpus", SETTINGS)
    with pytest.raises(ValueError, match="both positive"):
        scan([tmp_path / "empty"], tmp_path / "corpus", replace(SETTINGS, clip_s=0.0))


def test_files_of_different_scans_are_refused(tmp_path: Path) -> None:
    clips = (made_clip("a", 0.0),)
    corpus = Corpus(tmp_path, (Source("a", "x", "core", "", ""),), (), clips)
    write_corpus(corpus)
    with pytest.raises(ValueError, match="different scans"):
        read_corpus(tmp_path)
    (tmp_path / "videos.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ValueError, match="damaged or no Parquet file"):
        read_corpus(tmp_path)
    with pytest.raises(FileNotFoundError, match="trocar curate scan"):
        read_corpus(tmp_path / "none")
    assert fingerprint(clips) != fingerprint((made_clip("a", 1.0),))


def test_a_rendered_corpus_is_long_tailed_and_written_once(tmp_path: Path) -> None:
    settings = RenderedCorpus(videos=12, frames=8, side=32)
    render_corpus(tmp_path, settings)
    paths = sorted(tmp_path.rglob("*.mp4"))
    assert len(paths) == 12
    assert sum("laparoscopy" in str(path) for path in paths) >= 4
    times = [path.stat().st_mtime_ns for path in paths]
    render_corpus(tmp_path, settings)
    assert [path.stat().st_mtime_ns for path in paths] == times
    with pytest.raises(ValueError, match="an even side"):
        render_corpus(tmp_path, replace(settings, side=33))
