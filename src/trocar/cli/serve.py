"""`trocar serve`: several users annotate in their browsers, in 3D Slicer or from Python, on one model."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from trocar.cli.fields import add_threads

TOKEN_VARIABLE = "TROCAR_TOKEN"


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.set_defaults(run=serve)
    parser.add_argument(
        "--project", type=Path, default=Path("trocar-project"), metavar="DIR", help="everything is kept here"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=int, default=8017, help="(8017)")
    parser.add_argument(
        "--token", help=f"what clients must show; needed on a public address; better as {TOKEN_VARIABLE}"
    )
    parser.add_argument(
        "--root", action="append", default=[], metavar="[NAME=]DIR", help="a folder whose files clients may open"
    )
    parser.add_argument("--allow-host", action="append", default=[], help="another name by which browsers may call")
    parser.add_argument("--model", default="nano", help="see `trocar models`, or a weights file (nano)")
    parser.add_argument("--memory", default="recent", metavar="NAME[:key=value,...]", help="see `trocar policies`")
    parser.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
    add_threads(parser)
    parser.add_argument(
        "--class-model",
        default="auto",
        metavar="NAME|FILE",
        help="who knows classes, or none (the model's own)",
    )
    parser.add_argument("--database", default="", metavar="URL", help="PostgreSQL instead of SQLite in the project")
    parser.add_argument(
        "--keep", type=float, default=24.0, metavar="HOURS", help="downloads, and uploads that nobody opened (24)"
    )
    parser.add_argument("--max-upload", type=int, default=16384, metavar="MIB", help="of one upload (16384)")
    parser.add_argument("--max-volume", type=int, default=4096, metavar="MIB", help="of one unpacked volume (4096)")


def serve(options: argparse.Namespace) -> int:
    """Serve until interrupted."""
    try:
        import uvicorn

        from trocar.serve.app import make_app
    except ModuleNotFoundError as error:
        raise ValueError(f"the server needs {error.name}: install trocar[serve]") from error
    from trocar.serve.errors import Refusal
    from trocar.serve.service import Service
    from trocar.serve.settings import MIB, Limits, ServeSettings

    settings = ServeSettings(
        folder=options.project.absolute(),
        roots=dict(_root(text) for text in options.root),
        token=options.token or os.environ.get(TOKEN_VARIABLE, ""),
        model=options.model,
        memory=options.memory,
        device=options.device,
        class_model="" if options.class_model == "none" else options.class_model,
        database=options.database,
        host=options.host,
        hosts=tuple(options.allow_host),
        kept_s=options.keep * 3600,
        limits=Limits(upload_bytes=options.max_upload * MIB, volume_bytes=options.max_volume * MIB),
    )
    try:
        service = Service(settings)
    except Refusal as refusal:
        raise ValueError(str(refusal)) from refusal
    where = f"[{options.host}]" if ":" in options.host else options.host
    print(f"http://{where}:{options.port}/  project {settings.folder}", flush=True)
    server = uvicorn.Config(
        make_app(service), options.host, options.port, log_level="warning", timeout_graceful_shutdown=3
    )
    uvicorn.Server(server).run()
    return 0


def _root(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    path = Path(folder if equals else text).absolute()
    return (name if equals else path.name or "root"), path
