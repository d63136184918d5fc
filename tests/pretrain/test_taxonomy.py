"""Keywords to procedures: the longest counts, whole words only, and a user's go first."""

from __future__ import annotations

from pathlib import Path

import pytest

from trocar.datasets.procedure_scenes import PROCEDURES
from trocar.pretrain.taxonomy import read_taxonomy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cholec80/videos/video41.mp4", ("laparoscopy", "cholecystectomy")),
        ("SAR-RARP50/train/video_1/video_left.avi", ("robotic", "prostatectomy")),
        ("Kvasir-Capsule/labelled/a.mp4", ("endoscopy", "capsule endoscopy")),
        ("web/Laparoscopic_Roux-en-Y_gastric_bypass.mp4", ("laparoscopy", "gastric bypass")),
        ("Cataract-101/case_269.mp4", ("cataract", "phacoemulsification")),
        ("web/robotic hysterectomy 3.mp4", ("robotic", "robotic hysterectomy")),  # not "hysterectomy", which is shorter
        ("holiday/beach.mp4", ("unknown", "unknown")),
        ("web/mediolaterality.mp4", ("unknown", "unknown")),  # "ralp", "tep" and the like are words, not parts of them
    ],
)
def test_paths_and_titles(text: str, expected: tuple[str, str]) -> None:
    assert read_taxonomy().classify(text) == expected


def test_the_table_has_the_papers_four_domains_and_more_than_fifty_procedures() -> None:
    procedures = read_taxonomy().procedures
    assert set(procedures) == {"cataract", "robotic", "endoscopy", "laparoscopy"}
    assert sum(map(len, procedures.values())) > 50


def test_rendered_procedures_are_found_by_their_own_names() -> None:
    taxonomy = read_taxonomy()
    for domain, procedures in PROCEDURES.items():
        for procedure in procedures:
            assert taxonomy.classify(f"rendered/{domain}/{procedure.replace(' ', '_')}/1.mp4") == (domain, procedure)


def test_a_users_keywords_go_first(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('[dental]\n"root canal" = ["endodontic"]\n[laparoscopy]\n"lap chole" = ["cholecystectomy"]\n')
    taxonomy = read_taxonomy(path)
    assert taxonomy.classify("Endodontic-7.mp4") == ("dental", "root canal")
    assert taxonomy.classify("cholecystectomy.mp4") == ("laparoscopy", "lap chole")


@pytest.mark.parametrize(
    ("text", "message"),
    [('dental = "x"\n', "dental must be a table"), ("[dental]\nx = 3\n", "must be a list of keywords")],
)
def test_a_table_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_taxonomy(path)
