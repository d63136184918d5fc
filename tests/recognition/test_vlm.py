"""The vision-language baseline against a real server on this machine: good, nonsensical, slow and failing answers."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trocar.datasets.procedure_scenes import procedure_clip
from trocar.recognition.tasks import FIRST_SEED, SEEDS_A_PART, RenderedClips
from trocar.recognition.vlm_endpoint import Endpoint, EndpointError
from trocar.recognition.vlm_question import VlmQuestion, meaning, option_order, read_template
from trocar.recognition.vlm_run import VlmRecipe, run_vlm

Answering = Callable[[dict[str, Any], int], tuple[int, Any]]
TASK = "rendered/endoscopy/finding"
CLASSES = ("normal", "polyp", "ulcer", "bleeding")


class Server:
    """What was asked, and under which address."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.at_once = self.most_at_once = 0
        self.url = ""


@contextmanager
def serving(answering: Answering, later: str = "") -> Iterator[Server]:
    """A server whose answer to a request, and its status, come from its body and its number; text becomes a chat.

    `later` is what it says of when to ask again.
    """
    seen, lock = Server(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                seen.asked.append(body)
                seen.keys.append(self.headers["Authorization"])
                number = len(seen.asked)
                seen.at_once += 1
                seen.most_at_once = max(seen.most_at_once, seen.at_once)
            status, said = answering(body, number)
            with lock:
                seen.at_once -= 1
            reply = (
                {"choices": [{"message": {"role": "assistant", "content": said}}]} if isinstance(said, str) else said
            )
            data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                if later:
                    self.send_header("Retry-After", later)
                self.end_headers()
                self.wfile.write(data)
            except OSError:  # the asker has given up
                pass

        def log_message(self, *said: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    seen.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def recipe(url: str, **more: Any) -> VlmRecipe:
    endpoint = Endpoint(url, "made-up", timeout_s=5.0, retries=1, backoff_s=0.0)
    return VlmRecipe((TASK,), endpoint, side=64, limit=4, rendered=RenderedClips(4, 4, 6), **more)


def question_of(body: dict[str, Any]) -> str:
    return str(body["messages"][0]["content"][-1]["text"])


def letter(body: dict[str, Any], name: str) -> str:
    return next(line[0] for line in question_of(body).splitlines() if line.endswith(f". {name}"))


def truth(clip: int) -> int:
    return procedure_clip(FIRST_SEED + 2 * SEEDS_A_PART + clip, "endoscopy").labels["finding"]


def test_one_who_always_says_polyp_scores_the_share_of_polyps_whatever_the_order(tmp_path: Path) -> None:
    both = threading.Barrier(2)

    def polyp(body: dict[str, Any], number: int) -> tuple[int, str]:
        if number <= 2:  # neither is answered before the other is asked
            both.wait(timeout=20)
        return 200, letter(body, "polyp")

    with serving(polyp) as server:
        found = run_vlm(recipe(server.url), tmp_path)
    (task,) = found["tasks"]
    share = np.mean([truth(clip) == 1 for clip in range(4)])
    for prompt in ("P1", "P2"):
        said = task["prompts"][prompt]
        assert said["top1_of_each_order"] == [share] * 3
        assert said["answers_that_change_with_the_order"] == 0
        assert (said["strict_rate"], said["unparsable_rate"], said["unanswered_rate"]) == (1, 0, 0)
    assert task["P2-P1"] == 0
    assert len(server.asked) == 4 * 2 * 3
    assert 1 < server.most_at_once <= 4, "bounded, and more than one at once"


def test_one_who_always_says_a_is_told_by_the_order(tmp_path: Path) -> None:
    with serving(lambda body, number: (200, "A")) as server:
        found = run_vlm(recipe(server.url, prompts=("P1",)), tmp_path)
    firsts = [option_order(4, shuffle)[0] for shuffle in range(3)]
    said = found["tasks"][0]["prompts"]["P1"]
    assert said["top1_of_each_order"] == [np.mean([truth(clip) == first for clip in range(4)]) for first in firsts]
    assert said["answers_that_change_with_the_order"] == float(len(set(firsts)) > 1)


def test_what_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "secret")
    with serving(lambda body, number: (200, "A")) as server:
        asked = recipe(server.url, prompts=("P2",), shuffles=1, frames=3)
        run_vlm(replace(asked, endpoint=replace(asked.endpoint, key_variable="A_KEY")), tmp_path)
    body = server.asked[0]
    assert (body["model"], body["temperature"]) == ("made-up", 0)
    content = body["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url"] * 3 + ["text"]
    head, _, data = content[0]["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(BytesIO(base64.b64decode(data))).size == (64, 64)
    assert "A. normal\nB. polyp\nC. ulcer\nD. bleeding" in question_of(body)
    assert server.keys[0] == "Bearer secret"


def test_nonsense_is_unparsable_and_wrong(tmp_path: Path) -> None:
    with serving(lambda body, number: (200, "I would rather see the patient's history.")) as server:
        found = run_vlm(recipe(server.url, prompts=("P1",), shuffles=1), tmp_path)
    said = found["tasks"][0]["prompts"]["P1"]
    assert said["unparsable_rate"] == 1
    assert said["scores"]["top1"] == said["scores"]["macro_f1"] == 0
    assert said["scores"]["majority"] > 0


def test_a_failure_that_passes_is_asked_again(tmp_path: Path) -> None:
    with serving(lambda body, number: (200, "A") if number % 2 == 0 else (503, {"error": "busy"})) as server:
        found = run_vlm(recipe(server.url, prompts=("P1",), shuffles=1, at_once=1), tmp_path)
    assert found["tasks"][0]["prompts"]["P1"]["unanswered_rate"] == 0
    assert len(server.asked) == 8


def test_waits_grow_and_a_refusal_is_not_repeated() -> None:
    waits: list[float] = []
    with serving(lambda body, number: (429, {})) as server:
        endpoint = Endpoint(server.url, "made-up", retries=3, backoff_s=0.5)
        with pytest.raises(EndpointError, match="answers 429") as caught:
            endpoint.ask("?", [], waits.append)
    assert waits == [0.5, 1.0, 2.0]
    assert caught.value.passing
    with (
        serving(lambda body, number: (503, {}), later="7") as server,
        pytest.raises(EndpointError, match="answers 503"),
    ):
        replace(endpoint, base_url=server.url, retries=1).ask("?", [], waits.append)
    assert waits[3:] == [7], "as the endpoint asks for"
    with serving(lambda body, number: (401, {"error": "no such key"})) as server:
        with pytest.raises(EndpointError, match=r"answers 401.*no such key"):
            Endpoint(server.url, "made-up").ask("?", [], waits.append)
        assert len(server.asked) == 1


def test_a_slow_endpoint_times_out_and_the_run_is_given_up_with_what_it_has(tmp_path: Path) -> None:
    def slow(body: dict[str, Any], number: int) -> tuple[int, str]:
        if number > 2:
            time.sleep(0.5)
        return 200, "A"

    with serving(slow) as server:
        asked = recipe(server.url, prompts=("P1",), shuffles=1, at_once=1, give_up=1)
        asked = replace(asked, endpoint=replace(asked.endpoint, timeout_s=0.1, retries=0))
        with pytest.raises(OSError, match=r"does not answer .*run again to go on"):
            run_vlm(asked, tmp_path)
    assert not (tmp_path / "vlm.json").exists()
    with serving(lambda body, number: (200, "A")) as server:
        moved = replace(asked, endpoint=replace(asked.endpoint, base_url=server.url, timeout_s=5.0))
        run_vlm(moved, tmp_path)
    assert len(server.asked) == 2, "two of the four were answered before"


def test_a_clip_without_an_answer_counts_as_wrong_and_is_asked_for_again_later(tmp_path: Path) -> None:
    with serving(lambda body, number: (200, "A") if number != 2 else (400, {"error": "too large"})) as server:
        asked = recipe(server.url, prompts=("P1",), shuffles=1, at_once=1)
        found = run_vlm(asked, tmp_path)
        assert found["tasks"][0]["prompts"]["P1"]["unanswered_rate"] == 0.25
        found = run_vlm(asked, tmp_path)
    assert found["tasks"][0]["prompts"]["P1"]["unanswered_rate"] == 0
    assert len(server.asked) == 5


@pytest.mark.parametrize("reply", [b"<html>", {"choices": []}, {"choices": [{"message": {"content": None}}]}, []])
def test_something_else_than_a_chat_is_an_error_that_says_so(reply: object) -> None:
    with (
        serving(lambda body, number: (200, reply)) as server,
        pytest.raises(EndpointError, match="gives no chat completion"),
    ):
        Endpoint(server.url, "made-up").ask("?", [])


def test_nobody_there() -> None:
    with pytest.raises(EndpointError, match=r"does not answer .*: start it, or correct the address"):
        Endpoint("http://127.0.0.1:9", "made-up", retries=0).ask("?", [])


ORDER = (2, 0, 3, 1)  # A is ulcer, B normal, C bleeding, D polyp


@pytest.mark.parametrize(
    ("answer", "label", "form"),
    [
        ("A", 2, "strict"),
        (" D\n", 1, "strict"),
        ("polyp", 1, "strict"),
        ("b", 0, "normalised"),
        ("(C)", 3, "normalised"),
        ("B.", 0, "normalised"),
        ("D. polyp", 1, "normalised"),
        ("Answer: C", 3, "normalised"),
        ("The answer is **A**.", 2, "normalised"),
        ("This is a POLYP.", 1, "normalised"),
        ("A. polyp", None, "unparsable"),
        ("ulcer or bleeding", None, "unparsable"),
        ("Z", None, "unparsable"),
        ("", None, "unparsable"),
        ("A clip of the colon", None, "unparsable"),
    ],
)
def test_what_answers_mean(answer: str, label: int | None, form: str) -> None:
    question = VlmQuestion(read_template("P1"), "finding", CLASSES, ORDER)
    found = meaning(answer, question)
    assert (found.label, found.form) == (label, form)


def test_a_name_inside_a_longer_one_is_not_named() -> None:
    question = VlmQuestion("{options}", "task", ("suture", "cutting the suture"), (0, 1))
    assert meaning("It is cutting the suture.", question).label == 1


def test_templates_and_recipes_are_checked(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("{options} {colour}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"must have the field \{options\} and no others"):
        read_template(str(own))
    own.write_text("Which? {options", encoding="utf-8")
    with pytest.raises(ValueError, match="is no template"):
        read_template(str(own))
    with pytest.raises(FileNotFoundError, match="give P1 or P2, or a text file"):
        read_template("P3")
    with pytest.raises(ValueError, match="letters are there for 2 to 26"):
        VlmQuestion("{options}", "task", tuple(map(str, range(27))), tuple(range(27)))
    with pytest.raises(ValueError, match="an endpoint needs base_url"):
        Endpoint("localhost:8000", "made-up")
    assert sorted(option_order(5, 1)) == list(option_order(5, 0)) == [0, 1, 2, 3, 4]


def test_a_file_that_holds_no_answers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(ValueError, match="is no file of answers"):
        run_vlm(recipe("http://127.0.0.1:9"), tmp_path)
