"""Training class prompts (SurgicalSAM): head and mask decoder learn, all else stays; images are encoded once."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from trocar.classprompt.class_model import open_class_model
from trocar.classprompt.contrast import class_embeddings, contrast_loss
from trocar.classprompt.presence import calibrate
from trocar.model.checkpoint import read_head
from trocar.model.network import Network
from trocar.settings import to_toml
from trocar.train.checkpoint import Checkpoint
from trocar.train.class_prompt_data import ClassPictures, Sample
from trocar.train.class_prompt_likeness import fit_likeness
from trocar.train.class_prompt_losses import Asked, answer_losses
from trocar.train.class_prompt_pictures import NO_TRUTH
from trocar.train.class_prompt_recipe import ClassPromptRecipe
from trocar.train.class_prompt_score import class_scores
from trocar.train.class_prompt_start import Corpus, class_numbers, first_model, frozen_network, open_pictures
from trocar.train.journal import peak_memory_gb
from trocar.train.loop import Figures, Pace, TrainingLoop
from trocar.train.optimise import set_rate
from trocar.train.run import ending_after_a_step

WEIGHTS, BEST = "classes.safetensors", "best.safetensors"


@dataclass(frozen=True)
class ClassRun:
    """What is trained, and where.

    Args:
        recipe: all settings.
        data: folder for what is made from data: cached features and samples.
        out: folder for checkpoints, log, the recipe as used and the weights.
        resume: go on from the last checkpoint in `out`.
        threads: to compute with; 0 leaves it to PyTorch.
        quiet: show no progress.
    """

    recipe: ClassPromptRecipe
    data: Path
    out: Path
    resume: bool = False
    threads: int = 0
    quiet: bool = False


class ClassPromptTrainer(TrainingLoop[list[Sample]]):
    """One run of a recipe.

    Args:
        recipe: all settings.
        network: frozen.
        corpus: prepared pictures.
        out: folder for log and checkpoints.
        quiet: show no progress.
    """

    def __init__(
        self, recipe: ClassPromptRecipe, network: Network, corpus: Corpus, out: Path, quiet: bool = False
    ) -> None:
        device = next(network.parameters()).device
        super().__init__(out, Pace(recipe.save_seconds), device, quiet=quiet)
        self.recipe, self.network, self.corpus = recipe, network, corpus
        self.model = first_model(recipe, network, corpus.learned)
        self.parameters = [one for one in self.model.parameters() if one.requires_grad]
        prototypes = self.model.head.prototypes
        groups = [
            {"params": [one for one in self.parameters if one is not prototypes], "scale": 1.0},
            {"params": [one for one in self.parameters if one is prototypes], "scale": recipe.prototype_rate},
        ]
        self.optimiser = torch.optim.Adam(groups, recipe.learning_rate, weight_decay=recipe.weight_decay)
        names = corpus.learned.shots.names
        self.general = frozenset(names.index(name) for name in recipe.data.general if name in names)
        self._samples = {
            version: corpus.learned.samples(version)
            for version in {recipe.version_at(epoch) for epoch in range(recipe.epochs)}
        }
        self._starts = np.cumsum([0, *(self.steps_in(epoch) for epoch in range(recipe.epochs))]).tolist()

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return int(self._starts[-1])

    def progress(self, step: int) -> float:
        return min(1.0, step / self.steps)

    def steps_in(self, epoch: int) -> int:
        """How many batches an epoch has; the last may be smaller."""
        return math.ceil(len(self._samples[self.recipe.version_at(epoch)]) / self.recipe.batch)

    def checkpoint(self) -> Checkpoint:
        state, optimiser = self.model.state_dict(), self.optimiser.state_dict()
        return Checkpoint(self.step, self.seconds, state, {}, optimiser, self.journal.values, self.best)

    def _restore(self, state: Checkpoint) -> None:
        self.model.load_state_dict(state.network)
        self.optimiser.load_state_dict(state.optimiser)

    def _note(self, batch: list[Sample], losses: Figures) -> None:
        self.journal.add(losses, self.recipe.batch, clips=False)

    def _state(self, batch: list[Sample]) -> Figures:
        return {"epoch": self.epoch}

    def _said(self, line: Mapping[str, float]) -> str:
        return f"IoU {line['reached']:.3f}  {line['samples_per_s']:.1f} samples/s"

    def _after_step(self, batch: list[Sample]) -> None:
        if self._due():
            self.validate()
            self._save()

    @property
    def epoch(self) -> int:
        """The epoch that the next step belongs to, or the number of epochs at the end."""
        return self._epoch_of(self.step)

    def _epoch_of(self, step: int) -> int:
        return int(np.searchsorted(self._starts, step, side="right")) - 1

    def _due(self) -> bool:
        """Whether an epoch has just ended whose weights are scored."""
        ended = self.step == self._starts[self.epoch]
        return self.corpus.inner is not None and ended and (self.done or self.epoch % self.recipe.selection.every == 0)

    def learn(self, batch: list[Sample]) -> Figures:
        """One optimiser step; returns its losses."""
        recipe, own = self.recipe, batch
        set_rate(self.optimiser, recipe.learning_rate * _share(recipe.final_share, self.step / self.steps))
        rng = np.random.default_rng((recipe.seed, self.step, 1))
        absent = self._absent(own, rng)
        pictures = sorted({sample.picture for sample in own})
        features, labels = self.corpus.learned.features(pictures), self.corpus.learned.labels(pictures)
        place = {picture: row for row, picture in enumerate(pictures)}
        asked = [*own, *absent]
        frame = torch.tensor([place[sample.picture] for sample in asked], device=self.device)
        classes = class_numbers(asked).to(self.device)
        answers = self.model.answer(self.network, features, classes, frame)
        masks = labels[frame] == classes[:, None, None] + 1
        losses = answer_losses(answers, Asked(masks, labels[frame] != NO_TRUTH), recipe.losses)
        reached = losses.pop("reached")
        if recipe.losses.contrast and self.model.config.contrast != "none":
            rows = frame[: len(own)]
            embeddings = class_embeddings(features.stride16.float()[rows], masks[: len(own)])
            losses["contrast"] = recipe.losses.contrast * self._contrast(embeddings, classes[: len(own)])
        total = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.optimiser.step()
        self.step += 1
        values = {name: float(value.detach()) for name, value in losses.items()}
        return {**values, "total": float(total.detach()), "reached": float(reached)}

    def _contrast(self, embeddings: Tensor, classes: Tensor) -> Tensor:
        config = self.model.config
        scaled = embeddings * config.scale  # as similarities are
        return contrast_loss(config.contrast, self.model.head.prototypes, scaled, classes, config.temperature)

    def prepare(self, step: int) -> list[Sample]:
        """The samples of a step; after the last one there are none."""
        epoch = self._epoch_of(step)
        if epoch == self.recipe.epochs:
            return []
        samples = self._samples[self.recipe.version_at(epoch)]
        order = np.random.default_rng((self.recipe.seed, epoch)).permutation(len(samples))
        at = (step - self._starts[epoch]) * self.recipe.batch
        return [samples[place] for place in order[at : at + self.recipe.batch]]

    def _absent(self, own: Sequence[Sample], rng: np.random.Generator) -> list[Sample]:
        """Rows that ask for what their picture does not show, of a part of the batch's samples."""
        found = []
        for sample in own:
            if rng.random() < self.recipe.absent:
                classes = self.corpus.learned.absent(sample.picture, self.general)
                if classes:
                    found.append(Sample(sample.picture, int(rng.choice(classes))))
        return found

    def validate(self) -> dict[str, float]:
        """Score the inner split, note it, and keep the weights if they are the best so far."""
        assert self.corpus.inner is not None
        self.model.eval()
        scores = class_scores(self.model, self.corpus.inner)
        self.model.train()
        self.journal.write({"step": self.step, **{f"inner {name}": round(value, 4) for name, value in scores.items()}})
        score = scores[self.recipe.selection.metric]
        if self.best is None or score > self.best:
            self.best = score
            self.model.save(self.out / BEST, self.info(scores))
        return scores

    def info(self, scores: dict[str, float] | None = None) -> dict[str, str]:
        """What a file of the weights says of itself."""
        recipe = self.recipe
        info = {
            "model": recipe.model,
            "epochs": str(self.epoch),
            "seed": str(recipe.seed),
            "data": ", ".join(recipe.data.sources),
        }
        if scores:
            info["inner_split"] = json.dumps({name: round(value, 4) for name, value in scores.items()})
        return info


def _share(final: float, progress: float) -> float:
    """The part of the learning rate: a cosine from 1 to `final`."""
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def train_classes(run: ClassRun) -> Path:
    """Carry a run out and return the file with the class model: the best one on the inner split, or that at the end.

    With an inner split presence is calibrated on it too.

    Raises:
        ValueError, FileNotFoundError: recipe, data or checkpoint are not right; the message says what to do.
        KeyboardInterrupt: it was stopped; `run.resume` goes on exactly from there.
    """
    cv2.setNumThreads(1)
    if run.threads:
        torch.set_num_threads(run.threads)
    network = frozen_network(run.recipe)
    corpus = open_pictures(run.recipe, network, run.data, run.quiet)
    trainer = ClassPromptTrainer(run.recipe, network, corpus, run.out, run.quiet)
    (run.out / "recipe.toml").write_text(to_toml(run.recipe), encoding="utf-8")
    if run.resume:
        trainer.resume()
    with ending_after_a_step(trainer):
        trainer.run()
    if not trainer.done:
        raise KeyboardInterrupt
    trainer.model.save(run.out / WEIGHTS, trainer.info())
    chosen = run.out / (BEST if trainer.best is not None else WEIGHTS)
    model = fit_likeness(open_class_model(chosen, network), corpus.learned, trainer.general, run.recipe.seed)
    model.save(chosen, _said(chosen))
    calibrated = corpus.inner is not None and calibrate_presence(chosen, network, corpus.inner, trainer.general)
    if not run.quiet:
        print(f"{_summary(trainer)}; presence {'calibrated on the inner split' if calibrated else 'not calibrated'}")
    return chosen


def calibrate_presence(path: Path, network: Network, pictures: ClassPictures, general: frozenset[int]) -> bool:
    """Write into a class model when its classes count as there, judged by pictures that did not train it.

    Returns:
        whether it was possible: some class has to be there on some pictures and missing on others.
    """
    shown: dict[int, dict[int, bool]] = {}
    for sample in pictures.samples():
        shown.setdefault(sample.picture, {})[sample.class_number] = True
    for picture, classes in shown.items():
        classes |= dict.fromkeys(pictures.absent(picture, general), False)
    if all(there for classes in shown.values() for there in classes.values()):
        return False
    model = open_class_model(path, network)
    calibrate(model, network, ((pictures.features([picture]), classes) for picture, classes in shown.items()))
    model.save(path, _said(path))
    return True


def _said(path: Path) -> dict[str, str]:
    """What a file says of itself beside what its model says."""
    return {key: value for key, value in read_head(path).items() if key not in ("kind", "class_prompts")}


def prepare_classes(run: ClassRun) -> None:
    """Cache the features that a run asks for, and no more."""
    open_pictures(run.recipe, frozen_network(run.recipe), run.data, run.quiet)


def _summary(trainer: ClassPromptTrainer) -> str:
    learned, cache = trainer.corpus.learned, trainer.corpus.learned.cache
    best = "" if trainer.best is None else f", best {trainer.recipe.selection.metric} {trainer.best:.3f}"
    kept = "online" if cache is None else f"{cache.bytes_per_image} bytes an image"
    return (
        f"{trainer.step} steps on {len(learned.pictures)} pictures ({kept}) in {trainer.seconds:.0f} s "
        f"({trainer.step * trainer.recipe.batch / max(trainer.seconds, 1e-9):.1f} samples/s), "
        f"peak memory {peak_memory_gb(trainer.device):.2f} GB{best}"
    )
