"""Whatever is sent to any address that the server describes, it is no error of the server."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode

from running_server import Served
from trocar.prompts import Box
from trocar.serve.errors import STATUS


@pytest.fixture(scope="module")
def api(served: Served) -> schemathesis.BaseSchema:
    """The running server's own description, beside a source with masks."""
    source = served.clip("openapi", "somebody-else")
    source.add(Box(2, 8, 26, 34))
    source.propagate(stop=3).wait()
    source.records.release_lease()
    return schemathesis.openapi.from_url(f"{served.address}/openapi.json")


@schemathesis.hook
def map_path_parameters(context: object, path_parameters: dict[str, object]) -> dict[str, object]:
    """Half of the numbers in addresses are those of something that is there."""
    chance = random.Random(repr(path_parameters))
    there = {"project": 1, "source": 1, "object": 1, "job": 1, "frame": 0, "root": "videos"}
    known = {name: value for name, value in there.items() if name in (path_parameters or {}) and chance.random() < 0.5}
    return {**(path_parameters or {}), **known}


def send(case: schemathesis.Case) -> None:
    response = case.call(timeout=60)
    assert response.status_code < 500, f"{case.method} {case.formatted_path}: {response.status_code} {response.text}"
    if response.status_code >= 400 and case.method != "HEAD":
        problem = response.json()
        assert set(problem) == {"kind", "message", "remedy"}
        assert STATUS[problem["kind"]] == response.status_code
        assert problem["message"]


@pytest.mark.slow
def test_no_request_is_an_error_of_the_server(api: schemathesis.BaseSchema) -> None:
    rules = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    count = 0
    for operation in (found.ok() for found in api.get_all_operations()):
        for mode in GenerationMode:
            with suppress(Unsatisfiable):  # an address without parameters cannot be asked wrongly
                rules(given(operation.as_strategy(generation_mode=mode))(send))()
        count += 1
    assert count > 30


def test_the_description_names_every_address_and_the_page_shows_them(served: Served) -> None:
    described = requests.get(f"{served.address}/openapi.json", timeout=30).json()
    page = requests.get(f"{served.address}/docs", timeout=30)
    assert page.headers["content-type"].startswith("text/html")
    assert len(described["paths"]) > 25
    for path, verbs in described["paths"].items():
        assert path in page.text
        assert all(one.get("description") for one in verbs.values()), path
    assert "http://" not in page.text.replace(served.address, "")
    assert "https://" not in page.text
