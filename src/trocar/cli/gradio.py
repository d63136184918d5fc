"""`trocar gradio`: a small page for one video or volume after the other, for trying things and for notebooks."""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import threading
from pathlib import Path

from trocar.cli.fields import add_threads


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.set_defaults(run=gradio)
    parser.add_argument("--port", type=int, default=7860, help="(7860)")
    parser.add_argument("--model", default="nano", help="see `trocar models`, or a weights file (nano)")
    parser.add_argument("--memory", default="recent", metavar="NAME[:key=value,...]", help="see `trocar policies`")
    parser.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
    add_threads(parser)
    parser.add_argument("--max-upload", type=int, default=16384, metavar="MIB", help="of one file (16384)")


def gradio(options: argparse.Namespace) -> int:
    """Serve the page until interrupted, to this machine alone."""
    from trocar.load import load_memory

    load_memory(options.memory)  # a bad name is said now, not on the first click
    with tempfile.TemporaryDirectory(prefix="trocar-gradio-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder) / "uploads")  # where Gradio keeps what is uploaded
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        try:
            from trocar.serve.gradio_app import GradioSettings, launch
        except ModuleNotFoundError as error:
            raise ValueError(f"the page needs {error.name}: install trocar[gradio,serve]") from error
        settings = GradioSettings(Path(folder), options.model, options.memory, options.device)
        print(launch(settings, options.port, options.max_upload).local_url, flush=True)
        _until_stopped()
    return 0


def _until_stopped() -> None:
    """Ctrl+C is raised as always; being asked to end by the system ends the page in order, too."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    stop.wait()
