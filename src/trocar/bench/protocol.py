"""A protocol: which cases, how one of them is scored, and what the table says. `run_protocol` does the rest.

Cases are scored one by one or in processes, each kept when it is done; a run that is started again goes on. A case
that fails is named and the others go on, but then the run is not whole, and says so.
"""

from __future__ import annotations

import hashlib
import shutil
import time
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from trocar import __version__
from trocar.bench.protocols import PROTOCOLS
from trocar.bench.results import Cell, ResultFolder, Row, write_json
from trocar.datasets import Case
from trocar.datasets.check import one_line
from trocar.datasets.location import locate
from trocar.load import UnknownName, load, load_dataset
from trocar.machine import machine_record
from trocar.model.network import Network
from trocar.settings import read_table, settings_from, to_toml

SHOWN = 2  # best and worst cases of each subset that get a picture


@dataclass(frozen=True)
class Source:
    """Cases of a table's column: a split of a data set.

    Args:
        subset: the column's name.
        dataset: a name of `trocar datasets`.
        split: one of its splits.
        folder: only cases whose names begin with this folder; "" for all.
        cases: how many it is published with; None for what the data set says of the split.
    """

    subset: str
    dataset: str
    split: str
    folder: str = ""
    cases: int | None = None


def parse_sources(texts: Sequence[str], published: Mapping[str, int] | None = None) -> list[Source]:
    """Sources as settings name them: SUBSET=DATASET/SPLIT or SUBSET=DATASET/SPLIT/FOLDER each.

    Args:
        texts: such as "EV18-I=endovis18-instruments/val".
        published: subset -> how many cases it is published with, where that is not what the split has.

    Raises:
        ValueError: a text is of another form.
    """
    sources = []
    for text in texts:
        subset, _, place = (part.strip() for part in text.partition("="))
        dataset, split, folder = [part.strip() for part in [*place.split("/", 2), "", ""][:3]]
        if not (subset and dataset and split):
            raise ValueError(f"{text!r} names no cases: write SUBSET=DATASET/SPLIT, such as EV17=endovis17/train")
        sources.append(Source(subset, dataset, split, folder, (published or {}).get(subset)))
    return sources


@dataclass(frozen=True, eq=False)
class Scored:
    """What a case gave.

    Args:
        rows: its scores.
        quality: by which best and worst cases are picked; NaN where nothing could be scored.
        picture: (rows, columns, 3) uint8 RGB: what to show of it.
        timings: how fast it went, as JSON takes it; kept apart from the scores, which are the same in every run.
    """

    rows: Sequence[Row]
    quality: float
    picture: NDArray[np.uint8] | None = None
    timings: Mapping[str, Any] = field(default_factory=dict)


class Protocol(typing.Protocol):
    """A published way of scoring. Its own fields are its settings, as a frozen dataclass that TOML can hold.

    A protocol whose unit is not a data set's case, such as a whole set of pictures, also has
    `joined(cases, source) -> Sequence[Case]`: what is scored in place of a source's cases.
    """

    #: What it is called in tables, and where it comes from.
    title: ClassVar[str]
    #: (paper, table) of the published rows that stand beside ours.
    published: ClassVar[tuple[tuple[str, str], ...]]

    def sources(self) -> Sequence[Source]:
        """Where the cases come from, in the order of the table's columns."""

    def score(self, network: Network, case: Case, source: Source) -> Scored:
        """Score one case. The same case gives the same scores, whatever ran before it."""

    def cells(self, rows: Sequence[Row]) -> list[Cell]:
        """The table."""


def protocol_name(protocol: Protocol) -> str:
    """Its name in `PROTOCOLS`; its class's name if it is not there."""
    module = type(protocol).__module__.rpartition(".")[2]
    return next((name for name, known in PROTOCOLS.items() if known == module), type(protocol).__name__)


def protocol_class(name: str) -> type[Any]:
    """A protocol by its name in `PROTOCOLS`; without arguments it is as published.

    Raises:
        UnknownName: there is none.
    """
    if name not in PROTOCOLS:
        raise UnknownName("protocol", name, PROTOCOLS)
    found: type[Any] = import_module(f"trocar.bench.protocols.{PROTOCOLS[name]}").PROTOCOL
    return found


def read_protocol(path: Path) -> Protocol:
    """The protocol that a recipe (*.toml) names, with the recipe's settings.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it names no protocol, or a setting that the protocol does not have.
    """
    table = read_table(path)
    if "protocol" not in table:
        raise ValueError(f'{path} names no protocol: add a line like protocol = "sa-sv"')
    kind = protocol_class(str(table.pop("protocol")))
    try:
        protocol: Protocol = settings_from(kind, table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return protocol


@dataclass(frozen=True)
class RunOptions:
    """How a protocol is run; of all this only `threads` changes a score, and that in the last digits.

    Args:
        data: folder of all data sets; None for the one that TROCAR_DATA names.
        jobs: processes, each with its own network.
        device: as for `load`.
        limit: only so many cases of each source, the first; the run is then marked as partial.
        threads: with which each process computes on the CPU. Sums are rounded in another order with another number of
            threads, so it depends on neither the machine nor `jobs`.
    """

    data: Path | None = None
    jobs: int = 1
    device: str | None = None
    limit: int | None = None
    threads: int = 1


@dataclass(frozen=True)
class _Item:
    source: Source
    case: str

    @property
    def key(self) -> str:
        return f"{self.source.subset}/{self.case}"


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    Args:
        cells: the table.
        failures: case -> what went wrong.
        partial: one sentence for each reason why the table is not of all cases; none for a whole run.
    """

    cells: Sequence[Cell]
    failures: Mapping[str, str]
    partial: Sequence[str]


class _Worker:
    """What scores cases in one process."""

    def __init__(self, protocol: Protocol, model: str, options: RunOptions) -> None:
        self.protocol, self.options = protocol, options
        self.network = load(model, options.device)
        self.there: dict[Source, int] = {}  # cases on disk
        self._cases: dict[Source, dict[str, Case]] = {}

    def cases(self, source: Source) -> dict[str, Case]:
        if source not in self._cases:
            dataset = load_dataset(source.dataset)
            found = dataset.read(locate(dataset.folder, self.options.data), source.split)
            inside = f"{source.folder}/" if source.folder else ""
            found = [case for case in found if case.name.startswith(inside)]
            if not found:
                raise FileNotFoundError(f"split {source.split} of {dataset.title} holds no case in {inside}")
            self.there[source] = len(found)
            joined = getattr(self.protocol, "joined", None)  # not every protocol has it
            found = joined(found[: self.options.limit], source) if joined else found
            self._cases[source] = {case.name: case for case in found}
        return self._cases[source]

    def score(self, item: _Item, folder: ResultFolder) -> str | None:
        """Score and keep; what went wrong, in one line."""
        begun = time.monotonic()
        try:
            with torch.inference_mode():
                scored = self.protocol.score(self.network, self.cases(item.source)[item.case], item.source)
        except (ValueError, OSError) as error:
            return one_line(error)
        if scored.picture is not None:
            cv2.imwrite(str(folder.picture(item.key)), scored.picture[..., ::-1])
        folder.add(item.key, scored.rows, round(time.monotonic() - begun, 3), scored.quality, scored.timings)
        return None


def run_protocol(
    protocol: Protocol,
    model: str,
    out: Path,
    options: RunOptions | None = None,
    report: Callable[[int, int, str], object] = lambda done, total, case: None,
) -> RunOutcome:
    """Score all cases that `out` does not hold yet, and write the table.

    Args:
        protocol: what is run.
        model: as for `load`.
        out: the run's folder, see `trocar.bench.results`.
        options: how it is run.
        report: told how many of how many cases are done, and which one was the last.

    Raises:
        FileNotFoundError: a data set is missing.
        ValueError: `out` holds another run.
    """
    options = options or RunOptions()
    threads = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        return _run(_Worker(protocol, model, options), model, out, report)
    finally:
        torch.set_num_threads(threads)


def _run(worker: _Worker, model: str, out: Path, report: Callable[[int, int, str], object]) -> RunOutcome:
    protocol, options = worker.protocol, worker.options
    items, expected, partial = _listed(worker, protocol, options)
    name = protocol_name(protocol)
    settings = {
        "protocol": name,
        "settings": asdict(protocol),  # type: ignore[call-overload]  # a protocol is a dataclass
        "model": model,
        "weights": _digest(worker.network),
        "limit": options.limit,
        "threads": options.threads,
        "version": __version__,
    }
    folder = ResultFolder(out, settings)
    (out / "recipe.toml").write_text(f'protocol = "{name}"\n{to_toml(protocol)}', encoding="utf-8")
    record = {
        **settings,
        "title": protocol.title,
        "mode": getattr(protocol, "mode", ""),
        "memory": getattr(protocol, "memory", ""),
        "seed": getattr(protocol, "seed", 0),
        "expected": expected,
        "network_input": getattr(protocol, "image_size", None) or worker.network.config.image_size,
        "machine": machine_record(worker.network),
        "published": [{"paper": paper, "table": table} for paper, table in protocol.published],
    }
    begun, failures = time.monotonic(), {}
    for done, (item, error) in enumerate(_scored(worker, items, folder, model), start=1):
        if error:
            failures[item.key] = error
        report(done, len(items), item.key)
    if failures:
        partial.append(f"{len(failures)} of {len(items)} cases failed, the first being {next(iter(failures))}")
    rows = [row for item in items if item.key not in failures for row in folder.rows(item.key)]
    cells = protocol.cells(rows)
    write_json(out / "run.json", {**record, "partial": partial, "seconds": round(time.monotonic() - begun, 1)})
    folder.finish(rows, cells, failures)
    scored = [item.key for item in items if item.key not in failures]
    write_json(out / "timings.json", [{"case": key, **folder.timings(key)} for key in scored])
    _pick_pictures(folder, [item for item in items if item.key not in failures])
    return RunOutcome(cells, failures, partial)


def _listed(worker: _Worker, protocol: Protocol, options: RunOptions) -> tuple[list[_Item], dict[str, int], list[str]]:
    """All items, how many cases each subset is published with, and why there are fewer."""
    items: list[_Item] = []
    expected: dict[str, int] = {}
    partial: list[str] = []
    for source in protocol.sources():
        names = list(worker.cases(source))
        there = worker.there[source]
        of_split = None if source.folder else load_dataset(source.dataset).splits[source.split].cases
        wanted = source.cases or of_split or there
        expected[source.subset] = expected.get(source.subset, 0) + (wanted if there == len(names) else len(names))
        if there != wanted:
            partial.append(f"{source.subset}: {there} cases are there and {wanted} are published")
        if options.limit is not None and options.limit < there:
            partial.append(f"{source.subset}: only the first {options.limit} of {there} cases were asked for")
        items += [_Item(source, name) for name in names[: options.limit]]
    return items, expected, partial


def _scored(
    worker: _Worker, items: Sequence[_Item], folder: ResultFolder, model: str
) -> Iterator[tuple[_Item, str | None]]:
    """Every item as it is done, with what went wrong."""
    todo = [item for item in items if not folder.done(item.key)]
    for item in items:
        if item not in todo:
            yield item, None
    if worker.options.jobs <= 1 or len(todo) < 2:
        for item in todo:
            yield item, worker.score(item, folder)
        return
    begin = (worker.protocol, model, worker.options)
    with ProcessPoolExecutor(worker.options.jobs, get_context("spawn"), _begin, begin) as pool:
        waiting: dict[Future[str | None], _Item] = {pool.submit(_score, item, folder): item for item in todo}
        try:
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        finally:
            for future in waiting:
                future.cancel()


_here: list[_Worker] = []


def _begin(protocol: Protocol, model: str, options: RunOptions) -> None:
    torch.set_num_threads(options.threads)
    _here.append(_Worker(protocol, model, options))


def _score(item: _Item, folder: ResultFolder) -> str | None:
    return _here[0].score(item, folder)


def _digest(network: Network) -> str:
    """What tells these weights from others."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _pick_pictures(folder: ResultFolder, items: Sequence[_Item]) -> None:
    """Copy the pictures of the best and the worst cases of each subset, and list them."""
    shown = folder.path / "pictures"
    shutil.rmtree(shown, ignore_errors=True)
    shown.mkdir()
    listed: list[dict[str, Any]] = []
    for subset in dict.fromkeys(item.source.subset for item in items):
        own = [(folder.quality(item.key), item) for item in items if item.source.subset == subset]
        own = [(value, item) for value, item in own if value == value and folder.picture(item.key).is_file()]
        own.sort(key=lambda pair: pair[0])
        worst = own[: min(SHOWN, len(own))]
        best = own[len(worst) :][-SHOWN:]
        for kind, chosen in (("best", best[::-1]), ("worst", worst)):
            for value, item in chosen:
                name = f"{kind}-{folder.picture(item.key).name}"
                shutil.copyfile(folder.picture(item.key), shown / name)
                listed.append({"file": name, "case": item.case, "subset": subset, "value": value, "kind": kind})
    write_json(folder.path / "pictures.json", listed)
