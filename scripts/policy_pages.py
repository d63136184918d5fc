"""Write the page and the picture of every memory policy into docs/reference/policies, and the overview of them all.

A page tells what the policy's own file tells, and shows which frames it reads at t = 100 of a scripted run that is the
same for all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from read_picture import Event, Reading, picture
from torch import Tensor

from trocar.memory import POLICIES
from trocar.memory.description import describe
from trocar.memory.knobs import as_text
from trocar.memory.scripted import Answer, ScriptedTrack, made_up

FOLDER = Path(__file__).resolve().parents[1] / "docs/reference/policies"
MADE = "<!-- Made by scripts/policy_pages.py from the policies' own files: change those, then run it again. -->"

NOW = 100
SURE = (range(8, 15), range(30, 38), range(48, 54), range(78, 85))
RIVAL = (20, 42, 87)
ABSENT = range(60, 76)
POOR = range(92, 95)
UNSURE = 98
SCRIPT = """\
The object is prompted on frame 0, drifts slowly to the right, and is seen with a predicted IoU of 0.9 and an object
score of 5, but for this:

- *sure* (8 to 14, 30 to 37, 48 to 53, 78 to 84): predicted IoU 0.97;
- *rival* (20, 42, 87): another candidate takes in a look-alike far away;
- *absent* (60 to 75): no mask, and an object score of -5;
- *poor* (92 to 94): predicted IoU 0.25;
- *unsure* (98): an object score of 1, and candidates with predicted IoU 0.34, 0.28 and 0.26.

Image features and spatial memories change slowly with time: frames that are far apart look less alike. A bar is a
spatial memory that is read. The number above it is its slot; where it has none, how often it is read. The tick below
is an object pointer. SAM 2 has slots 0 to 5 for recent frames and slot 6 for prompts."""
EVENTS = (
    Event(0, 0, "prompt", "#ffe8d9"),
    *(Event(stretch[0], stretch[-1], "sure", "#e3f3e6") for stretch in SURE),
    *(Event(frame, frame, "rival", "#eadcf7") for frame in RIVAL),
    Event(ABSENT[0], ABSENT[-1], "absent", "#e9ecef"),
    Event(POOR[0], POOR[-1], "poor", "#fbdcdc"),
    Event(UNSURE, UNSURE, "unsure", "#fff0b3"),
)


def answer(time: int) -> Answer:
    """What the decoder says about a frame of the scripted run."""
    if time in ABSENT:
        return Answer((None, None, None), (0.3, 0.2, 0.1), -5.0)
    x = 2 + time // 15
    own, taller, tallest = (x, 5, x + 6, 11), (x, 5, x + 6, 12), (x, 4, x + 6, 12)
    if time == UNSURE:
        return Answer((own, taller, tallest), (0.34, 0.28, 0.26), 1.0)
    boxes = (own, (0, 13, 2, 15), taller) if time in RIVAL else (own, taller, tallest)
    best = 0.97 if any(time in stretch for stretch in SURE) else 0.25 if time in POOR else 0.9
    return Answer(boxes, (best, best / 2, best / 3), 5.0)


def scene(time: int, channels: int) -> Tensor:
    """A map that changes slowly: a blend of two made-up ones that stand 25 frames apart, and a little of its own."""
    before, part = time // 25, time % 25 / 25
    blend = made_up(-before - 1, channels) * (1 - part) + made_up(-before - 2, channels) * part
    return blend + 0.2 * made_up(time, channels)


@cache
def readings(name: str) -> tuple[Reading, ...]:
    """What a policy reads at t = 100, one a path."""
    track = ScriptedTrack(POLICIES[name](), lambda time: scene(time, 8), lambda time: scene(time, 4))
    track.prompt(0, (2, 5, 8, 11))
    track.run(range(1, NOW), {time: answer(time) for time in range(1, NOW)})
    return tuple(
        Reading(
            name if number == 1 else f"path {number}",
            number,
            tuple(track.slots(plan)),
            tuple(time for time, _ in track.pointers(plan)),
        )
        for number, plan in enumerate(track.read(NOW), 1)
    )


def in_words(reading: Reading) -> str:
    """A reading as a sentence."""
    spatial = [
        f"{frame} ({'no code' if slot is None else f'slot {slot}'}{f', {times} times' if times > 1 else ''})"
        for (frame, slot), times in Counter(reading.spatial).items()
    ]
    said = f"spatial memories of {', '.join(spatial)}" if spatial else "no spatial memories"
    pointers = f"pointers of {', '.join(_ranges(sorted(reading.pointers)))}" if reading.pointers else "no pointers"
    return f"`{reading.label}` reads {said}; {pointers}."


def _ranges(frames: list[int]) -> Iterator[str]:
    first = 0
    for index, frame in enumerate(frames):
        if index + 1 == len(frames) or frames[index + 1] != frame + 1:
            yield str(frame) if frames[first] == frame else f"{frames[first]} to {frame}"
            first = index + 1


def page(name: str) -> str:
    """A policy's page, as Markdown."""
    policy = describe(POLICIES[name])
    facts = {"paper": policy.paper, "reads": policy.reads, "keeps": policy.keeps, "masks": policy.masks}
    facts["modes"] = ", ".join(f"`{mode}`" for mode in policy.modes)
    lines = [MADE, "", f"# {name}", "", _sentence(policy.about), ""]
    lines += _table(("", ""), [(fact, said) for fact, said in facts.items() if said])
    lines += ["", f"![Which frames {name} reads at t = {NOW}]({name}.svg)", ""]
    lines += [f"At t = {NOW} of the [scripted run](index.md#the-scripted-run):", ""]
    lines += [f"- {in_words(reading)}" for reading in readings(name)]
    for remark in policy.remarks:
        lines += ["", remark]
    if policy.knobs:
        lines += ["", "## Knobs", ""]
        rows = [(f"`{knob.name}`", knob.accepts, f"`{as_text(knob.default)}`", knob.meaning) for knob in policy.knobs]
        lines += _table(("knob", "takes", "default", "meaning"), rows)
    for note in policy.notes:
        lines += ["", note]
    return "\n".join(lines) + "\n"


def overview() -> str:
    """The page of all policies, as Markdown."""
    told = {name: describe(policy) for name, policy in POLICIES.items()}
    rows = [
        (f"[`{name}`]({name}.md)", _sentence(policy.about), policy.paper, policy.masks.partition(":")[0])
        for name, policy in told.items()
    ]
    lines = [MADE, "", "# Memory policies", ""]
    lines += ["What a policy is, and how to write one: [memory](../../explanation/memory.md)."]
    lines += ["", *_table(("policy", "what it is", "paper", "masks"), rows)]
    lines += ["", f"## What they read at t = {NOW}", "", f"![Which frames each policy reads at t = {NOW}](all.svg)"]
    lines += ["", "## The scripted run", "", SCRIPT]
    return "\n".join(lines) + "\n"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def files() -> dict[str, str]:
    """All files of the folder by name."""
    everyone = [reading for name in POLICIES for reading in readings(name)]
    made = {"index.md": overview(), "all.svg": picture(f"What each policy reads at t = {NOW}", everyone, EVENTS, NOW)}
    for name in POLICIES:
        made[f"{name}.md"] = page(name)
        made[f"{name}.svg"] = picture(f"What {name} reads at t = {NOW}", readings(name), EVENTS, NOW)
    return made


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, text in files().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
        print(FOLDER / file)
