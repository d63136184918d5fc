"""`trocar bench speed`: frames a second over a matrix of networks, input sizes, objects, policies, devices and modes.

Each cell is measured in a fresh process, one after the other (`bench/speed_cell.py`); with `beside` it is also run
frame by frame beside transformers' session (`bench/speed_beside.py`). Without a video of the user's own the packaged
sequence is written as one of any size, so that the command needs no data.
"""

from __future__ import annotations

import itertools
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from trocar.bench.demo import demo_prompts, demo_source
from trocar.bench.speed_beside import measure_beside
from trocar.bench.speed_cell import Cell, How, measure_cell, waiting
from trocar.formats import open_source
from trocar.formats.h264 import write_video
from trocar.load import UnknownName, best_device, load_memory
from trocar.machine import load_average
from trocar.model.precision import PRECISIONS
from trocar.model.registry import MODELS
from trocar.prompts import Box
from trocar.threads import processor_count
from trocar.track.economy import said_economy

FPS = 25
Measure = Callable[[Cell, How], dict[str, Any]]
ROW = (0.3, 0.7)  # of the rows: where boxes lie that are put on a video of the user's


@dataclass(frozen=True)
class SpeedMatrix:
    """What is measured: every combination.

    Args:
        models: names of `trocar models`, or weights files.
        sides: of the network's input in pixels; 0 for each network's own.
        objects: how many are tracked.
        memories: policies, as `load_memory` takes them.
        devices: "cpu", "cuda", "mps"; none for the fastest there is.
        precisions: as `load` takes them.
        economies: as `said_economy` takes them; "off" is exact.
        beside: "transformers" to run its session too, with the same weights, in turns.
        random_weights: take the models' sizes and draw their weights: time hardly depends on them, and published ones
            may not be at hand.
        frames: how many count, after `warm_up`; from the 17th on windows and pointers are full.
        warm_up: how many go before them.
        threads: of each operation; 0 for the rule of `trocar/threads.py`.
        waits: how threads wait for one another, see `Cell`; "rule" leaves it to that rule.
        aheads: whether the next frame is read and encoded beside the tracking, as `trocar segment` does.
        rows: of the packaged sequence as a video, in pixels; a video of the user's has its own.
        columns: likewise.
    """

    models: tuple[str, ...] = ("nano",)
    sides: tuple[int, ...] = (0,)
    objects: tuple[int, ...] = (1, 4)
    memories: tuple[str, ...] = ("recent",)
    devices: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ("fp32",)
    economies: tuple[str, ...] = ("off",)
    beside: Literal["nothing", "transformers"] = "nothing"
    random_weights: bool = False
    frames: int = 40
    warm_up: int = 20
    threads: tuple[int, ...] = (0,)
    waits: tuple[Literal["rule", "passive", "active", "default"], ...] = ("rule",)
    aheads: tuple[bool, ...] = (True,)
    rows: int = 540
    columns: int = 960

    def __post_init__(self) -> None:
        least = {"frames": 1, "warm_up": 1, "rows": 16, "columns": 16}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"speed: {name} is {getattr(self, name)} and must be {value} or more")
        for name in ("models", "sides", "objects", "memories", "precisions", "economies", "threads", "waits", "aheads"):
            if not getattr(self, name):
                raise ValueError(f"speed: {name} is empty: name at least one")
        if min(self.objects) < 1 or min(self.threads) < 0:
            raise ValueError("speed: objects must be 1 or more, and threads 0 or more")
        if min(self.sides) < 0 or any(side % 32 for side in self.sides):
            raise ValueError("speed: sides must be 0 or multiples of 32")
        if self.rows % 2 or self.columns % 2:
            raise ValueError("speed: H.264 stores colour at half size: rows and columns must be even")

    def cells(self) -> list[Cell]:
        """Every combination, checked as far as can be without a run.

        Raises:
            ValueError: no such device, policy or economy, or models without weights to draw.
        """
        devices = self.devices or (best_device(),)
        for name in devices:
            if name not in ("cpu", "cuda", "mps") or (name != "cpu" and name != best_device()):
                raise ValueError(f"speed: there is no device {name!r} here: choose cpu" + _or_best())
        for memory in self.memories:
            load_memory(memory)
        for precision in self.precisions:
            if precision not in PRECISIONS:
                raise UnknownName("precision", precision, PRECISIONS)
        for economy in self.economies:
            said_economy(economy)
        for model in self.models:
            if model not in MODELS and not Path(model).is_file():
                raise UnknownName("model", model, MODELS)
            if self.random_weights and (model not in MODELS or not MODELS[model].config.remembers):
                known = ", ".join(name for name, info in MODELS.items() if info.config.remembers)
                raise ValueError(f"speed: weights can be drawn for {known}, not for {model!r}")
        order: dict[str, Sequence[Any]] = {
            "model": self.models,
            "side": self.sides,
            "memory": self.memories,
            "device": devices,
            "precision": self.precisions,
            "economy": self.economies,
            "objects": self.objects,
            "threads": self.threads,
            "wait": self.waits,
            "ahead": self.aheads,
        }
        return [Cell(**dict(zip(order, one, strict=True))) for one in itertools.product(*order.values())]


def run_matrix(
    matrix: SpeedMatrix,
    video: Path | None = None,
    report: Callable[[int, int], object] = lambda done, total: None,
) -> dict[str, Any]:
    """Measure every cell.

    Args:
        matrix: what is measured.
        video: what is tracked through; None for the packaged sequence.
        report: told how many of how many runs are done.

    Returns:
        A report that JSON takes: the machine, the source, the matrix, `cells` (see `measure_cell`), and `beside` (see
        `measure_beside`).

    Raises:
        ValueError, FileNotFoundError: a name or a file is wrong; the message is the loader's.
    """
    cells = matrix.cells()
    jobs: list[tuple[str, Measure, Cell]] = [("cells", _in_own_process, cell) for cell in cells]
    if matrix.beside == "transformers":
        jobs += [("beside", measure_beside, cell) for cell in cells]
    results: dict[str, list[dict[str, Any]]] = {"cells": [], "beside": []}
    with tempfile.TemporaryDirectory(prefix="trocar-") as folder:
        path, boxes = (Path(video), _row_of_boxes) if video else (Path(folder) / "packaged.mp4", _packaged_boxes)
        if video is None:
            write_video(path, _packaged_frames(matrix), FPS)
        source = open_source(path)
        size, length = source.geometry.size, len(source)
        there = boxes(size, max(matrix.objects))
        how = How(str(path), there, matrix.frames, matrix.warm_up, matrix.random_weights)
        for done, (kind, measure, cell) in enumerate(jobs):
            report(done, len(jobs))
            results[kind].append(measure(cell, how))
    return {
        "machine": _machine(),
        "source": {"name": video.name if video else "packaged sequence", "frames": length, "size": list(size)},
        "matrix": asdict(matrix),
        **results,
    }


def _in_own_process(cell: Cell, how: How) -> dict[str, Any]:
    """`measure_cell` in a process whose memory nothing else has used."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            with waiting(cell.wait):
                return pool.submit(_plainly, cell, how).result()
        except BrokenProcessPool:
            raise MemoryError("a cell's process was killed, as happens when memory runs out") from None


def _plainly(cell: Cell, how: How) -> dict[str, Any]:
    """Its result; errors of a kind that travels from process to process."""
    try:
        return measure_cell(cell, how)
    except ValueError as error:
        raise ValueError(str(error)) from None


def _packaged_frames(matrix: SpeedMatrix) -> Iterator[NDArray[np.uint8]]:
    """The packaged sequence there and back again, at the matrix' size and as long as a run."""
    packaged = demo_source()
    images = [packaged[number].image for number in range(len(packaged))]
    there_and_back = [*images, *images[-2:0:-1]]
    for number in range(matrix.warm_up + matrix.frames):
        image = there_and_back[number % len(there_and_back)]
        yield cv2.resize(image, (matrix.columns, matrix.rows), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def _packaged_boxes(size: tuple[int, int], objects: int) -> tuple[tuple[float, float, float, float], ...]:
    """Boxes of the real objects of the packaged sequence."""
    rows, columns = demo_source().geometry.size
    down, across = size[0] / rows, size[1] / columns
    boxes = [placed.prompt for placed in demo_prompts() if isinstance(placed.prompt, Box)]
    return tuple((one.x0 * across, one.y0 * down, one.x1 * across, one.y1 * down) for one in boxes)


def _row_of_boxes(size: tuple[int, int], objects: int) -> tuple[tuple[float, float, float, float], ...]:
    """Boxes side by side over the middle of the frame: what is in them does not matter."""
    (rows, columns), (low, high) = size, ROW
    width = columns / objects
    return tuple(((n + 0.1) * width, rows * low, (n + 0.9) * width, rows * high) for n in range(objects))


def _machine() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": processor_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "load_at_the_end": load_average(),
    }


def _processor() -> str:
    """Its name, as far as the system says it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _or_best() -> str:
    return "" if best_device() == "cpu" else f" or {best_device()}"


def table_rows(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """A line for each cell, for people."""
    cells = figures["cells"]
    return [_row(*pair) for pair in zip(cells, figures["beside"] or [None] * len(cells), strict=True)]


def _row(one: dict[str, Any], beside: dict[str, Any] | None) -> dict[str, Any]:
    wall = one["end_to_end"]["wall_ms"]
    row = {
        "model": f"{one['model']}@{one['side']}",
        "objects": one["objects"],
        "memory": one["memory"],
        "device": f"{one['device']} {one['precision']}",
        "mode": one["economy"],
        "threads": _threads(one),
        "frames/s": one["frames_per_second"],
        "ms": f"{wall['mean']:.4g} ({wall['q25']:.4g}-{wall['q75']:.4g})",
        "cpu ms": f"{one['end_to_end']['processor_ms']['mean']:.4g}",
        "MB": round(one["peak_host_mb"]),
        "of floor": one["floor"]["frame_over_floor"],
    }
    if one["peak_device_mb"] is not None:
        row["GPU MB"] = round(one["peak_device_mb"])
    if beside:
        faster = beside["times_faster"]
        row["x transformers"] = f"{faster['wall_ms']['median']:.2f} (cpu {faster['processor_ms']['median']:.2f})"
        row["IoU"] = f"{beside['iou']['mean']:.4f}"
    return row


def _threads(one: dict[str, Any]) -> str:
    """How many, whether another works ahead, and how they wait."""
    wait = one["machine"]["wait"] or "default"
    return f"{one['machine']['threads']}{' + ahead' if one['ahead'] else ''}, {wait}"
