"""`trocar curate`: from folders of videos to a balanced sample of clips, stage by stage."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trocar.cli.fields import LazyParser, add_fields, with_given
from trocar.cli.run import progress_bars
from trocar.cli.tables import print_table

if TYPE_CHECKING:
    from trocar.pretrain.curation import Curation

RECORD = "curation.toml"
STAGES = {
    "render": "render a long-tailed corpus of videos, to try the other stages on",
    "scan": "probe folders of videos and write the manifest: what there is, and what is left out and why",
    "transcode": "make small copies that clips are read from quickly",
    "embed": "one vector a clip, in shards; several processes (torchrun, Slurm) share them",
    "cluster": "hierarchical k-means of the vectors",
    "sample": "pour the budget over the clusters and choose clips",
    "report": "a page of what was chosen: sizes, shares and pictures",
    "speed": "time clustering, and reading clips before and after transcoding, on this machine",
    "all": "scan, embed, cluster, sample and report, one after the other",
}


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE", parser_class=LazyParser)
    for stage, about in STAGES.items():
        command = stages.add_parser(stage, help=about, description=f"{about[0].upper()}{about[1:]}.")
        if stage in ("scan", "all"):
            command.add_argument("roots", nargs="+", type=Path, metavar="ROOT", help="folders of videos, one a source")
            command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the manifest")
        else:
            what = "folder for the videos" if stage in ("render", "speed") else "folder of the manifest"
            command.add_argument("out", type=Path, metavar="DIR", help=what)
        if stage != "speed":
            command.add_argument("--recipe", type=Path, metavar="TOML", help="settings of all stages (the defaults)")
        command.add_argument("--json", action="store_true", help="print JSON")
        if stage in ("scan", "transcode", "all"):
            command.add_argument("--processes", type=int, default=1, help="how many work at once (1)")
        if stage == "embed":
            command.add_argument("--ray", type=int, default=0, metavar="N", help="on Ray, with N embedding actors")
        command.set_defaults(run=speed if stage == "speed" else curate)
        command.complete = _completer(command, stage)


def _completer(command: argparse.ArgumentParser, stage: str) -> Callable[[Sequence[str]], None]:
    """Adds the settings as options when the stage is asked for."""

    def complete(arguments: Sequence[str]) -> None:
        from trocar.pretrain.curation import Curation
        from trocar.pretrain.curation_speed import CurationSpeed

        add_fields(command, CurationSpeed() if stage == "speed" else Curation())

    return complete


def curate(options: argparse.Namespace) -> int:
    """Run one stage, or all of them."""
    from trocar.formats.whole_file import whole_file
    from trocar.pretrain.curation import Curation
    from trocar.pretrain.embed import place_among_processes
    from trocar.settings import read_settings, to_toml

    recipe = with_given(read_settings(Curation, options.recipe) if options.recipe else Curation(), options)
    stages = ("scan", "embed", "cluster", "sample", "report") if options.stage == "all" else (options.stage,)
    said: dict[str, Any] = {}
    for stage in stages:
        said[stage] = _STAGES[stage](recipe, options)
    if place_among_processes()[0] == 0:
        with whole_file(options.out / RECORD) as temporary:
            temporary.write_text(to_toml(recipe), encoding="utf-8")
    if options.json:
        print(json.dumps(said if len(said) > 1 else said[options.stage], indent=2))
    else:
        for stage, found in said.items():
            print(stage)
            print_table([found])
    return 0


def speed(options: argparse.Namespace) -> int:
    """Time the costly stages."""
    from rich.console import Console

    from trocar.pretrain.curation_speed import CurationSpeed, measure

    options.out.mkdir(parents=True, exist_ok=True)
    with Console(stderr=True).status("measuring") as status:
        figures = measure(with_given(CurationSpeed(), options), options.out, status.update)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print_table([figures[part] for part in ("clustering", "reading") if part in figures])
    return 0


def _render(recipe: Curation, options: argparse.Namespace) -> dict[str, Any]:
    from trocar.pretrain.rendered_corpus import render_corpus

    with _bar("rendering") as show:
        render_corpus(options.out, recipe.rendered, show)
    return {"videos": recipe.rendered.videos, "folder": str(options.out)}


def _scan(recipe: Curation, options: argparse.Namespace) -> dict[str, Any]:
    from trocar.pretrain.scan import scan

    with _bar("scanning") as show:
        corpus = scan(options.roots, options.out, recipe.scan, options.processes, show)
    reasons = Counter(clip.excluded.split(":")[0].split(" in ")[0] for clip in corpus.clips if clip.excluded)
    damaged = len((options.out / "damaged.csv").read_text(encoding="utf-8").splitlines()) - 1
    found = {"videos": len(corpus.videos), "clips": len(corpus.clips), "usable": len(corpus.usable())}
    return {**found, "damaged files": damaged, **{f"excluded, {why}": n for why, n in sorted(reasons.items())}}


def _transcode(recipe: Curation, options: argparse.Namespace) -> dict[str, Any]:
    from trocar.pretrain.corpus import read_corpus, transcoded
    from trocar.pretrain.transcode import transcode

    corpus = read_corpus(options.out)
    with _bar("copying") as show:
        failed = transcode(corpus, recipe.transcoding, options.processes, show)
    copies = sum(transcoded(corpus.folder, video).is_file() for video in corpus.videos)
    return {"copies": copies, "failed": len(failed), **dict(list(failed.items())[:3])}


def _embed(recipe: Curation, options: argparse.Namespace) -> dict[str, Any]:
    from trocar.pretrain.corpus import read_corpus
    from trocar.pretrain.embed import embed, place_among_processes

    corpus, place = read_corpus(options.out), place_among_processes()
    with _bar("embedding") as show:
        if getattr(options, "ray", 0):
            from trocar.pretrain.embed_ray import embed_on_ray

            written = embed_on_ray(corpus, recipe.embedding, options.ray, show)
        else:
            written = embed(corpus, recipe.embedding, place, show)
    return {"shards written": written, "process": f"{place[0] + 1} of {place[1]}"}


def _cluster(recipe: Curation, options: argparse.Namespace) -> dict[str, Any]:
    from rich.console import Console

    from trocar.pretrain.cluster import cluster, write_tree
    from trocar.pretrain.corpus import read_corpus
    from trocar.pretrain.embed import read_embeddings

    found = read_embeddings(read_corpus(options.out))
    with Console(stderr=True).status("clustering") as status:
        tree = cluster(found, recipe.cluster, status.update)
    write_tree(options.out, tree)
    return {"clips": len(tree.clips), **{f"level {n}": len(one) for n, one in enumerate(tree.centroids, 1)}}


def _sample(recipe: Curation, options: argparse.Namespace) -> dict[str, Any]:
    from trocar.pretrain.cluster import read_tree
    from trocar.pretrain.corpus import read_corpus
    from trocar.pretrain.embed import read_embeddings
    from trocar.pretrain.guard import read_test_videos
    from trocar.pretrain.sample import sample, write_sample

    corpus = read_corpus(options.out)
    found = read_embeddings(corpus)
    tree = read_tree(options.out, found)
    chosen = sample(tree, found.vectors, recipe.sampling)
    write_sample(corpus, chosen, tree, read_test_videos([Path(name) for name in recipe.scan.test_videos]))
    return {"clips": len(tree.clips), "chosen": len(chosen)}


def _report(recipe: Curation, options: argparse.Namespace) -> dict[str, Any]:
    from trocar.pretrain.balance_report import write_report
    from trocar.pretrain.cluster import read_tree
    from trocar.pretrain.corpus import read_corpus
    from trocar.pretrain.embed import read_embeddings
    from trocar.pretrain.sample import read_sample

    corpus = read_corpus(options.out)
    figures = write_report(corpus, read_tree(options.out, read_embeddings(corpus)), read_sample(corpus, {}))
    top = figures["levels"][-1]
    return {"page": str(options.out / "report" / "index.html"), "Gini before": top["before"], "after": top["after"]}


@contextmanager
def _bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    with progress_bars() as show:
        yield lambda done, count: show(doing, done, count)


_STAGES: dict[str, Callable[[Curation, argparse.Namespace], dict[str, Any]]] = {
    "render": _render,
    "scan": _scan,
    "transcode": _transcode,
    "embed": _embed,
    "cluster": _cluster,
    "sample": _sample,
    "report": _report,
}
