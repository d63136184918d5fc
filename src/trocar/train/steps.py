"""The two kinds of training step, on images and on clips, both through `trocar.track.propagate.step`.

Clips are gone through as SAM 2 does it (Ravi et al. 2024, appendix D.2): prompted frames first, so that those that come
later are remembered from the beginning, then the others in order; some are corrected by clicks, with the answer fed
back. All clips and objects of a step advance together, each along its own plan (`train/plan.py`): the n-th of the
frames that each object has to be tracked on are one call of `step`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from trocar.memory.none import NoMemory
from trocar.memory.seam import Record, Visit
from trocar.model import ImageFeatures, Network
from trocar.track.entries import StepSettings
from trocar.track.prompt_input import PromptInput
from trocar.track.propagate import Outcome, step
from trocar.track.rows import Task
from trocar.track.track import Track
from trocar.train.clips import Sample, image_batch
from trocar.train.lesson import Lesson, best_logits, correction
from trocar.train.plan import ClipPlan
from trocar.train.planned_memory import PlannedMemory
from trocar.train.prompts import EMPTY, first_prompt, mask_prompt
from trocar.train.semantic import class_targets
from trocar.train.tally import Tally

# The two rules of the released predictor that its training does without: they cut gradients.
TRAINING = StepSettings(stability_fallback=False, binarize_prompted=False)


def image_losses(
    network: Network, samples: Sequence[Sample], lesson: Lesson, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Losses of prompts on images: each image is encoded once and answers all its rows, then their corrections."""
    device = network.absent_pointer.device
    features = network.encode_image(image_batch(samples).to(device))
    image = [index for index, sample in enumerate(samples) for _ in sample.masks]
    masks = torch.cat([sample.masks[:, 0] for sample in samples])
    valid = torch.cat([sample.valid[:1] for sample in samples])[image]
    prompts = [first_prompt(mask, rng, lesson.boxes, lesson.prompts) for mask in masks]
    chosen = list(range(len(prompts)))
    tally, visit = Tally(lesson.losses, lesson.ambiguity, len(prompts)), Visit(0, 0)
    for turn in range(lesson.corrections + 1):
        tasks = [Task(Track(row, NoMemory()), visit, prompts[row], False, image[row]) for row in chosen]
        outcomes = step(network, features, tasks, TRAINING)
        tally.add(outcomes, masks[chosen].to(device), valid[chosen].to(device))
        if turn == lesson.corrections:
            break
        better = {
            row: correction(prompts[row], (masks[row], valid[row]), best_logits(outcome), lesson, rng)
            for row, outcome in zip(chosen, outcomes, strict=True)
        }
        chosen = [row for row, prompt in better.items() if prompt is not None]
        if not chosen:
            break
        prompts = [better.get(row) or prompt for row, prompt in enumerate(prompts)]
    return tally.losses()


@dataclass(eq=False)
class ClipObject:
    """One object of one clip.

    Args:
        track: its memory.
        plan: of the clip.
        images: number of the clip's first frame among those of all clips.
        masks: (T, S, S) bool.
        valid: (T, S, S) bool.
        target: its class by its number, -1 for none.
        first: the initial prompts, by place in the plan.
    """

    track: Track
    plan: ClipPlan
    images: int
    masks: Tensor
    valid: Tensor
    target: int
    first: dict[int, PromptInput] = field(default_factory=dict)

    @property
    def initial(self) -> list[int]:
        """The places with an initial prompt: the planned ones where the object shows.

        Raises:
            ValueError: it shows in none of them.
        """
        places = [place for place in self.plan.prompted if bool(self.masks[place].any())]
        if not places:
            raise ValueError(f"an object shows in none of the prompted frames {self.plan.prompted} of its clip")
        return places

    @property
    def rest(self) -> list[int]:
        """The other places, in order."""
        return [place for place in range(len(self.plan.frames)) if place not in self.first]

    @property
    def shown_by_mask(self) -> bool:
        return any(prompt.mask is not None for prompt in self.first.values())

    def visit(self, place: int) -> Visit:
        """Frames go by their place, as a clip may show one twice."""
        return Visit(place, self.plan.times[place], self.plan.direction)


Turn = tuple[ClipObject, int, PromptInput | None]  # an object, the place where it is, what is said there


def clip_losses(
    network: Network, samples: Sequence[Sample], lesson: Lesson, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Losses of tracking, see the head of this file. All clips have equally many frames.

    Where a mask shows every object on every frame nothing is answered, and there are no losses and no "reached".
    """
    objects = _objects(network, samples, lesson, rng)
    features = network.encode_image(image_batch(samples).to(network.absent_pointer.device))
    run = _Run(network, features, lesson, rng, Tally(lesson.losses, lesson.ambiguity, len(objects)))
    for turn in range(max(len(one.first) for one in objects)):
        asked: list[Turn] = []
        for one in objects:
            asked += [(one, place, prompt) for place, prompt in list(one.first.items())[turn : turn + 1]]
        outcomes = run.answer(asked, use_memory=False)
        if lesson.corrections and lesson.clicks.initial:
            outcomes = run.correct(asked, outcomes, use_memory=False)
        run.keep_prompted(asked, outcomes)
    chosen = _places_to_correct(objects, lesson, rng)
    for turn in range(max(len(one.rest) for one in objects)):
        tracked: list[Turn] = [(one, one.rest[turn], None) for one in objects if turn < len(one.rest)]
        outcomes = run.answer(tracked)
        wrong = [at for at, (one, _, _) in enumerate(tracked) if turn in chosen.get(one.track.object_id, ())]
        if wrong:
            turns, found = [tracked[at] for at in wrong], [outcomes[at] for at in wrong]
            run.keep_corrected(turns, found, run.correct(turns, found))
    return run.tally.losses(("semantic",) if network.semantic_head is not None else ())


def _objects(network: Network, samples: Sequence[Sample], lesson: Lesson, rng: np.random.Generator) -> list[ClipObject]:
    """All objects of all clips, with their initial prompts."""
    objects: list[ClipObject] = []
    semantic = network.config.semantic
    frames = len(samples[0].images)
    for number, sample in enumerate(samples):
        plan = sample.plan
        targets = class_targets(sample.names, semantic.names) if semantic else [-1] * len(sample.masks)
        for masks, target in zip(sample.masks, targets, strict=True):
            memory = PlannedMemory(frozenset(plan.times[place] for place in plan.long_term), lesson.memory)
            one = ClipObject(Track(len(objects), memory), plan, number * frames, masks, sample.valid, target)
            by_mask = rng.random() < lesson.prompts.mask
            one.first = {
                place: mask_prompt(masks[place])
                if by_mask
                else first_prompt(masks[place], rng, lesson.boxes, lesson.prompts)
                for place in one.initial
            }
            objects.append(one)
    return objects


def _places_to_correct(
    objects: Sequence[ClipObject], lesson: Lesson, rng: np.random.Generator
) -> dict[int, tuple[int, ...]]:
    """Which of the tracked frames of each object get corrections, by their turn.

    Objects with equally many prompted frames get the same ones.
    """
    clicks = lesson.clicks
    turns = min(len(one.rest) for one in objects)
    if not lesson.corrections or not turns:
        return {}
    rooms = {
        one.track.object_id: max(0, clicks.most - (len(one.first) if clicks.initial else 0))
        for one in objects
        if clicks.after_masks or not one.shown_by_mask
    }
    extra = {room: int(rng.integers(min(clicks.least, room), room + 1)) for room in sorted(set(rooms.values()))}
    drawn = [int(turn) for turn in rng.permutation(turns)]
    return {number: tuple(drawn[: extra[room]]) for number, room in rooms.items()}


@dataclass(eq=False)
class _Run:
    """What all objects of a step share."""

    network: Network
    features: ImageFeatures
    lesson: Lesson
    rng: np.random.Generator
    tally: Tally

    def answer(self, turns: Sequence[Turn], use_memory: bool = True) -> list[Outcome]:
        """Answer prompts, or track where there are none, and add the losses."""
        tasks = [
            Task(one.track, one.visit(place), prompt, use_memory, one.images + place) for one, place, prompt in turns
        ]
        outcomes = step(self.network, self.features, tasks, TRAINING)
        # A mask prompt is its own answer: there is nothing to learn from it.
        told = [at for at, (_, _, prompt) in enumerate(turns) if prompt is None or prompt.mask is None]
        if told:
            device = self.features.stride16.device
            masks = torch.stack([turns[at][0].masks[turns[at][1]] for at in told]).to(device)
            valid = torch.stack([turns[at][0].valid[turns[at][1]] for at in told]).to(device)
            self.tally.add([outcomes[at] for at in told], masks, valid)
        self.tally.add_classes(outcomes, [one.target for one, _, _ in turns])
        return outcomes

    def correct(self, turns: Sequence[Turn], outcomes: Sequence[Outcome], use_memory: bool = True) -> list[Outcome]:
        """Click where answers are wrong, again and again; the last answers, where nothing was wrong those given."""
        found = list(outcomes)
        said = [EMPTY if prompt is None else prompt for _, _, prompt in turns]
        wrong = [at for at, prompt in enumerate(said) if prompt.mask is None]
        for _ in range(self.lesson.clicks.clicks):
            better = {}
            for at in wrong:
                one, place, _ = turns[at]
                truth = (one.masks[place], one.valid[place])
                better[at] = correction(said[at], truth, best_logits(found[at]), self.lesson, self.rng)
            wrong = [at for at, prompt in better.items() if prompt is not None]
            if not wrong:
                break
            said = [better.get(at) or prompt for at, prompt in enumerate(said)]
            again = self.answer([(turns[at][0], turns[at][1], said[at]) for at in wrong], use_memory)
            for at, outcome in zip(wrong, again, strict=True):
                found[at] = outcome
        return found

    def keep_prompted(self, turns: Sequence[Turn], outcomes: Sequence[Outcome]) -> None:
        """Remember the answers to prompts."""
        for (one, place, _), outcome in zip(turns, outcomes, strict=True):
            one.track.tell(one.visit(place), outcome.entry)

    def keep_corrected(self, turns: Sequence[Turn], before: Sequence[Outcome], after: Sequence[Outcome]) -> None:
        """Remember corrected answers, as prompted ones or as tracked ones, in place of those before."""
        changed = [at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old is not new]
        if self.lesson.clicks.prompts:
            self.keep_prompted([turns[at] for at in changed], [after[at] for at in changed])
            return
        for at in changed:
            one, place, _ = turns[at]
            del one.track.prompted[place]
            one.track.remember(one.visit(place), [Record(replace(after[at].entry, role="tracked"))])
