"""What routes share: the service behind a request, who asks, and the errors that every address may answer with."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request

from trocar.serve.errors import STATUS
from trocar.serve.gate import client_of
from trocar.serve.service import Service
from trocar.wire import Problem

HIGHEST = 2**31 - 1


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _client(request: Request) -> str:
    return client_of(request.scope)


Serving = Annotated[Service, Depends(_service)]
Client = Annotated[str, Depends(_client)]
Number = Annotated[int, Path(ge=0, le=HIGHEST)]
Frame = Annotated[int, Query(ge=0, le=HIGHEST)]

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": ", ".join(kind for kind, code in STATUS.items() if code == status)}
    for status in sorted(set(STATUS.values()))
}
