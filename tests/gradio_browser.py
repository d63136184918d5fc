"""A browser of the Gradio page, as far as its protocol goes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from trocar.serve.gradio_app import ON


class Browser:
    """One window: it presses what has the given names, and remembers what the page holds for it."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        self._config = requests.get(f"{self._address}/config", timeout=20).json()
        self._session = f"window{id(self)}"

    def upload(self, *paths: Path) -> list[dict[str, Any]]:
        files = [("files", (path.name, path.read_bytes())) for path in paths]
        answer = requests.post(f"{self._address}/gradio_api/upload", files=files, timeout=60)
        there = answer.json() if paths else []
        return [
            {"path": one, "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}
            for one, path in zip(there, paths, strict=True)
        ]

    def do(self, name: str, *data: Any, pixel: tuple[int, int] | None = None) -> list[Any]:
        """What an event answers; the last answer, where there are several."""
        made = self.follow(name, *data, pixel=pixel)
        return list(made)[-1]

    def follow(self, name: str, *data: Any, pixel: tuple[int, int] | None = None) -> Iterator[list[Any]]:
        number = next(one["id"] for one in self._config["dependencies"] if one["api_name"] == name)
        body: dict[str, Any] = {"data": list(data), "fn_index": number, "session_hash": self._session}
        body["event_data"] = None if pixel is None else {"index": list(pixel), "value": None}
        asked = requests.post(f"{self._address}/gradio_api/queue/join", json=body, timeout=20)
        assert asked.ok, asked.text
        told = requests.get(
            f"{self._address}/gradio_api/queue/data?session_hash={self._session}", stream=True, timeout=120
        )
        for line in told.iter_lines():
            message = json.loads(line[6:]) if line.startswith(b"data: ") else {}
            kind = message.get("msg")
            if kind == "process_generating" or (kind == "process_completed" and message["success"]):
                if message["output"].get("data"):
                    yield message["output"]["data"]
            elif kind == "process_completed":
                raise ValueError(message["output"]["error"])
            if kind == "process_completed":
                return

    def at_once(self, name: str, *data: Any) -> None:
        """An event that waits for no other."""
        number = next(one["id"] for one in self._config["dependencies"] if one["api_name"] == name)
        body = {"data": list(data), "fn_index": number, "session_hash": self._session}
        assert requests.post(f"{self._address}/gradio_api/run/predict", json=body, timeout=20).ok

    def open(self, *paths: Path, model: str, step: int = 1) -> None:
        self.do("open", self.upload(*paths), model, "recent", step, None)

    def click(self, frame: int, pixel: tuple[int, int], kind: str = ON, object_id: int = 1) -> str:
        return str(self.do("click", None, frame, object_id, kind, None, pixel=pixel)[2])

    def track(self, way: str = "both", frame: int = 0) -> str:
        return str(self.do("track", None, way, frame)[1])

    def download(self, folder: Path, name: str = "rle") -> Path:
        (made,) = self.do("download", None, name)
        path = folder / Path(made["path"]).name
        path.write_bytes(requests.get(f"{self._address}/gradio_api/file={made['path']}", timeout=60).content)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder / "unpacked")
                return folder / "unpacked" / archive.namelist()[0].split("/")[0]
        return path
