"""`trocar bench recognition`, `recognition-sets`, `recognition-compare` and `vlm`: SurgRec's downstream benchmark."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trocar.cli.bench_memory import Commands
from trocar.cli.fields import LazyParser, add_fields, with_given
from trocar.cli.tables import Rows, print_table


def add_arguments(what: Commands) -> None:
    run = what.add_parser("recognition", help="train and score a video encoder on clip classification, by a recipe")
    run.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
    run.add_argument("--threads", type=int, default=0, help="threads to compute with; 0 leaves it to PyTorch (0)")
    _recipe(run, "RecognitionRecipe", "trocar.recognition.recipe", recognition)
    ask = what.add_parser("vlm", help="ask a vision-language model about the same test clips, by a recipe")
    _recipe(ask, "VlmRecipe", "trocar.recognition.vlm_run", vlm)
    sets = what.add_parser("recognition-sets", help="the 16 downstream sets; their clips and splits on disk")
    sets.add_argument("name", nargs="?", help="one of them; its folder is read")
    sets.add_argument("--data", type=Path, help="folder of all data sets (the one TROCAR_DATA names)")
    sets.add_argument("--manifest", type=Path, metavar="CSV", help="write the split of the named set")
    sets.add_argument("--test-videos", type=Path, metavar="TOML", help="write its test videos, for pretraining's guard")
    sets.add_argument("--released", type=Path, metavar="DIR", help="audit SurgRec's released folder splits/ instead")
    sets.set_defaults(run=listed)
    compare = what.add_parser("recognition-compare", help="differences between two runs with 95 %% intervals")
    compare.add_argument("results", type=Path, help="output folder of `bench recognition`")
    compare.add_argument("reference", type=Path, help="another one, by the same recipe but for the encoder")
    compare.set_defaults(run=compared)
    for command in (run, ask, sets, compare):
        command.add_argument("--json", action="store_true", help="print JSON")


def _recipe(parser: LazyParser, kind: str, module: str, verb: Any) -> None:
    """A recipe, whose settings become options, and where the results go."""
    parser.add_argument("recipe", type=Path, help="a TOML file; its settings become options")
    parser.add_argument("--data", type=Path, help="folder of all data sets (the one TROCAR_DATA names)")
    parser.add_argument("--out", type=Path, required=True, help="folder for results")

    def complete(arguments: Sequence[str]) -> None:
        from importlib import import_module

        from trocar.settings import read_settings

        named = next((word for word in arguments if word.endswith(".toml")), None)
        if named:
            add_fields(parser, read_settings(getattr(import_module(module), kind), Path(named)))

    parser.complete = complete
    parser.set_defaults(run=verb)


def recognition(options: argparse.Namespace) -> int:
    """Run a recipe and print its table."""
    import torch

    from trocar.cli.run import progress_bars
    from trocar.load import best_device
    from trocar.recognition.recipe import RecognitionRecipe
    from trocar.recognition.run import Places, run_recognition
    from trocar.settings import read_settings

    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = with_given(read_settings(RecognitionRecipe, options.recipe), options)
    with _telling_how_to_go_on(options.out), progress_bars() as show:
        places = Places(options.out, options.data, options.device or best_device())
        results = run_recognition(recipe, places, show)
    if options.json:
        print(json.dumps(results, indent=2))
        return 0
    scores = ("clips", "top1", "low", "high", "balanced", "macro_f1", "majority")
    rows: Rows = [
        {"task": cell["task"], "seed": cell["seed"]} | {name: _short(cell["scores"][name]) for name in scores}
        for cell in results["cells"]
    ]
    print_table(rows)
    print_table([{"mean of": name} | {key: _short(value) for key, value in found.items()}
                 for name, found in results["summary"].items()])  # fmt: skip
    return 0


def vlm(options: argparse.Namespace) -> int:
    """Ask, and print the table."""
    from trocar.cli.run import progress_bars
    from trocar.recognition.vlm_run import VlmRecipe, run_vlm
    from trocar.settings import read_settings

    recipe = with_given(read_settings(VlmRecipe, options.recipe), options)
    with _telling_how_to_go_on(options.out), progress_bars() as show:
        found = run_vlm(recipe, options.out, options.data, show)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    rows: Rows = []
    for task in found["tasks"]:
        for prompt, said in task["prompts"].items():
            orders = said["top1_of_each_order"]
            rows.append({
                "task": task["task"], "prompt": prompt, "clips": task["clips"], "top1": _short(said["scores"]["top1"]),
                "majority": _short(said["scores"]["majority"]), "lowest order": _short(min(orders)),
                "highest order": _short(max(orders)), "changing": _short(said["answers_that_change_with_the_order"]),
                "unparsable": _short(said["unparsable_rate"]), "unanswered": _short(said["unanswered_rate"]),
            })  # fmt: skip
    print_table(rows)
    return 0


def listed(options: argparse.Namespace) -> int:
    """The table of sets, one set's clips, or an audit of SurgRec's released splits."""
    from trocar.datasets.location import locate
    from trocar.datasets.recognition_audit import audit_released
    from trocar.datasets.recognition_sets import recognition_set, recognition_sets
    from trocar.datasets.recognition_splits import write_manifest, write_test_videos

    rows: Rows
    if options.released:
        found = (audit_released(one, options.released) for one in recognition_sets().values())
        rows = [asdict(one) | {"majority": round(one.majority, 4)} for one in found]
    elif options.name:
        dataset = recognition_set(options.name)
        root = locate(dataset.name, options.data)
        parts = dataset.read(root)
        if options.manifest:
            write_manifest(options.manifest, dataset.name, parts, root)
        if options.test_videos:
            write_test_videos(options.test_videos, dataset.name, parts, root)
        rows = [
            {"part": part, "clips": len(clips), "cases": len({clip.case for clip in clips}),
             "classes": len({clip.label for clip in clips})} for part, clips in parts.items()
        ]  # fmt: skip
    else:
        rows = [
            {"set": one.name, "domain": one.domain, "task": one.task, "classes": len(one.classes), "split": one.split,
             "layout confirmed": one.confirmed, "licence": one.licence, "obtain": one.obtain}
            for one in recognition_sets().values()
        ]  # fmt: skip
    print(json.dumps(rows, indent=2)) if options.json else print_table(rows)
    return 0


def compared(options: argparse.Namespace) -> int:
    """Differences of Acc@1, the first run less the second."""
    from trocar.recognition.run import read_results
    from trocar.recognition.tables import difference

    found = difference(read_results(options.results), read_results(options.reference))
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print_table([{"of": name} | {key: _short(value) for key, value in one.items()} for name, one in found.items()])
    return 0


@contextmanager
def _telling_how_to_go_on(out: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"what is done is in {out}; run the same again to go on") from None


def _short(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value
