"""A report of made-up runs: what stands in it, what it refuses, and that the page needs nothing but itself."""

from __future__ import annotations

import argparse
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_fixtures import SA_SV, Made, write_run

from trocar.bench.report import write_report
from trocar.bench.report_published import published_models, same_name
from trocar.bench.report_results import compare, scales
from trocar.bench.report_run import read_run
from trocar.bench.results import write_json
from trocar.cli.bench_report import add_arguments

RESULTS = Path(__file__).parents[2] / "docs" / "results"
FOUR = {"EV17": 3, "EV18-I": 4, "RARP50": 10, "EV18-T": 4}
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """What a browser would find: tags with their attributes, and that every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def tables(markdown: str) -> dict[str, list[list[str]]]:
    """Caption -> lines of boxes, the headings first."""
    found: dict[str, list[list[str]]] = {}
    caption = ""
    for line in markdown.splitlines():
        if line.startswith("**"):
            caption = line.strip("*")
        elif line.startswith("| ") and not line.startswith("| ---"):
            found.setdefault(caption, []).append([box.strip() for box in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def report(tmp_path: Path, *runs: Path, partial: bool = False) -> tuple[Page, str]:
    write_report(runs, tmp_path / "out", "Made up", partial)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["report.html", "report.md"]
    return Page((tmp_path / "out/report.html").read_text()), (tmp_path / "out/report.md").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("whole") / "run", Made(SA_SV))


def test_ours_stand_beside_the_published_rows_of_the_same_prompt(tmp_path: Path, whole: Path) -> None:
    page, markdown = report(tmp_path, whole)
    lines = tables(markdown)["J&amp;F in percent beside published rows, 3-click"]
    assert lines[0] == ["Model", *SA_SV, "Average"]
    summary = json.loads((whole / "summary.json").read_text())
    ours = {cell["subset"]: cell for cell in summary if (cell["setting"], cell["metric"]) == ("3-click", "J&F")}
    assert lines[1][0] == "made-up with recent (ours); this report; clean, 3-click; 256 px"
    for box, name in zip(lines[1][1:], [*SA_SV, "Average"], strict=True):
        assert box.startswith(f"{100 * ours[name]['value']:.2f}")
    low, high = (100 * ours["EV17"][end] for end in ("low", "high"))
    assert lines[1][1].endswith(rf"; \[{low:.2f}, {high:.2f}\]")
    assert len(lines) == 2 + 14, "the 14 models of table 2; table 4 only repeats their averages"
    assert lines[-1][0] == "SAM2S (ours) (published); SAM2S, Table 2; fine-tuned SA-SV, 3-click; 512 px"
    assert lines[-1][1:] == ["86.72", "82.37", "79.47", "87.46", "89.65", "72.29", "79.09", "66.30", "80.42"]
    assert not [line for line in lines if "1-click" in line[0]]
    assert "2511.16618" in markdown
    assert len(page.all("svg")) == 2


def test_known_inconsistencies_are_noted_and_other_averages_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Made(FOUR, ("3-click",), ("J&F",), (("SAM2S", "6"), ("SAM2S", "2"))))
    page, markdown = report(tmp_path, run)
    lines = {line[0]: line for line in tables(markdown)["J&amp;F in percent beside published rows, 3-click"]}
    assert lines["SAM2Long (published); SAM2S, Table 6; vanilla, 3-click; 512 px"][-1] == "58.09<sup>1</sup>"
    assert "its other figures give 57.992 (off by +0.098: NOT explained by rounding)" in markdown
    assert lines["SAM2 (published); SAM2S, Table 6; vanilla, 3-click; 1024 px"][-1] == "66.30"
    assert lines["MedSAM2 (published); SAM2S, Table 2; vanilla, 3-click; 512 px"][-1] == "–<sup>2</sup>"
    assert "2. The average of SAM2S, Table 2, is over other subsets than ours." in markdown
    assert any("pairs printed in swapped order" in word for word in page.words)


def test_tables_that_print_averages_alone_stand_beside_the_same_average(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Made(SA_SV, ("box",), ("J&F",)))
    lines = tables(report(tmp_path, run)[1])["Average: J&amp;F in percent beside published rows, box"]
    assert [line[1] for line in lines[2:]] == ["65.46", "76.06", "71.73", "75.86", "81.13"]


def test_units_and_digits_are_those_of_the_published_rows(tmp_path: Path) -> None:
    made = Made({"CT": 4, "MR": 4}, ("init=truth",), ("dice", "NSD"), (("SAM2-Med-Benchmark", "3"),))
    lines = tables(report(tmp_path, write_run(tmp_path / "run", made))[1])
    lines = lines["dice, NSD beside published rows, init=truth"]
    assert lines[0] == ["Model", "CT dice", "CT NSD", "MR dice", "MR NSD"]
    assert re.match(r"0\.\d{4};", lines[1][1])
    assert lines[2] == [
        "SAM2-T (published); SAM2-Med-Benchmark, Table 3; 3D init=GT; input size not given",
        *("0.8388", "0.8386", "0.8158", "0.8331"),
    ]


def test_a_run_that_lacks_cases_says_so_and_keeps_its_averages(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Made(FOUR, ("3-click",), lost=1))
    page, markdown = report(tmp_path, run)
    assert [attributes for _, attributes in page.tags if attributes.get("role") == "alert"]
    assert "too few cases: EV17 2 of 3, EV18-I 3 of 4, RARP50 9 of 10, EV18-T 3 of 4" in markdown
    own = tables(markdown)["made-up with recent, 3-click: means over objects of J&amp;F, J, F in percent"]
    assert own[1][:3] == ["EV17 (partial)", "2 of 3; incomplete", "withheld; 2 of 3 cases"]
    assert own[-1][:3] == ["Average (partial)", "17 of 21; incomplete", "withheld; 17 of 21 cases"]
    beside = tables(markdown)["J&amp;F in percent beside published rows, 3-click"]
    assert all(box.startswith("withheld") for box in beside[1][1:])
    assert not re.search(r"#0a5ec2|--run-1\)", "".join(str(a) for a in page.all("path"))), "nothing of ours is drawn"


@pytest.mark.parametrize("how", ["the run says so", "the caller says so"])
def test_averages_marked_as_partial_are_shown_with_the_mark(tmp_path: Path, how: str) -> None:
    own = ("EV17: only the first 2 of 3 cases were asked for",) if how == "the run says so" else ()
    run = write_run(tmp_path / "run", Made(FOUR, ("3-click",), ("J&F",), (("SAM2S", "6"),), lost=1, partial=own))
    _, markdown = report(tmp_path, run, partial=how == "the caller says so")
    beside = tables(markdown)["J&amp;F in percent beside published rows, 3-click"]
    assert "(partial)" in beside[1][0]
    assert re.fullmatch(r"\d\d\.\d\d; 2 of 3 cases; .*", beside[1][1])
    assert re.fullmatch(r"\d\d\.\d\d; 17 of 21 cases", beside[1][-1])
    assert "Incomplete" in markdown
    assert all(one in markdown for one in own)


def test_a_case_that_failed_is_no_case(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Made(FOUR, ("3-click",), ("J&F",)))
    write_json(run / "failures.json", [{"case": "EV17/video01", "error": "frame 3 is damaged"}])
    _, markdown = report(tmp_path, run)
    assert "too few cases: EV17 2 of 3" in markdown
    assert tables(markdown)["Cases that failed, made-up with recent"][1] == ["EV17/video01", "frame 3 is damaged"]
    own = tables(markdown)["made-up with recent, 3-click: means over objects of J&amp;F in percent"]
    assert own[1][2].startswith("withheld")
    assert not own[2][2].startswith("withheld")
    assert own[-1][2].startswith("withheld")


def test_an_average_over_other_values_than_there_are_is_found_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Made(FOUR, ("3-click",), ("J&F",)))
    summary = json.loads((run / "summary.json").read_text())
    summary[0]["n"] += 1
    write_json(run / "summary.json", summary)
    (said,) = read_run(run).damage
    there = summary[0]["n"] - 1 + summary[0]["excluded"]
    assert said.startswith("EV17, 3-click, J&F: the average says")
    assert said.endswith(f"holds {there}")


def test_a_run_that_did_not_finish_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Made(FOUR, ("3-click",)))
    for name in ("summary.json", "cases.parquet", "failures.json"):
        (run / name).unlink()
    _, markdown = report(tmp_path, run)
    assert "summary.json is missing, so the run did not finish: start it again to go on" in markdown
    assert "no figures of EV17, 3 cases" in markdown


def test_a_run_that_does_not_say_how_many_cases_were_expected_is_not_whole(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Made({"one": 2}, ("box",), ("dice",), ()))
    record = json.loads((run / "run.json").read_text())
    write_json(run / "run.json", {**record, "expected": {}})
    _, markdown = report(tmp_path, run)
    assert "run.json does not say how many cases were expected" in markdown
    assert "withheld" in markdown


def test_two_runs_of_a_protocol_share_their_tables(tmp_path: Path, whole: Path) -> None:
    other = write_run(tmp_path / "run", Made(SA_SV, ("3-click",), model="another", seed=1))
    _, markdown = report(tmp_path, whole, other)
    names = [
        line[0].partition(" (")[0] for line in tables(markdown)["J&amp;F in percent beside published rows, 3-click"]
    ]
    assert names[:4] == ["Model", "made-up with recent", "another with recent", "SAM2"]
    once = [
        line[0].partition(" (")[0] for line in tables(markdown)["J&amp;F in percent beside published rows, 1-click"]
    ]
    assert once[:3] == ["Model", "made-up with recent", "SAM2"]


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, Made(FOUR, ("3-click",), ("J&F",))) for name in ("monday", "tuesday")]
    lines = tables(report(tmp_path, *runs)[1])["Runs in this report"]
    assert [line[0] for line in lines[1:]] == ["made-up with recent (monday)", "made-up with recent (tuesday)"]


def test_figures_worked_out_from_other_rows_stand_for_the_cases_that_have_those(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Made(FOUR, ("3-click",), ("pixels",), (), lost=1))
    summary = json.loads((run / "summary.json").read_text())
    write_json(run / "summary.json", [{**cell, "metric": "mcIoU", "level": "classes"} for cell in summary])
    read = read_run(run)
    assert [str(read.count(cell)) for cell in read.cells] == ["2 of 3", "3 of 4", "9 of 10", "3 of 4", "17 of 21"]


def test_the_page_needs_nothing_but_itself(tmp_path: Path, whole: Path) -> None:
    page, _ = report(tmp_path, whole)
    text = (tmp_path / "out/report.html").read_text()
    assert set(re.findall(r"https?://[^\"' )<]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not page.all("script")
    assert not page.all("link")
    assert all(str(image["src"]).startswith("data:image/") for image in page.all("img"))
    assert all(image["alt"] and image["width"] and image["height"] for image in page.all("img"))
    links = [link for _, attributes in page.tags for name, link in attributes.items() if name.endswith("href")]
    assert all(str(link).startswith("#") for link in links)
    named = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(named) == len(set(named)), "two plots share a name"
    assert {str(link)[1:] for link in links} <= set(named)


def test_tables_can_be_heard_and_numbers_stand_at_the_right(tmp_path: Path, whole: Path) -> None:
    page, _ = report(tmp_path, whole)
    assert len(page.all("caption")) == len(page.all("table")) == 5
    assert all(heading["scope"] in ("row", "col") for heading in page.all("th"))
    styles = [box.get("class") for box in page.all("td")]
    assert styles.count("number") > 200
    style = (tmp_path / "out/report.html").read_text()
    assert "prefers-color-scheme: dark" in style
    assert re.search(r"\.number \{ text-align: right", style)


def test_everything_is_escaped(tmp_path: Path) -> None:
    nasty = "<script>alert('$1|2$')</script>"
    made = Made({nasty: 2, "EV17": 3}, ("3-click",), ("J&F",), title=nasty, model=nasty, lost=1, partial=(nasty,))
    run = tmp_path / "run"
    write_run(run, made)
    write_json(run / "failures.json", [{"case": nasty, "error": nasty}])
    page, markdown = report(tmp_path, run)
    assert not page.all("script")
    assert "<script>" not in markdown
    assert sum(nasty in word for word in page.words) > 5
    for lines in tables(markdown).values():
        assert len({len(line) for line in lines}) == 1, "a bar in a name broke the table"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_older_figures_become_tables(tmp_path: Path, path: Path) -> None:
    _, markdown = report(tmp_path, path)
    figures = json.loads(path.read_text())
    found = tables(markdown)
    assert found
    if "rows" in figures:
        assert len(found["rows"]) == 1 + len(figures["rows"])
    for name, result in figures.get("results", {}).items():
        (lines,) = [lines for caption, lines in found.items() if caption.startswith(name)]
        assert len(lines) == 1 + len(result["rows"])
    if "frames_per_second" in figures:
        assert ["frames\\_per\\_second", str(figures["frames_per_second"])] in found[path.stem]


def test_settings_and_names_meet_however_they_are_spelt() -> None:
    assert same_name("EndoVis17") == same_name("EV17") == same_name("EndoVis2017")
    assert same_name("Dice") == same_name("DSC")
    assert same_name("18->17") != same_name("17->18")
    two = [{"paper": "SAM2S", "table": "2"}, {"paper": "SAM2S", "table": "3"}]
    assert {model.table for model in published_models(two, "3 clicks")} == {"2"}
    assert {model.table for model in published_models(two, "1-click")} == {"3"}
    assert not published_models(two, "box")
    boxes = [{"paper": "SAM2-Med-Benchmark", "table": "1"}]
    assert len(published_models(boxes, "box")) == len(published_models(boxes, "")) == 8
    ablation = published_models([{"paper": "SAM2S", "table": "7"}], "1-click")
    assert not ablation, "its rows are of three clicks, though they do not say so"


def test_fractions_without_published_rows_have_three_digits(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", Made({"one": 2}, ("box",), ("dice", "hd95_mm"), ())))
    units = scales([run], [compare([run], "box")])
    assert (units["dice"].factor, units["dice"].digits, units["dice"].unit) == (1.0, 3, "")
    assert units["dice"].text(math.nan) == "undefined"


def test_the_command(tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser.add_subparsers())
    short = write_run(tmp_path / "short", Made(FOUR, ("3-click",), lost=1))
    options = parser.parse_args(["report", str(whole), str(short), "--out", str(tmp_path / "out"), "--title", "Ours"])
    assert options.run(options) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(tmp_path / "out/report.html")
    assert "too few cases: EV17 2 of 3" in said.err
    assert (tmp_path / "out/report.md").read_text().startswith("# Ours\n")


def test_results_that_cannot_be_read_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json does not exist"):
        write_report([tmp_path / "nowhere.json"], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"run\.json is missing"):
        write_report([tmp_path / "empty"], tmp_path / "out")
    run = write_run(tmp_path / "run", Made(FOUR, ("3-click",)))
    (run / "cases.parquet").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"cases\.parquet cannot be read"):
        write_report([run], tmp_path / "out")
    run = write_run(tmp_path / "other", Made(FOUR, ("3-click",)))
    write_json(run / "pictures.json", [{"file": "../run.json", "case": "", "subset": "", "value": 1, "kind": "best"}])
    with pytest.raises(ValueError, match="outside the folder of pictures"):
        write_report([run], tmp_path / "out")
    (run / "summary.json").write_text("[{")
    with pytest.raises(ValueError, match=r"summary\.json is not JSON"):
        write_report([run], tmp_path / "out")
    assert not (tmp_path / "out").exists()
