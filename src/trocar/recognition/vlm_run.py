"""The vision-language baseline: a model behind an endpoint answers about the test clips of tasks, zero-shot."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trocar.formats.whole_file import write_run_record
from trocar.metrics.recognition import clip_scores
from trocar.recognition.tasks import RenderedClips, Task, open_task, task_names
from trocar.recognition.views import frame_indices
from trocar.recognition.vlm_answers import AnswerStore
from trocar.recognition.vlm_endpoint import Endpoint, EndpointError
from trocar.recognition.vlm_question import Meaning, VlmQuestion, meaning, option_order, read_template

Report = Callable[[str, int, int], object]
NOBODY_KNOWS = -1
FORMS = ("strict", "normalised", "unparsable", "unanswered")


@dataclass(frozen=True)
class VlmRecipe:
    """What is asked of which model.

    Args:
        tasks: as in `RecognitionRecipe`; their test clips are asked about.
        endpoint: where.
        prompts: templates by name or file.
        frames: pictures of a clip, spread over it; one is its middle, as in SurgRec's released evaluation.
        side: of the square pictures, pixels.
        shuffles: orders of the options; each is asked for itself, the first as the classes are listed.
        at_once: questions that wait for an answer at the same time.
        give_up: failures one after another that end the run.
        limit: clips of each task; 0 for all.
        rendered: how many rendered clips.
    """

    tasks: tuple[str, ...]
    endpoint: Endpoint
    prompts: tuple[str, ...] = ("P1", "P2")
    frames: int = 1
    side: int = 336
    shuffles: int = 3
    at_once: int = 4
    give_up: int = 8
    limit: int = 0
    rendered: RenderedClips = field(default_factory=RenderedClips)

    def __post_init__(self) -> None:
        if not self.tasks or not self.prompts or min(self.frames, self.shuffles, self.at_once, self.give_up) < 1:
            raise ValueError("a recipe needs tasks and prompts, and frames, shuffles, at_once and give_up of 1 or more")
        if self.side < 32 or self.limit < 0:
            raise ValueError("a recipe needs a side of 32 or more and a limit of 0 or more")


@dataclass(frozen=True)
class _Asked:
    """One question about one clip."""

    task: int
    clip: int
    prompt: str
    shuffle: int
    question: VlmQuestion
    key: str


def run_vlm(
    recipe: VlmRecipe, out: Path, data: Path | None = None, report: Report = lambda *said: None
) -> dict[str, Any]:
    """Ask, and return what is also in vlm.json.

    Answers are in answers.sqlite; a run that is started again asks only for those that are missing.

    Raises:
        OSError: the endpoint failed so often one after another that the run was given up; what was answered is kept.
        FileNotFoundError, ValueError: a task, a prompt or a setting that cannot be used.
    """
    names = list(dict.fromkeys(name for asked in recipe.tasks for name in task_names(asked)))
    shape = (max(recipe.frames, 8), recipe.side)
    tasks = [open_task(name, shape, recipe.rendered, data) for name in names]
    templates = {name: read_template(name) for name in recipe.prompts}
    answers: dict[tuple[int, int, str, int], str | None] = {}
    with AnswerStore(out / "answers.sqlite") as store:
        _ask_all(recipe, tasks, templates, store, answers, report)
    figures = [_figures(recipe, number, task, templates, answers) for number, task in enumerate(tasks)]
    found = {"recipe": asdict(recipe), "tasks": figures}
    write_run_record(out / "vlm.json", found)
    return found


def _ask_all(
    recipe: VlmRecipe,
    tasks: Sequence[Task],
    templates: Mapping[str, str],
    store: AnswerStore,
    answers: dict[tuple[int, int, str, int], str | None],
    report: Report,
) -> None:
    """Fill `answers`, None where there is no answer after all retries."""
    total = sum(_clips(recipe, task) for task in tasks) * len(templates) * recipe.shuffles
    row, last = 0, ""
    with ThreadPoolExecutor(recipe.at_once) as pool:
        waiting: dict[Future[str], _Asked] = {}
        questions = _questions(recipe, tasks, templates)
        while True:
            for asked, text, jpegs in islice(questions, recipe.at_once - len(waiting)):
                known = store.known(asked.key)
                if known is not None:
                    answers[asked.task, asked.clip, asked.prompt, asked.shuffle] = known
                else:
                    waiting[pool.submit(recipe.endpoint.ask, text, jpegs)] = asked
            report("answers", len(answers), total)
            if not waiting and len(answers) == total:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                asked = waiting.pop(future)
                place = (asked.task, asked.clip, asked.prompt, asked.shuffle)
                try:
                    answer = future.result()
                except EndpointError as error:
                    answers[place], row, last = None, row + 1, str(error)
                    if row >= recipe.give_up:
                        for other in waiting:
                            other.cancel()
                        raise OSError(f"{last} ({row} failures one after another; run again to go on)") from error
                    continue
                store.keep(asked.key, f"{tasks[asked.task].name} {asked.clip}", asked.prompt, answer)
                answers[place], row = answer, 0


def _questions(
    recipe: VlmRecipe, tasks: Sequence[Task], templates: Mapping[str, str]
) -> Iterator[tuple[_Asked, str, list[bytes]]]:
    for number, task in enumerate(tasks):
        for clip in range(_clips(recipe, task)):
            jpegs = _jpegs(recipe, task, clip)
            seen = hashlib.sha256(b"".join(jpegs)).hexdigest()
            for prompt, template in templates.items():
                for shuffle in range(recipe.shuffles):
                    question = _question(task, template, shuffle)
                    text = question.text(len(jpegs))
                    said = [recipe.endpoint.model, str(recipe.endpoint.max_tokens), seen, text]
                    key = hashlib.sha256("\n".join(said).encode()).hexdigest()
                    yield _Asked(number, clip, prompt, shuffle, question, key), text, jpegs


def _question(task: Task, template: str, shuffle: int) -> VlmQuestion:
    return VlmQuestion(template, task.topic, task.classes, option_order(len(task.classes), shuffle))


def _jpegs(recipe: VlmRecipe, task: Task, clip: int) -> list[bytes]:
    def chosen(length: int) -> NDArray[np.intp]:
        return np.array([[length // 2]]) if recipe.frames == 1 else frame_indices(length, recipe.frames, 0)

    found = []
    for image in task.pixels("test", clip, chosen)[0]:
        buffer = BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=90)
        found.append(buffer.getvalue())
    return found


def _clips(recipe: VlmRecipe, task: Task) -> int:
    count = len(task.labels["test"])
    return min(count, recipe.limit) if recipe.limit else count


def _figures(
    recipe: VlmRecipe,
    number: int,
    task: Task,
    templates: Mapping[str, str],
    answers: Mapping[tuple[int, int, str, int], str | None],
) -> dict[str, Any]:
    """Scores of each prompt; an answer that cannot be told, or is missing, is wrong."""
    count = _clips(recipe, task)
    labels = task.labels["test"][:count]
    prompts: dict[str, dict[str, Any]] = {}
    for prompt, template in templates.items():
        predicted = np.full((recipe.shuffles, count), NOBODY_KNOWS)
        forms: Counter[str] = Counter()
        for shuffle in range(recipe.shuffles):
            question = _question(task, template, shuffle)
            for clip in range(count):
                answer = answers[number, clip, prompt, shuffle]
                means = Meaning(None, "unparsable") if answer is None else meaning(answer, question)
                forms["unanswered" if answer is None else means.form] += 1
                predicted[shuffle, clip] = NOBODY_KNOWS if means.label is None else means.label
        orders = [asdict(clip_scores(one, labels)) for one in predicted]
        said = {f"{form}_rate": forms[form] / predicted.size for form in FORMS}
        prompts[prompt] = {
            "scores": orders[0],
            "top1_of_each_order": [one["top1"] for one in orders],
            "answers_that_change_with_the_order": float(np.mean((predicted != predicted[0]).any(0))),
            **said,
        }
    first = [float(np.mean(one["top1_of_each_order"])) for one in prompts.values()]
    gain = {"P2-P1": first[1] - first[0]} if list(prompts) == ["P1", "P2"] else {}
    return {"task": task.name, "domain": task.domain, "clips": count, "prompts": prompts, **gain}
