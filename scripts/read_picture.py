"""Draw which frames memory policies read, as SVG: one strip for each, with the frames from left to right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

LEFT, STEP, RIGHT = 160, 8, 28  # px: room for names, a frame, margin
HEAD, STRIP, FOOT = 40, 58, 62  # px: what happens, one strip, axis and legend
BAR, TICK = 22, 7  # px: height of a spatial memory and of a pointer
INK, GREY, LINE = "#1f2937", "#6b7280", "#d1d5db"
RECENT = ("#0b3c8c", "#1d5bbf", "#3d7ad6", "#6697e2", "#8fb3eb", "#b4cdf2")  # slots 0, the newest, to 5
PROMPTS, LONG_TERM, NO_CODE, POINTER = "#d9480f", "#2b8a3e", "#862e9c", "#868e96"
FONT = "font-family='system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif'"


@dataclass(frozen=True)
class Event:
    """A stretch of frames, both ends included, in which something happens."""

    first: int
    last: int
    label: str
    colour: str


@dataclass(frozen=True)
class Reading:
    """What a policy reads, or one of its paths.

    Args:
        label: stands before its strip.
        path: which of several, from 1 on.
        spatial: (frame, slot) of its spatial memories, as in `SpatialItem`.
        pointers: frames of its object pointers.
    """

    label: str
    path: int
    spatial: tuple[tuple[int, int | None], ...]
    pointers: tuple[int, ...]


def picture(title: str, readings: Sequence[Reading], events: Sequence[Event], now: int) -> str:
    """The strips one under the other, above an axis of frames 0 to `now`."""
    width, bottom = LEFT + (now + 1) * STEP + RIGHT, HEAD + len(readings) * STRIP
    drawn = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {bottom + FOOT}' role='img' {FONT}>",
        f"<title>{escape(title)}</title>",
        f"<rect width='{width}' height='{bottom + FOOT}' rx='6' fill='#ffffff'/>",
        *(part for event in events for part in _event(event, bottom)),
        *(part for index, one in enumerate(readings) for part in _strip(one, HEAD + index * STRIP, now)),
        *_axis(bottom, now),
        *_legend(bottom + 44),
        "</svg>",
    ]
    return "\n".join(drawn) + "\n"


def _x(frame: int) -> int:
    return LEFT + frame * STEP


def _text(x: float, y: float, said: str, size: int = 11, colour: str = GREY, more: str = "") -> str:
    return f"<text x='{x}' y='{y}' font-size='{size}' fill='{colour}' {more}>{escape(said)}</text>"


def _event(event: Event, bottom: int) -> list[str]:
    x, width = _x(event.first), (event.last - event.first + 1) * STEP
    middle = x + width / 2
    return [
        f"<rect x='{x}' y='24' width='{width}' height='{bottom - 24}' fill='{event.colour}'/>",
        _text(middle, 18, event.label, 11, GREY, "text-anchor='middle'") if event.label else "",
    ]


def _strip(reading: Reading, top: int, now: int) -> list[str]:
    base = top + 42
    name = (INK, "text-anchor='end' font-weight='600'") if reading.path == 1 else (GREY, "text-anchor='end'")
    drawn = [
        f"<line x1='{_x(0)}' y1='{base}' x2='{_x(now + 1)}' y2='{base}' stroke='{LINE}'/>",
        _text(LEFT - 14, base - 6, reading.label, 13, *name),
    ]
    for (frame, slot), times in Counter(reading.spatial).items():
        x = _x(frame) + 0.5
        drawn.append(_bar(x, base, f"fill='{_colour(slot)}'"))
        above = slot if slot is not None else times if times > 1 else ""
        drawn.append(_text(x + (STEP - 1) / 2, base - BAR - 3, str(above), 9, INK, "text-anchor='middle'"))
    drawn += [
        f"<rect x='{_x(frame) + 2}' y='{base + 2}' width='{STEP - 4}' height='{TICK}' fill='{POINTER}'/>"
        for frame in reading.pointers
    ]
    drawn.append(_bar(_x(now) + 0.5, base, f"fill='none' stroke='{INK}'"))
    return drawn


def _bar(x: float, base: float, paint: str) -> str:
    return f"<rect x='{x}' y='{base - BAR}' width='{STEP - 1}' height='{BAR}' rx='1' {paint}/>"


def _colour(slot: int | None) -> str:
    if slot is None:
        return NO_CODE
    return RECENT[slot] if slot < len(RECENT) else PROMPTS if slot == len(RECENT) else LONG_TERM


def _axis(top: int, now: int) -> list[str]:
    drawn = []
    for frame in range(0, now + 1, 10):
        x = _x(frame) + STEP / 2
        drawn.append(f"<line x1='{x}' y1='{top}' x2='{x}' y2='{top + 4}' stroke='{GREY}'/>")
        label = f"t = {frame}" if frame == now else str(frame)
        drawn.append(_text(x, top + 16, label, 11, INK if frame == now else GREY, "text-anchor='middle'"))
    return drawn


def _legend(y: int) -> list[str]:
    """What the colours mean, in a line."""
    x, drawn = LEFT // 2, []
    words = [
        (RECENT[0], "slots 0 (newest) to 5 (palest)"),
        (PROMPTS, "slot 6, that of prompts"),
        (LONG_TERM, "long-term slots, 7 on"),
        (NO_CODE, "no temporal code (times read)"),
        (POINTER, "object pointer"),
    ]
    for colour, said in words:
        height = TICK if colour == POINTER else 10
        drawn.append(f"<rect x='{x}' y='{y - height + 1}' width='8' height='{height}' rx='1' fill='{colour}'/>")
        drawn.append(_text(x + 13, y, said))
        x += 30 + 6 * len(said)
    return drawn
