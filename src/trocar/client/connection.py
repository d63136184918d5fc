"""Requests to a server, its refusals as errors, and its event streams."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import requests


class ServerError(Exception):
    """The server refused or failed, or could not be reached.

    Args:
        kind: as in the server's answers; "unreachable" where there was none.
        message: why, and what to do.
        remedy: what to do.
    """

    def __init__(self, kind: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.remedy = remedy


class Connection:
    """One client's way to a server.

    Args:
        address: as `trocar serve` prints it.
        token: the server's, if it asks for one.
        name: what the server calls this client; who has it has its leases.
        timeout_s: until it counts as unreachable when it says nothing at all.
    """

    def __init__(self, address: str, token: str = "", name: str = "", timeout_s: float = 60.0) -> None:
        self._address = address.rstrip("/")
        self.name = name or secrets.token_hex(12)
        self._timeout_s = timeout_s
        self._http = requests.Session()
        self._http.headers["X-Trocar-Client"] = self.name
        if token:
            self._http.headers["Authorization"] = f"Bearer {token}"

    def ask(self, verb: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send a request with a JSON body; gives the JSON of the answer, None where there is none.

        Raises:
            ServerError: it was refused, failed, or the server did not answer.
        """
        response = self.raw(verb, path, json=body, **options)
        return response.json() if response.content else None

    def raw(self, verb: str, path: str, **options: Any) -> requests.Response:
        """Send a request, and give the answer as it came.

        Raises:
            ServerError: as `ask`.
        """
        try:
            response = self._http.request(verb, self._address + path, timeout=self._timeout_s, **options)
        except requests.RequestException as error:
            raise ServerError(
                "unreachable", f"{self._address} does not answer: check that trocar serve runs there"
            ) from error
        if not response.ok:
            try:
                said = response.json()
            except ValueError:
                said = {}
            message = said.get("message", f"the server answered {response.status_code}: look into its log")
            raise ServerError(said.get("kind", "internal"), message, said.get("remedy", ""))
        return response


def events(connection: Connection, job: int, tries: int = 5) -> Iterator[tuple[str, Any]]:
    """The server-sent events of a job, as (name, data) with the names masks, progress and done.

    Where the connection breaks, it is taken up again after the last one.

    Raises:
        ServerError: as `Connection.ask`, or it broke too often.
    """
    last, left = "", tries
    while True:
        with connection.raw("GET", f"/api/jobs/{job}/events", stream=True, headers={"Last-Event-ID": last}) as response:
            name = ""
            try:
                for line in _lines(response):
                    key, _, value = line.partition(": ")
                    if key == "event":
                        name = value
                    elif key == "id":
                        last = value
                    elif key == "data":
                        left = tries
                        yield name, json.loads(value)
                        if name == "done":
                            return
            except requests.RequestException:
                pass
        left -= 1
        if not left:
            raise ServerError("unreachable", "the server stopped answering: look whether it runs")


def _lines(response: requests.Response) -> Iterator[str]:
    """The lines of a stream as soon as they have arrived."""
    rest = b""
    for data in response.iter_content(chunk_size=None):
        *lines, rest = (rest + data).split(b"\n")
        yield from (line.decode("utf-8") for line in lines)
