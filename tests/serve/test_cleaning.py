"""What nobody needs any more goes, by the rule that the documentation states, and nothing else does."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from running_server import Served, save_clip, serving
from trocar.client import ServerError, Source
from trocar.prompts import Point
from trocar.serve.settings import ServeSettings
from trocar.wire import FileMessage, NewSource, to_json

DAY = 24 * 3600.0


def age(path: Path, seconds: float = DAY + 60) -> None:
    """Make a file or a folder with all in it look as if nothing had happened to it for so long."""
    then = time.time() - seconds
    for one in (*path.rglob("*"), path):
        os.utime(one, (then, then))


def exported(source: Source) -> int:
    number = int(source._connection.ask("POST", f"/api/sources/{source.told.id}/exports", {"format": "rle"})["id"])
    while source._connection.ask("GET", f"/api/jobs/{number}")["state"] in ("waiting", "running"):
        time.sleep(0.01)
    return number


def announced(served: Served, path: Path, send: bool = True) -> str:
    """An upload that nobody has opened."""
    client = served.client()
    project = client.project("uploads").told.id
    files = {"files": [to_json(FileMessage(path.name, path.stat().st_size))]}
    upload = str(client.ask("POST", f"/api/projects/{project}/uploads", files)["id"])
    if send:
        headers = {"Content-Type": "application/octet-stream"}
        client.raw("PUT", f"/api/uploads/{upload}/0?offset=0", data=path.read_bytes(), headers=headers)
    return upload


def test_a_download_goes_after_a_day_and_can_be_made_again(served: Served) -> None:
    source = served.clip("exports")
    source.add(Point(12, 16))
    old, new = exported(source), exported(source)
    folder = served.service.settings.folder / "exports"
    age(folder / str(old))
    age(folder / str(new), DAY - 60)
    served.service.cleaning.sweep()
    assert not (folder / str(old)).exists()
    with pytest.raises(ServerError, match="is gone: export again"):
        source._connection.raw("GET", f"/api/jobs/{old}/file")
    assert source._connection.raw("GET", f"/api/jobs/{new}/file").content
    assert len(source.masks()) == 1


def test_what_a_failed_export_left_goes_at_once(served: Served) -> None:
    source = served.clip("failed exports")
    number = exported(source)  # nothing is prompted, so there is nothing to write
    assert source._connection.ask("GET", f"/api/jobs/{number}")["state"] == "failed"
    left = served.service.settings.folder / "exports" / str(number)
    left.mkdir(exist_ok=True)
    (left / "masks.jsonl.part").write_text("half")
    served.service.cleaning.sweep()
    assert not left.exists()


def test_an_upload_goes_after_a_day_unless_it_is_a_source(served: Served, tmp_path: Path) -> None:
    path = save_clip(tmp_path / "clip.mp4")
    forgotten, fresh, half = announced(served, path), announced(served, path), announced(served, path, send=False)
    used = announced(served, path)
    folder = served.service.settings.folder / "uploads"
    for upload in (forgotten, half, used):
        age(folder / upload)
    source = served.client().project("uploads").open(NewSource(upload=used))
    os.utime(folder / used, (0, 0))
    served.service.cleaning.sweep()
    there = {upload.name for upload in folder.iterdir()}
    assert fresh in there
    assert not {forgotten, half} & there
    with pytest.raises(ServerError, match="no such upload"):
        served.client().ask("GET", f"/api/uploads/{forgotten}")
    assert source.frame(3).shape == (48, 64, 3)
    source.add(Point(12, 16))


def test_who_opens_an_old_upload_keeps_it(served: Served, tmp_path: Path) -> None:
    """Opening counts as use: from then on the upload is not old, before anything is stored of it."""
    upload = announced(served, save_clip(tmp_path / "clip.mp4"))
    age(served.service.settings.folder / "uploads" / upload)
    served.service.uploads.keep(upload)
    served.service.cleaning.sweep()
    assert served.client().project("uploads").open(NewSource(upload=upload)).told.frames == 24


def test_unfinished_views_of_an_earlier_process_go(served: Served) -> None:
    source = served.clip("views")
    folder = served.service.settings.folder / "views" / str(source.told.id)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("proxy-123.mp4", "proxy.mp4", "volume.nii.gz"):
        (folder / name).write_bytes(b"x")
    age(folder)
    (folder / "proxy-124.mp4").write_bytes(b"x")
    served.service.cleaning.sweep()
    assert {one.name for one in folder.iterdir()} == {"proxy.mp4", "volume.nii.gz", "proxy-124.mp4"}
    for one in folder.iterdir():
        one.unlink()


def test_a_server_cleans_when_it_starts(settings: ServeSettings, tmp_path: Path) -> None:
    again = replace(settings, folder=tmp_path / "project", kept_s=0.0)
    with serving(again) as running:
        forgotten = announced(running, save_clip(tmp_path / "clip.mp4"))
    time.sleep(0.01)
    with serving(again):
        until = time.monotonic() + 20
        while (again.folder / "uploads" / forgotten).exists() and time.monotonic() < until:
            time.sleep(0.02)
        assert not (again.folder / "uploads" / forgotten).exists()


def test_metrics_say_what_the_disk_holds(served: Served) -> None:
    source = served.clip("metrics")
    source.add(Point(12, 16))
    number = exported(source)
    folder = served.service.settings.folder / "exports"
    said = {
        line.split()[0]: float(line.split()[1])
        for line in requests.get(f"{served.address}/metrics", timeout=20).text.splitlines()
        if line.startswith("trocar_disk_")
    }
    files = [one for one in folder.rglob("*") if one.is_file()]
    assert str(number) in {one.name for one in folder.iterdir()}
    assert said["trocar_disk_exports_bytes"] == sum(one.stat().st_size for one in files) > 0
    assert {f"trocar_disk_{part}_bytes" for part in ("uploads", "snapshots", "views", "free")} <= said.keys()


def test_a_time_to_keep_things_is_not_negative(settings: ServeSettings) -> None:
    with pytest.raises(ValueError, match="--keep 0 or more"):
        replace(settings, kept_s=-1.0)
