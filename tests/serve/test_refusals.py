"""What a server refuses: each with its kind, a message and a remedy, and none of it with an error of its own."""

from __future__ import annotations

import gzip
import io
import socket
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import requests
from PIL import Image

from running_server import Served, free_port, save_clip, serving
from trocar.client import Client, ServerError
from trocar.serve.settings import Limits, ServeSettings
from trocar.wire import FileMessage, NewSource, UploadMessage, from_json, to_json

LIMITS = Limits(
    upload_bytes=2**20, chunk_bytes=2**16, body_bytes=2**18, picture_pixels=100_000, volume_bytes=2**22, frames=100
)


@pytest.fixture(scope="module")
def served(settings: ServeSettings) -> Iterator[Served]:
    """The server of the other tests, with small limits."""
    outside = settings.folder.parent / "outside"
    save_clip(outside / "secret.mp4", 2)
    (settings.roots["videos"] / "link.mp4").symlink_to(outside / "secret.mp4")
    folder = settings.roots["videos"] / "folder"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "1.png")
    (folder / "2.png").symlink_to(outside / "secret.mp4")
    with serving(replace(settings, folder=settings.folder.parent / "strict", limits=LIMITS)) as running:
        yield running


def refused(client: Client, verb: str, path: str, body: object = None, **options: object) -> str:
    with pytest.raises(ServerError) as error:
        client.ask(verb, path, body, **options)
    assert error.value.remedy
    assert "pytest" not in str(error.value), "where the server keeps files is not the client's to know"
    return error.value.kind


@pytest.mark.parametrize(
    "path",
    ["../outside/secret.mp4", "link.mp4", "folder", "folder/../../outside/secret.mp4", "..", "\0", "a" * 5000],
    ids=["up", "link", "link in a folder", "up and down", "parent", "nul", "long"],
)
def test_nothing_outside_the_offered_folders_is_opened(served: Served, path: str) -> None:
    client = served.client()
    project = client.project("paths").told.id
    asked = {"root": "videos", "path": path}
    assert refused(client, "POST", f"/api/projects/{project}/sources", asked) in ("forbidden", "invalid")
    if path != "folder":  # a folder is shown, without the link in it
        listing = f"/api/roots/videos/files?folder={requests.utils.quote(path)}"
        assert refused(client, "GET", listing) in ("forbidden", "invalid", "missing")


def test_absolute_paths_lead_nowhere(served: Served, settings: ServeSettings) -> None:
    client = served.client()
    project = client.project("paths").told.id
    inside = str(settings.folder.parent / "outside" / "secret.mp4")
    assert (
        refused(client, "POST", f"/api/projects/{project}/sources", {"root": "videos", "path": inside}) == "forbidden"
    )


def test_a_listing_shows_no_link_that_leads_out(served: Served) -> None:
    names = [one["name"] for one in served.client().ask("GET", "/api/roots/videos/files")]
    assert names == ["clip.mp4", "folder"]


@pytest.mark.parametrize("name", ["../x.mp4", "a/b.mp4", "a\\b.mp4", ".hidden", "", "x" * 300, "a\nb.mp4", "c:d.mp4"])
def test_uploads_are_not_put_where_a_client_says(served: Served, name: str) -> None:
    client = served.client()
    project = client.project("uploads").told.id
    asked = {"files": [{"name": name, "size": 5}]}
    assert refused(client, "POST", f"/api/projects/{project}/uploads", asked) == "invalid"


def announce(client: Client, name: str, size: int) -> UploadMessage:
    project = client.project("uploads").told.id
    asked = {"files": [to_json(FileMessage(name, size))]}
    return from_json(UploadMessage, client.ask("POST", f"/api/projects/{project}/uploads", asked))


def put(
    client: Client, upload: UploadMessage, offset: int, data: bytes, kind: str = "application/octet-stream"
) -> None:
    client.raw("PUT", f"/api/uploads/{upload.id}/0?offset={offset}", data=data, headers={"Content-Type": kind})


def test_uploads_beyond_what_was_announced_or_allowed(served: Served) -> None:
    client = served.client()
    with pytest.raises(ServerError, match="at most 1 MiB") as error:
        announce(client, "large.mp4", 2**21)
    assert error.value.kind == "too_large"
    upload = announce(client, "small.bin", 10)
    for data, kind in ((b"x" * 11, "too_large"), (b"x" * (2**16 + 1), "too_large")):
        with pytest.raises(ServerError) as error:
            put(client, upload, 0, data)
        assert error.value.kind == kind
    put(client, upload, 0, b"12345")
    with pytest.raises(ServerError, match="go on with offset 5"):
        put(client, upload, 3, b"45")
    with pytest.raises(ServerError, match="not arrived as a whole"):
        client.project("uploads").open(NewSource(upload=upload.id))
    assert client.ask("GET", f"/api/uploads/{upload.id}")["files"][0]["received"] == 5


def test_a_broken_upload_goes_on(served: Served, settings: ServeSettings) -> None:
    client = served.client()
    data = (settings.roots["videos"] / "clip.mp4").read_bytes()
    upload = announce(client, "clip.mp4", len(data))
    put(client, upload, 0, data[:700])
    received = client.ask("GET", f"/api/uploads/{upload.id}")["files"][0]["received"]
    put(client, upload, received, data[received:])
    assert client.project("uploads").open(NewSource(upload=upload.id)).told.frames == 24


def bomb_png() -> bytes:
    """The head of a picture of 60000 x 60000 pixels, and nothing behind it."""
    buffer = io.BytesIO()
    Image.new("1", (8, 8)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", 60000, 60000)
    import zlib

    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def bomb_nifti() -> bytes:
    header = nib.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    header.set_data_dtype(np.uint8)
    return gzip.compress(header.binaryblock + b"\0" * 4)


def bomb_npz() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (2**23,)})
        archive.writestr("imgs.npy", head.getvalue() + bytes(2**23))
    return buffer.getvalue()


def bomb_mha() -> bytes:
    return (
        b"ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = True\nElementSpacing = 1 1 1\n"
        b"DimSize = 20000 20000 20000\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n" + bytes(10)
    )


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("bomb.png", bomb_png()),
        ("bomb.nii.gz", bomb_nifti()),
        ("bomb.npz", bomb_npz()),
        ("bomb.mha", bomb_mha()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_unpacks_to_too_much_is_refused_unread(served: Served, name: str, data: bytes) -> None:
    client = served.client()
    upload = announce(client, name, len(data))
    put(client, upload, 0, data)
    with pytest.raises(ServerError) as error:
        client.project("uploads").open(NewSource(upload=upload.id))
    assert error.value.kind == "too_large"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "other.mhd",
            "ObjectType = Image\nNDims = 2\nDimSize = 4 4\nElementType = MET_UCHAR\nElementDataFile = secret\n",
        ),
        ("other.nrrd", "NRRD0004\ntype: uchar\ndimension: 2\nsizes: 4 4\nencoding: raw\ndata file: secret\n\n"),
        ("other.mp4", "#EXTM3U\n#EXTINF:1,\nfile:secret\n"),
    ],
)
def test_files_that_refer_to_others_are_refused(served: Served, name: str, text: str) -> None:
    client = served.client()
    upload = announce(client, name, len(text))
    put(client, upload, 0, text.encode())
    with pytest.raises(ServerError) as error:
        client.project("uploads").open(NewSource(upload=upload.id))
    assert error.value.kind in ("forbidden", "invalid")
    assert "refer" in str(error.value)


def test_pictures_and_videos_beyond_the_limits(served: Served, tmp_path: Path) -> None:
    client = served.client()
    Image.new("L", (400, 300)).save(tmp_path / "large.png")
    with pytest.raises(ServerError, match="scale it down"):
        client.project("uploads").upload(tmp_path / "large.png")
    with pytest.raises(ServerError, match="cut it to 100"):
        client.project("uploads").upload(save_clip(tmp_path / "long.mp4", 101))


def test_bodies_of_another_kind_or_size(served: Served) -> None:
    client = served.client()
    text = {"headers": {"Content-Type": "text/plain"}, "data": '{"name": "x"}'}
    with pytest.raises(ServerError) as error:
        client.raw("POST", "/api/projects", **text)
    assert error.value.kind == "media_type"
    upload = announce(client, "small.bin", 10)
    with pytest.raises(ServerError) as error:
        put(client, upload, 0, b"{}", "application/json")
    assert error.value.kind == "media_type"
    assert refused(client, "POST", "/api/projects", {"name": "x" * 2**19}) == "too_large"
    with pytest.raises(ServerError, match="Content-Length"):
        client.raw("POST", "/api/projects", data=iter([b"{}"]), headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ({"box": [5, 5, 5, 9]}, "empty"),
        ({"box": [1, 2, 3]}, r"\[x0, y0, x1, y1\]"),
        ({"point": [1e9, 4]}, "outside the frame"),
        ({"point": [None, 4]}, "number"),
        ({"scribble": []}, "at least one point"),
        ({"point": [3, 3], "box": [1, 1, 5, 5]}, "one of box"),
        ({}, "one of box"),
        ({"mask": {"size": [40000, 40000], "box": [0, 0, 0, 0], "counts": ""}}, "frame's 48 x 64"),
        ({"mask": {"size": [48, 64], "box": [60, 0, 10, 10], "counts": "0"}}, "does not lie"),
        ({"mask": {"size": [48, 64], "box": [0, 0, 9, 9], "counts": "zzzz"}}, "run-length"),
        ({"png": "no base64!"}, "PNG in base64"),
    ],
)
def test_prompts_that_fit_no_frame(served: Served, prompt: dict[str, object], reason: str) -> None:
    source = served.clip("unfit")
    source.objects.ensure(1)
    body = {"object": 1, "frame": 0, "prompts": [prompt]}
    with pytest.raises(ServerError, match=reason) as error:
        served.client().ask("POST", f"/api/sources/{source.told.id}/prompts", body)
    assert error.value.kind == "invalid"
    assert source.masks() == []


def test_what_is_not_there_is_missing(served: Served) -> None:
    client, source = served.client(), served.clip("missing").told.id
    for path in ("/api/sources/999", "/api/jobs/999", f"/api/sources/{source}/frames/24", "/api/uploads/x", "/api/no"):
        assert refused(client, "GET", path) == "missing"
    assert refused(client, "DELETE", "/api/projects") == "method"
    assert refused(client, "POST", f"/api/sources/{source}/propagate", {}) == "invalid"
    assert refused(client, "POST", f"/api/sources/{source}/classes", {"names": ["grasper"]}) == "not_available"
    assert refused(client, "GET", f"/api/sources/{source}/volume.nii.gz") == "invalid"


def test_a_token_is_asked_for(settings: ServeSettings, tmp_path: Path) -> None:
    token = "correct-horse-battery"
    with serving(replace(settings, folder=tmp_path / "project", token=token)) as served:
        for wrong in ("", "wrong-token", token + "x", "ü"):
            with pytest.raises(ServerError) as error:
                Client(served.address, wrong.encode().decode("latin-1")).projects()
            assert error.value.kind == "unauthorised"
        assert Client(served.address, token).projects() == []
        page = requests.Session()
        assert page.get(f"{served.address}/health", timeout=30).status_code == 200
        assert page.get(f"{served.address}/metrics", timeout=30).status_code == 401
        assert page.post(f"{served.address}/api/login", json={"token": "wrong"}, timeout=30).status_code == 401
        assert page.post(f"{served.address}/api/login", json={"token": token}, timeout=30).status_code == 204
        assert page.get(f"{served.address}/api/projects", timeout=30).json() == []
        assert "trocar_requests_total" in page.get(f"{served.address}/metrics", timeout=30).text


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_pages_of_other_sites_are_kept_out(served: Served, headers: dict[str, str]) -> None:
    answer = requests.get(f"{served.address}/api/projects", headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["kind"]) == (403, "forbidden")


def test_a_public_address_needs_a_token(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(ValueError, match="give a --token"):
            ServeSettings(tmp_path, host=host)
        ServeSettings(tmp_path, host=host, token="long-enough")
    with pytest.raises(ValueError, match="at least 8"):
        ServeSettings(tmp_path, token="short")


def test_half_a_request_harms_nobody(served: Served) -> None:
    port = int(served.address.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as half:
        half.sendall(b"POST /api/projects HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    assert served.client().projects() is not None


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(ServerError, match="check that trocar serve runs") as error:
        Client(f"http://127.0.0.1:{free_port()}").projects()
    assert error.value.kind == "unreachable"
