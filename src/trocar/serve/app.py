"""The HTTP application around a service."""

from __future__ import annotations

import html
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from trocar import __version__
from trocar.formats import FORMATS
from trocar.formats.window import PRESETS
from trocar.serve import routes_annotate, routes_sources
from trocar.serve.asking import PROBLEMS
from trocar.serve.cleaning import PARTS
from trocar.serve.errors import STATUS, Refusal, problem_of
from trocar.serve.gate import Gate
from trocar.serve.measures import Measures
from trocar.serve.service import Service
from trocar.wire import to_json

WEB = Path(__file__).parent / "web"

KIND_OF = {404: "missing", 405: "method", 413: "too_large", 415: "media_type"}


def make_app(service: Service) -> FastAPI:
    """The application; the service is closed when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    measures = Measures()
    measures.watch("clicks_waiting", "Clicks that wait for the model.", lambda: service.turns.waiting)
    measures.watch("sessions_open", "Sources ready to be edited.", lambda: service.open_sessions)
    measures.watch("leases", "Sources that somebody edits.", lambda: len(service.leases))
    for part in PARTS:
        measures.watch(f"disk_{part}_bytes", f"Disk that {part} take.", partial(service.cleaning.disk_bytes, part))
    measures.watch("disk_free_bytes", "Disk that is left.", lambda: service.cleaning.free_bytes)
    app = FastAPI(title="trocar", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    app.add_middleware(Gate, settings=service.settings, measures=measures)
    _add_errors(app)
    app.include_router(routes_sources.router)
    app.include_router(routes_annotate.router)
    _add_server(app, service, measures)
    if (WEB / "index.html").is_file():
        app.mount("/", StaticFiles(directory=WEB, html=True), name="web")
    return app


def _add_errors(app: FastAPI) -> None:
    """Every refusal and failure leaves in one shape."""

    async def refused(request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        if problem.kind == "internal":
            logging.getLogger(__name__).error("%s %s failed", request.method, request.url.path, exc_info=error)
        return JSONResponse(to_json(problem), STATUS[problem.kind])

    async def unfit(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first: dict[str, Any] = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return await refused(request, Refusal("invalid", f"{where}: {first['msg']}; see /docs: send it as described"))

    async def other(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        message = f"{str(error.detail).lower()}: {request.method} {request.url.path[:200]}: see /docs for what there is"
        answer = await refused(request, Refusal(KIND_OF.get(error.status_code, "invalid"), message))
        answer.headers.update(error.headers or {})
        return answer

    app.add_exception_handler(RequestValidationError, unfit)
    app.add_exception_handler(HTTPException, other)
    for kind in (Refusal, ValueError, IndexError, OSError, MemoryError, Exception):
        app.add_exception_handler(kind, refused)


def _add_server(app: FastAPI, service: Service, measures: Measures) -> None:
    """What a server says of itself."""
    settings = service.settings
    writable = [{"name": name, "about": info.about} for name, info in FORMATS.items() if info.writes]

    @app.get("/health", tags=["server"])
    def health() -> dict[str, Any]:
        """Whether it works."""
        service.projects.all()
        return {"status": "ok", "version": __version__, "model": settings.model, "waiting": service.turns.waiting}

    @app.get("/metrics", tags=["server"], responses=PROBLEMS, response_class=Response)
    def metrics() -> Response:
        """Prometheus' text format."""
        return Response(measures.text(), media_type="text/plain; version=0.0.4")

    @app.get("/api/about", tags=["server"], responses=PROBLEMS)
    def about() -> dict[str, Any]:
        """What the server offers."""
        limits = settings.limits
        return {
            "version": __version__,
            "model": settings.model,
            "remembers": service.network.config.remembers,
            "formats": writable,
            "roots": sorted(settings.roots),
            "classes": service.classes.names,
            "windows": {name: list(window) for name, window in PRESETS.items()},
            "limits": {"upload": limits.upload_bytes, "chunk": limits.chunk_bytes, "body": limits.body_bytes},
        }

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(openapi_page(app.openapi()))


def openapi_page(schema: dict[str, Any]) -> str:
    """All addresses and messages on one page that needs nothing from elsewhere."""
    rows = []
    for path, verbs in schema["paths"].items():
        for verb, said in verbs.items():
            parameters = ", ".join(one["name"] for one in said.get("parameters", ()))
            body = json.dumps(said.get("requestBody", {}).get("content", ""))
            named = body.rpartition("schemas/")[2].partition('"')[0] if "schemas/" in body else ""
            cells = (f"{verb.upper()} {path}", said.get("description", ""), parameters, named)
            rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    messages = []
    for name, said in schema["components"]["schemas"].items():
        fields = json.dumps(said.get("properties", {}), indent=1)
        about = html.escape(said.get("description", ""))
        messages.append(f"<h3 id={name!r}>{html.escape(name)}</h3><p>{about}</p><pre>{html.escape(fields)}</pre>")
    return (
        "<!doctype html><meta charset=utf-8><title>trocar: HTTP</title><style>body{font:15px system-ui;margin:"
        "2em;max-width:75em}td{border-top:1px solid #ccc;padding:.3em 1em .3em 0;vertical-align:top}</style>"
        '<h1>trocar: HTTP interface</h1><p>For programs: <a href="/openapi.json">openapi.json</a></p><table>'
        f"<tr><th>address<th>what it does<th>parameters<th>body</tr>{''.join(rows)}</table><h2>Messages</h2>"
        f"{''.join(messages)}"
    )
