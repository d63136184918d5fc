"""A cell beside transformers' Sam2Video session: same weights, prompts and frames, in turns.

Each has a process of its own, so that neither's threads and settings reach the other, and computes a few frames while
the other waits; in each round the other one goes first, so that what slows the machine for a while slows both. Both
begin with the decoded frame and end with masks of its size on the host. Resizing to the network's input is ours for
both: transformers' own processor asks for torchvision, which this project does without, and resizes in the same way.
Masks go back to the frame's size as that processor does it. Where a thread of ours works ahead, a turn ends when that
has nothing left to do, and so never goes on in the other's time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from trocar.bench.speed_cell import PRESENCE, Cell, How, cell_session, clocks, spread, waiting
from trocar.bench.transformers_twin import drawn_pair, twin_of
from trocar.formats import open_source
from trocar.frames import Frame, FrameSource
from trocar.load import load
from trocar.machine import machine_record, resident_mb
from trocar.model.network import Network
from trocar.model.precision import in_precision
from trocar.model.registry import model_info
from trocar.prompts import Box
from trocar.track.features import to_network_input

Side = Literal["transformers", "ours"]
TURN = {"cpu": 4}  # frames; priced modes leave some of them out
LONG_TURN = 32  # on GPUs, where the end of a turn would weigh too much
HELD = 64  # decoded frames in memory at most; they are looped
FAITHFUL = "recent:mode=faithful"  # what transformers does
LOOK_S, IDLE_S = 0.004, 0.001  # a process that used less than this between two looks does nothing


class HeldFrames:
    """Decoded frames of a source, `length` long by starting over."""

    def __init__(self, source: FrameSource, length: int) -> None:
        self.name, self.geometry, self.rate_hz = source.name, source.geometry, source.rate_hz
        self._images = [source[index].image for index in range(min(HELD, length, len(source)))]
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Frame:
        if not 0 <= index < self._length:
            raise IndexError(index)
        return Frame(index, self._images[index % len(self._images)])


class TheirSession:
    """transformers' session on frames as they come.

    Args:
        model: a Sam2VideoModel on its device.
        side: of its input in pixels.
        size: (rows, columns) of the frames.
        boxes: the objects on the first frame.
    """

    def __init__(self, model: Any, side: int, size: tuple[int, int], boxes: Sequence[Box]) -> None:
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        weight = next(model.parameters())
        self._model, self._side, self._size = model, side, size
        self._session = Sam2VideoInferenceSession(
            video_height=size[0],
            video_width=size[1],
            dtype=weight.dtype,
            inference_device=weight.device,
            inference_state_device=weight.device,
            video_storage_device=weight.device,
        )
        scale = torch.tensor([side / size[1], side / size[0]])
        for number, box in enumerate(boxes, start=1):
            corners = torch.tensor([[box.x0, box.y0], [box.x1, box.y1]]) * scale
            points = {"point_coords": corners[None, None], "point_labels": torch.tensor([2, 3])[None, None]}
            self._session.add_point_inputs(self._session.obj_id_to_idx(number), 0, points)
        self._session.obj_with_new_inputs = list(range(1, len(boxes) + 1))

    @torch.inference_mode()
    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(objects, rows, columns) masks of the next frame."""
        pixels = to_network_input(image, self._side)[None].to(next(self._model.parameters()))
        logits = self._model(self._session, frame=pixels).pred_masks.float()
        large = F.interpolate(logits, self._size, mode="bilinear", align_corners=False)
        masks: NDArray[np.bool_] = (large[:, 0] > 0).cpu().numpy()
        return masks


def measure_beside(cell: Cell, how: How) -> dict[str, Any]:
    """Run one cell and transformers' session in turns.

    Returns:
        Of both the time of a frame and resident memory at the end, how many times faster ours is (turn by turn, median
        and quartiles, and all frames that count), and the masks' IoU, object or background, whichever is smaller: over
        these frames and all objects the mean, the median and the least; `mask_share` is the part of the frame that
        theirs cover, as equal masks of nothing would prove nothing.

    Raises:
        ValueError: transformers has no such network, or is not installed.
    """
    cell = replace(cell, memory=FAITHFUL if cell.memory == "recent" else cell.memory)
    turns = _turns(cell, how)
    times: dict[Side, list[tuple[float, float]]] = {"transformers": [], "ours": []}
    overlaps, shares = [], []
    with closing(_Other("transformers", cell, how)) as theirs, closing(_Other("ours", cell, how)) as ours:
        sides: list[tuple[Side, _Other]] = [("transformers", theirs), ("ours", ours)]
        for number, frames in enumerate(turns):
            made = {}
            for name, side in sides[:: 1 if number % 2 else -1]:
                wall, processor, made[name] = side.take(frames)
                times[name].append((1000 * wall / frames, 1000 * processor / frames))
            if number:
                for a, b in zip(made["transformers"], made["ours"], strict=True):
                    overlaps += [_iou(one, other) for one, other in zip(a, b, strict=True)]
                    shares.append(float(a.mean()))
        ended = {name: side.end() for name, side in sides}
    figures = {name: {"wall_ms": _column(one, 0), "processor_ms": _column(one, 1)} for name, one in times.items()}
    return {
        **asdict(cell),
        "weights": "drawn" if how.random_weights else "trained",
        "frames": sum(turns[1:]),
        "warm_up": how.warm_up,
        **ended["ours"],
        **{
            name: {
                **{clock: spread(values) for clock, values in one.items()},
                "resident_mb": ended[name]["resident_mb"],
            }
            for name, one in figures.items()
        },
        "times_faster": {
            clock: _times_faster(figures["transformers"][clock], figures["ours"][clock])
            for clock in ("wall_ms", "processor_ms")
        },
        "iou": {**spread(overlaps), "least": round(min(overlaps), 4)},
        "mask_share": spread(shares),
    }


class _Other:
    """A process that tracks when it is asked to."""

    def __init__(self, name: Side, cell: Cell, how: How) -> None:
        context = get_context("spawn")
        self._connection, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(far, name, cell, how), daemon=True)
        with waiting(cell.wait):
            self._process.start()
        far.close()
        self._receive()

    def take(self, frames: int) -> tuple[float, float, list[NDArray[np.bool_]]]:
        """So many frames more: seconds on the clock, of processors, and the masks."""
        self._connection.send(frames)
        wall, processor, packed = self._receive()
        return (
            wall,
            processor,
            [np.unpackbits(bits, count=math.prod(shape)).reshape(shape) > 0 for bits, shape in packed],
        )

    def end(self) -> dict[str, Any]:
        """What it has to say at the end."""
        self._connection.send(0)
        said: dict[str, Any] = self._receive()
        return said

    def close(self) -> None:
        self._connection.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.terminate()

    def _receive(self) -> Any:
        try:
            error, answer = self._connection.recv()
        except EOFError:
            raise MemoryError("a process was killed, as happens when memory runs out") from None
        if error is not None:
            raise ValueError(error)
        return answer


def _serve(connection: Connection, name: Side, cell: Cell, how: How) -> None:
    """The other end: say ready, then take turns until asked for none."""
    try:
        if cell.threads:
            torch.set_num_threads(cell.threads)
        tracked, network = _their_run(cell, how) if name == "transformers" else _our_run(cell, how)
        device = next(network.parameters()).device
        connection.send((None, "ready"))
        while frames := connection.recv():
            before = clocks(device)
            masks = [next(tracked) for _ in range(frames)]
            if cell.ahead and name == "ours":
                _come_to_rest()
            after = clocks(device)
            packed = [(np.packbits(one), one.shape) for one in masks]
            connection.send((None, (after[0] - before[0], after[1] - before[1], packed)))
        said = {"side": cell.side or network.config.image_size, "resident_mb": round(resident_mb(), 1)}
        connection.send((None, said | ({"machine": machine_record(network)} if name == "ours" else {})))
    except (ValueError, OSError) as error:
        connection.send((str(error), None))
    except (EOFError, KeyboardInterrupt):
        pass


def _come_to_rest() -> None:
    """Wait until the thread that works ahead has nothing to do."""
    before = time.process_time()
    while True:
        time.sleep(LOOK_S)
        now = time.process_time()
        if now - before < IDLE_S:
            return
        before = now


def _turns(cell: Cell, how: How) -> list[int]:
    """Frames of each turn, of which the first is the warm-up."""
    turn = TURN.get(cell.device, LONG_TURN)
    return [how.warm_up] + [turn] * math.ceil(how.frames / turn)


def _frames(cell: Cell, how: How) -> HeldFrames:
    return HeldFrames(open_source(how.video), sum(_turns(cell, how)))


def _their_run(cell: Cell, how: How) -> tuple[Iterator[NDArray[np.bool_]], Any]:
    if how.random_weights:
        model, side = _drawn(cell)[0], cell.side or model_info(cell.model).config.image_size
    else:
        network = load(cell.model, "cpu")
        side = cell.side or network.config.image_size
        model = twin_of(network, side)
    # int8 is ours alone
    model = model.to(cell.device, torch.bfloat16 if cell.precision == "bf16" else torch.float32)
    source = _frames(cell, how)
    session = TheirSession(model, side, source.geometry.size, how.prompts(cell.objects))
    return (session(source[frame].image) for frame in range(len(source))), model


def _our_run(cell: Cell, how: How) -> tuple[Iterator[NDArray[np.bool_]], Network]:
    if how.random_weights:
        network = in_precision(_drawn(cell)[1].to(cell.device), cell.precision)
    else:
        network = load(cell.model, cell.device, cell.precision)
    session = cell_session(cell, how, network, _frames(cell, how), cell.ahead)
    return (np.stack([one.masks[name] for name in sorted(one.masks)]) for one in session.propagate()), network


def _drawn(cell: Cell) -> tuple[Any, Network]:
    config = model_info(cell.model).config
    return drawn_pair(replace(config, image_size=cell.side or config.image_size), PRESENCE)


def _column(times: Sequence[tuple[float, float]], which: int) -> list[float]:
    """Of the turns that count."""
    return [one[which] for one in times[1:]]


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Of the object, or of what is around it where it fills more than half of the frame, as drawn weights do."""
    if 2 * a.sum() > a.size:
        a, b = ~a, ~b
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else 1.0


def _times_faster(theirs: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    """Turn by turn, and all of them."""
    found = spread([one / max(other, 1e-9) for one, other in zip(theirs, ours, strict=True)])
    found.pop("mean")
    return {**found, "all": round(sum(theirs) / max(sum(ours), 1e-9), 3)}
