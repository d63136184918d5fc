"""Is balance worth it, and pretraining? SurgRec's questions on rendered corpora; see the page surgrec-experiment.

    python scripts/surgrec_experiment.py corpus --out DIR    render and curate the corpus, and draw the samples
    python scripts/surgrec_experiment.py run --out DIR       pretrain every encoder, then train and score its tasks
    python scripts/surgrec_experiment.py table --out DIR     tables; --write FILE also writes the results

What is done is kept in DIR and skipped; an interrupted run goes on. Several processes share `run` with --part 0 --of 2
and --part 1 --of 2. --recipe takes another recipe than recipes/surgrec-experiment.toml.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from trocar.formats import write_run_record
from trocar.pretrain.balance_report import balance_figures
from trocar.pretrain.clip_frames import frames_at
from trocar.pretrain.cluster import Tree, cluster, write_tree
from trocar.pretrain.corpus import Corpus, read_corpus, write_corpus
from trocar.pretrain.curation import Curation
from trocar.pretrain.embed import Embeddings, embed, read_embeddings
from trocar.pretrain.footage import FilmedClips, Pictures
from trocar.pretrain.recipe import PretrainRecipe
from trocar.pretrain.rendered_corpus import render_corpus
from trocar.pretrain.run import export_encoder
from trocar.pretrain.sample import Chosen, read_sample, sample, write_sample
from trocar.pretrain.scan import scan
from trocar.pretrain.trainer import PretrainTrainer
from trocar.recognition.recipe import RecognitionRecipe
from trocar.recognition.run import Places, read_results, run_recognition
from trocar.recognition.tables import difference, summary
from trocar.settings import read_settings
from trocar.train.checkpoint import LAST

RECIPES = Path(__file__).parents[1] / "recipes"
BALANCED, RAW, SCRATCH = "balanced", "raw", "scratch"
PAIRS = ((BALANCED, RAW), (BALANCED, SCRATCH), (RAW, SCRATCH))
METHODS = ("probe", "full")
_RAW_DRAW = 51  # a stream of random numbers


@dataclass(frozen=True)
class Experiment:
    """Everything that decides.

    Args:
        curation: the recipe of the corpus, beside this one.
        corpus_seed: of its videos, in the place of the recipe's own.
        seeds: of clustering, of both samples, of first weights, draws and masks, and of heads.
        mae, jepa: of pretraining; pools and seed are put in.
        probe, full: of recognition; encoder, first weights' sizes and seeds are put in.
    """

    curation: str
    corpus_seed: int
    seeds: tuple[int, ...]
    mae: PretrainRecipe
    jepa: PretrainRecipe
    probe: RecognitionRecipe
    full: RecognitionRecipe

    @property
    def families(self) -> dict[str, PretrainRecipe]:
        return {"mae": self.mae, "jepa": self.jepa}


@dataclass(frozen=True)
class Job:
    """One encoder: its family, what it was pretrained on ("scratch": nothing), and the seed."""

    family: str
    start: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.family}-{self.start}-{self.seed}"


class HeldClips:
    """Clips of a corpus, read once and held in memory, scaled down.

    Args:
        clips: those of the pool.
        side: of the frames, pixels.
    """

    def __init__(self, clips: FilmedClips, side: int) -> None:
        self._clips, self._side = clips, side
        self._fps = {video.video: video.fps for video in clips.corpus.videos}
        self._held: dict[int, Pictures] = {}

    def __len__(self) -> int:
        return len(self._clips)

    def pictures(self, index: int, rng: np.random.Generator) -> list[Pictures]:
        clip = self._clips.clips[index]
        fps = self._fps[clip.video]
        held = self._frames(index, fps)
        moments = self._clips.moments(clip, rng)
        places = [math.ceil((moment - clip.start_s) * fps - 0.5) for moment in moments]  # as `frames_at` chooses
        return [held[min(max(place, 0), len(held) - 1)] for place in places]

    def _frames(self, index: int, fps: float) -> Pictures:
        """(T, side, side, 3), every frame of a clip."""
        if index not in self._held:
            clip = self._clips.clips[index]
            count = max(1, round((clip.stop_s - clip.start_s) * fps))
            read = frames_at(self._clips.corpus.file_of(clip), [clip.start_s + n / fps for n in range(count)])
            size = (self._side, self._side)
            self._held[index] = np.stack([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in read])
        return self._held[index]


class Work:
    """The experiment in a folder.

    Args:
        out: the folder.
        recipe: the file of the experiment.
    """

    def __init__(self, out: Path, recipe: Path) -> None:
        self.out, experiment = out, read_settings(Experiment, recipe)
        self.experiment = experiment
        curation = read_settings(Curation, recipe.parent / experiment.curation)
        self.curation = replace(curation, rendered=replace(curation.rendered, seed=experiment.corpus_seed))

    def corpus(self) -> None:
        """Render, scan and embed once; cluster and draw both samples for each seed."""
        videos, folder = self.out / "videos", self.out / "corpus"
        render_corpus(videos, self.curation.rendered)
        corpus = scan([videos], folder, self.curation.scan)
        embed(corpus, self.curation.embedding, (0, 1))
        found = read_embeddings(corpus)
        for seed in self.experiment.seeds:
            if not self._figures(seed).is_file():
                tree = cluster(found, replace(self.curation.cluster, seed=seed))
                write_run_record(self._figures(seed), self._drawn(corpus, found, tree, seed))

    def _drawn(self, corpus: Corpus, found: Embeddings, tree: Tree, seed: int) -> dict[str, Any]:
        """Write both samples of a seed, and return what they are made of."""
        balanced = sample(tree, found.vectors, replace(self.curation.sampling, seed=seed))
        rng = np.random.default_rng([_RAW_DRAW, seed])
        raw = np.sort(rng.choice(len(tree.clips), len(balanced), replace=False))
        places = {clip: place for place, clip in enumerate(tree.clips)}
        said = {}
        for name, chosen in ((BALANCED, np.array([places[one.clip] for one in balanced])), (RAW, raw)):
            own = replace(corpus, folder=self.sampled(name, seed))
            write_corpus(own)
            write_tree(own.folder, tree)
            rows = [Chosen(tree.clips[one], int(tree.labels[0, one]), int(tree.labels[-1, one])) for one in chosen]
            write_sample(own, rows, tree, {})
            said[name] = self._made_of(corpus, tree, chosen)
        return said

    def _made_of(self, corpus: Corpus, tree: Tree, chosen: NDArray[np.int64]) -> dict[str, Any]:
        by_name = {clip.clip: clip for clip in corpus.clips}
        kept = np.isin(np.arange(len(tree.clips)), chosen)
        figures = balance_figures(tree, [by_name[name] for name in tree.clips], kept)
        procedures = sum(row["chosen"] > 0 for row in figures["procedures"])
        return {
            "clips": figures["chosen"],
            "of": figures["clips"],
            "gini_of_corpus": figures["levels"][-1]["before"],
            "gini": figures["levels"][-1]["after"],
            "procedures": procedures,
            "shares": {row["name"]: row["after"] for row in figures["domains"]},
            "shares_of_corpus": {row["name"]: row["before"] for row in figures["domains"]},
        }

    def sampled(self, name: str, seed: int) -> Path:
        """The folder of a sample."""
        return self.out / "samples" / f"{name}-{seed}"

    def _figures(self, seed: int) -> Path:
        return self.out / "samples" / f"figures-{seed}.json"

    def jobs(self) -> list[Job]:
        """All encoders, seed by seed."""
        starts = (BALANCED, RAW, SCRATCH)
        return [
            Job(family, start, seed)
            for seed in self.experiment.seeds
            for family in self.experiment.families
            for start in starts
        ]

    def pretrain(self, job: Job) -> Path:
        """Pretrain an encoder, if it is not there yet, and return its file."""
        out = self.out / "encoders" / job.name
        path = out / "encoder.safetensors"
        if not path.is_file():
            folder, begun = self.sampled(job.start, job.seed), time.process_time()
            recipe = self.experiment.families[job.family]
            recipe = replace(recipe, seed=job.seed, pools=(replace(recipe.pools[0], clips=str(folder), sampled=True),))
            corpus, config = read_corpus(folder), recipe.encoder
            filmed = FilmedClips(corpus, read_sample(corpus, {}), config.frames, recipe.sampling)
            held = HeldClips(filmed, round(config.side / recipe.sampling.least_crop))
            trainer = PretrainTrainer(recipe, {recipe.pools[0].name: held}, out)
            if (out / LAST).is_file():
                trainer.resume()
            trainer.run()
            write_run_record(out / "log.json", _of_log(out / "log.jsonl", time.process_time() - begun))
            export_encoder(recipe, out, path)
            (out / LAST).unlink()
        return path

    def score(self, job: Job, method: str) -> None:
        """Train and score all tasks on an encoder, if that is not done yet."""
        out = self._scores(job, method)
        if (out / "results.json").is_file():
            return
        begun = time.process_time()
        recipe = {"probe": self.experiment.probe, "full": self.experiment.full}[method]
        encoder = "" if job.start == SCRATCH else str(self.pretrain(job))
        fresh = self.experiment.families[job.family].encoder
        results = run_recognition(
            replace(recipe, encoder=encoder, fresh=fresh, seeds=(job.seed,)), Places(out), lambda *said: None
        )
        write_run_record(out / "cost.json", {"cpu_seconds": time.process_time() - begun})
        for unneeded in ("features", "recognizers"):
            shutil.rmtree(out / unneeded, ignore_errors=True)
        macro = results["summary"]["macro"]["mean"]
        print(f"{job.name} {method}: macro {macro:.3f}", flush=True)

    def scored(self, family: str, start: str, method: str) -> dict[str, Any]:
        """What was found with the encoders of all seeds; raises FileNotFoundError where one is missing."""
        cells = [
            cell
            for seed in self.experiment.seeds
            for cell in read_results(self._scores(Job(family, start, seed), method))["cells"]
        ]
        return {"cells": cells, "summary": summary(cells)}

    def _scores(self, job: Job, method: str) -> Path:
        return self.out / "scores" / f"{job.name}-{method}"

    def results(self) -> dict[str, Any]:
        """Everything that the page says."""
        arms: dict[str, Any] = {}
        differences: dict[str, Any] = {}
        for method in METHODS:
            for family in self.experiment.families:
                own = {start: self.scored(family, start, method) for start in (BALANCED, RAW, SCRATCH)}
                for start, found in own.items():
                    arms[f"{family} {start} {method}"] = found["summary"] | {"tasks": _tasks(found["cells"])}
                for one, other in PAIRS:
                    differences[f"{family} {one} - {other} {method}"] = difference(own[one], own[other])
        pretraining = {
            job.name: json.loads((self.out / "encoders" / job.name / "log.json").read_text(encoding="utf-8"))
            for job in self.jobs()
            if job.start != SCRATCH
        }
        first = read_results(self._scores(self.jobs()[0], METHODS[0]))
        costs = [json.loads(file.read_text(encoding="utf-8")) for file in (self.out / "scores").glob("*/cost.json")]
        return {
            "experiment": json.loads(json.dumps(asdict(self.experiment))),
            "machine": first["machine"],
            "corpora": {
                str(seed): json.loads(self._figures(seed).read_text(encoding="utf-8")) for seed in self.experiment.seeds
            },
            "pretraining": pretraining,
            "cpu_minutes": {
                "all": sum(one["cpu_seconds"] for one in costs) / 60,
                "of_it_pretraining": sum(one["cpu_seconds"] for one in pretraining.values()) / 60,
            },
            "arms": arms,
            "differences": differences,
        }


def _of_log(path: Path, seconds: float) -> dict[str, float]:
    """The end of a log: the mean loss of the last lines, and what the watch saw last and worst."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    watched = [line for line in lines if "clip_std" in line]
    return {
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "clip_std": watched[-1]["clip_std"] if watched else float("nan"),
        "feature_rank": watched[-1]["feature_rank"] if watched else float("nan"),
        "largest_leak": max((line["leak"] for line in watched), default=0.0),
        "cpu_seconds": seconds,
    }


def _tasks(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of each task: Acc@1, its mean and each seed's, and the majority rate."""
    found: dict[str, Any] = {}
    for task in dict.fromkeys(cell["task"] for cell in cells):
        own = [cell["scores"] for cell in cells if cell["task"] == task]
        top1 = [one["top1"] for one in own]
        found[task] = {"mean": float(np.mean(top1)), "by_seed": top1, "majority": own[0]["majority"]}
    return found


def tables(record: Mapping[str, Any]) -> list[str]:
    """The results as Markdown tables."""
    names = list(next(iter(record["differences"].values())))
    domains = [name for name in names if "/" not in name]
    arms = record["arms"]
    scores = [_line("encoder", domains), "|---" * (1 + len(domains)) + "|"]
    scores += [_line(arm, [_percent(found[name]["mean"]) for name in domains]) for arm, found in arms.items()]
    gains = [_line("difference", domains), "|---" * (1 + len(domains)) + "|"]
    for pair, found in record["differences"].items():
        gains.append(_line(pair, [_signed(found[name]) for name in domains]))
    listed = [name for name in names if "/" in name]
    tasks = [_line("encoder", [name.partition("/")[2] for name in listed]), "|---" * (1 + len(listed)) + "|"]
    first = next(iter(arms.values()))["tasks"]
    tasks.append(_line("majority", [_percent(first[name]["majority"]) for name in listed]))
    for arm, found in arms.items():
        tasks.append(_line(arm, [_percent(found["tasks"][name]["mean"]) for name in listed]))
    return ["\n".join(part) for part in (scores, gains, tasks)]


def _line(head: str, cells: Sequence[str]) -> str:
    return f"| {head} | {' | '.join(cells)} |"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _signed(one: Mapping[str, float]) -> str:
    return f"{100 * one['difference']:+.1f} ({100 * one['low']:+.1f} to {100 * one['high']:+.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["corpus", "run", "table"])
    parser.add_argument("--out", type=Path, required=True, help="folder of everything")
    parser.add_argument("--recipe", type=Path, default=RECIPES / "surgrec-experiment.toml")
    parser.add_argument("--part", type=int, default=0, help="which share of the work is this process's")
    parser.add_argument("--of", type=int, default=1, help="how many processes share it")
    parser.add_argument("--write", type=Path, help="for table: also write the results to this file")
    said = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    work = Work(said.out, said.recipe)
    if said.step == "corpus":
        work.corpus()
    elif said.step == "run":
        for job in work.jobs()[said.part :: said.of]:
            for method in METHODS:
                work.score(job, method)
    else:
        record = work.results()
        print("\n\n".join(tables(record)))
        if said.write:
            write_run_record(said.write, record)


if __name__ == "__main__":
    main()
