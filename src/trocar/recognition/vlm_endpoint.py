"""One OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama): pictures and a question out, text back."""

from __future__ import annotations

import base64
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

PASSING = (408, 409, 425, 429, 500, 502, 503, 504)
"""Statuses after which it helps to ask again."""
LONGEST_WAIT_S = 60.0


class EndpointError(Exception):
    """There is no answer; `passing` says that there may be one later, `wait_s` when the endpoint wants to be asked."""

    def __init__(self, message: str, passing: bool, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.passing, self.wait_s = passing, wait_s


@dataclass(frozen=True)
class Endpoint:
    """Where and how to ask; temperature is 0.

    Args:
        base_url: such as http://localhost:8000/v1; what comes after it is /chat/completions.
        model: its name there.
        key_variable: the environment variable that holds the key; it may be unset where none is needed.
        timeout_s: how long an answer may take.
        max_tokens: of an answer.
        retries: how often to ask again after a failure that may pass.
        backoff_s: how long to wait before the first of these; each later one waits twice as long.
    """

    base_url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    timeout_s: float = 120.0
    max_tokens: int = 64
    retries: int = 4
    backoff_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")) or not self.model:
            raise ValueError(
                f"an endpoint needs base_url, such as http://localhost:8000/v1, and model, not {self.base_url!r} and "
                f"{self.model!r}"
            )
        if self.timeout_s <= 0 or self.max_tokens < 1 or self.retries < 0 or self.backoff_s < 0:
            raise ValueError("an endpoint needs timeout_s above 0, max_tokens of 1, retries and backoff_s of 0 or more")

    def ask(self, text: str, jpegs: Sequence[bytes], wait: Callable[[float], object] = time.sleep) -> str:
        """The answer to a question about pictures.

        Raises:
            EndpointError: it does not answer, refuses, or answers with something else than text, after all retries.
        """
        body = self.body(text, jpegs)
        for attempt in range(self.retries + 1):
            try:
                return self._once(body)
            except EndpointError as error:
                if not error.passing or attempt == self.retries:
                    raise
                wait(min(max(error.wait_s, self.backoff_s * 2**attempt), LONGEST_WAIT_S))
        raise AssertionError

    def body(self, text: str, jpegs: Sequence[bytes]) -> bytes:
        """The request as JSON: the pictures as data URLs, then the question."""
        urls = ["data:image/jpeg;base64," + base64.b64encode(one).decode() for one in jpegs]
        content: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        said = {
            "model": self.model,
            "temperature": 0,
            "max_tokens": self.max_tokens,
            "messages": [{"role": "user", "content": [*content, {"type": "text", "text": text}]}],
        }
        return json.dumps(said).encode()

    def _once(self, body: bytes) -> str:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.key_variable):
            headers["Authorization"] = f"Bearer {key}"
        address = f"{self.base_url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(address, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as response:
                answered = response.read()
        except urllib.error.HTTPError as error:
            said = error.read(300).decode(errors="replace").strip().replace("\n", " ")
            said = f"{address} answers {error.code}: {said or error.reason}"
            later = str(error.headers.get("Retry-After", ""))
            wait_s = float(later) if later.isdecimal() else 0.0
            raise EndpointError(said, error.code in PASSING, wait_s) from error
        except (urllib.error.URLError, TimeoutError, http.client.HTTPException, OSError) as error:
            said = f"{address} does not answer ({getattr(error, 'reason', error)}): start it, or correct the address"
            raise EndpointError(said, True) from error
        return _text_of(answered, address)


def _text_of(answered: bytes, address: str) -> str:
    """The text in an answer."""
    try:
        content = json.loads(answered)["choices"][0]["message"]["content"]
        if isinstance(content, list):
            content = "".join(part["text"] for part in content if part["type"] == "text")
        if not isinstance(content, str):
            raise TypeError(f"its content is {type(content).__name__}")
    except (ValueError, KeyError, IndexError, TypeError) as error:
        said = f"{address} gives no chat completion ({error!r}): it must be OpenAI-compatible"
        raise EndpointError(said, False) from error
    return content
