"""A batch on a Ray cluster of two nodes, of which one is killed: every item is done, and as it is done locally."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_batch import (
    BOX,
    command,
    environment,
    make_clip,
    make_manifest,
    make_weights,
    masks_of,
    records_of,
    summary_of,
)

pytest.importorskip("ray", reason="a batch on a cluster needs trocar[ray]: run `make test-ray`")

pytestmark = pytest.mark.slow
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights, six clips, one of them cut short, and what they come to locally."""
    folder = tmp_path_factory.mktemp("place")
    make_weights(folder / "tiny.safetensors")
    names = [f"{number}.mp4" for number in range(6)]
    for number, name in enumerate(names):
        make_clip(folder / name, 120, shade=80 + 10 * number)
    (folder / "cut.mp4").write_bytes((folder / "0.mp4").read_bytes()[:700])
    make_manifest(folder / "all.csv", [{"source": name, "prompts": BOX} for name in [*names, "cut.mp4"]])
    local = command(folder / "all.csv", folder / "local", folder / "tiny.safetensors", "--jobs", "2")
    assert subprocess.run(local, env=environment(), check=False, **QUIET).returncode == 1  # type: ignore[call-overload]
    return folder


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head that runs nothing, and two nodes with a processor each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield made
    made.shutdown()


def test_one_of_two_nodes_is_killed(place: Path, cluster: Any) -> None:
    nodes = [cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)]
    cluster.wait_for_nodes()
    out = place / "out"
    asked = command(place / "all.csv", out, place / "tiny.safetensors", "--ray", cluster.address)
    process = subprocess.Popen(asked, env=environment(), **QUIET)  # type: ignore[call-overload]
    while len(list(out.glob("*/masks/00035.png"))) < 2:  # two items are under way, with a snapshot each
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    cluster.remove_node(nodes[0], allow_graceful=False)
    _, said = process.communicate()
    assert process.returncode == 1, said
    assert b"failed: cut: " in said
    statuses = {name: row["status"] for name, row in summary_of(out).items()}
    assert statuses == {**dict.fromkeys("012345", "done"), "cut": "failed"}
    assert masks_of(out) == masks_of(place / "local")
    assert len(masks_of(out)) == 6 * 121
    assert records_of(out) == records_of(place / "local")
    assert not list(out.glob("*/state"))


def test_no_cluster_answers(place: Path) -> None:
    asked = command(place / "all.csv", place / "never", place / "tiny.safetensors", "--ray", "127.0.0.1:1")
    done = subprocess.run(asked, env=environment(), check=False, **QUIET)  # type: ignore[call-overload]
    assert done.returncode == 2
    assert b"no Ray cluster answers at 127.0.0.1:1" in done.stderr
