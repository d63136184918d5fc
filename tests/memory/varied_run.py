"""A scripted run of many turns, for comparing a policy with `recent` plan by plan."""

from trocar.memory import MemoryPolicy
from trocar.memory.scripted import Answer, ScriptedTrack
from trocar.memory.seam import ReadPlan


def varied_run(policy: MemoryPolicy, direction: int, usual: Answer | None, absent: Answer) -> list[ReadPlan]:
    """Every plan of a run with prompts behind, ahead and adjacent, absences, and frames that are never visited."""
    track = ScriptedTrack(policy, direction=direction, length=60)  # type: ignore[arg-type]
    prompts = (10, 11, 30, 44)
    for time in prompts:
        track.prompt(time)
    plans = []
    for time in range(60)[::direction]:
        if time in prompts:
            track.prompt(time)
        elif time not in (20, 21, 22):
            plans += track.visit(time, absent if time % 9 == 0 else usual)
    return plans
