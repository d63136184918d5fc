"""What every request passes: who may ask, how large and of which kind a body may be, and how long it all took."""

from __future__ import annotations

import hmac
import time
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trocar.serve.errors import STATUS, Refusal, problem_of
from trocar.serve.measures import Measures
from trocar.serve.settings import ServeSettings, is_loopback
from trocar.wire import to_json

COOKIE = "trocar_token"
OPEN_TO_ALL = ("/health", "/api/login", "/docs", "/openapi.json")
CHUNK_ROUTE = "/api/uploads/"

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": (
        "default-src 'self' blob: data:; script-src 'self' blob: 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'"
    ),
}


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, measures: Measures) -> None:
        self._app = app
        self._settings = settings
        self._measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
        except Refusal as refusal:
            headers = {"www-authenticate": "Bearer"} if refusal.kind == "unauthorised" else None
            body = to_json(problem_of(refusal))
            await JSONResponse(body, STATUS[refusal.kind], headers)(scope, receive, sending)
        else:
            await self._app(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._measures.request(str(route), scope["method"], status, time.perf_counter() - began)

    def _check(self, scope: Scope) -> None:
        headers, path = Headers(scope=scope), str(scope["path"])
        self._check_host(headers)
        if path.startswith(("/api/", "/metrics")) and path not in OPEN_TO_ALL and self._settings.token:
            said = _token(headers)
            if not hmac.compare_digest(said.encode(), self._settings.token.encode()):
                reason = "the token is wrong" if said else "this server asks for a token"
                raise Refusal(
                    "unauthorised", f"{reason}: send the one that it was started with as Authorization: Bearer"
                )
        if scope["method"] in ("POST", "PUT", "PATCH"):
            self._check_body(headers, path)

    def _check_host(self, headers: Headers) -> None:
        """Pages of other sites must not speak to a server on this machine, under whatever name they found it."""
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if not self._settings.token and not is_loopback(host) and host not in self._settings.hosts:
            raise Refusal(
                "forbidden", "the server is not called by a name of its own: use localhost, or give --allow-host"
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            raise Refusal("forbidden", "the request comes from a page of another site: use the server's own page")

    def _check_body(self, headers: Headers, path: str) -> None:
        limits = self._settings.limits
        length = headers.get("content-length")
        if "transfer-encoding" in headers or (length is not None and not length.isdecimal()):
            raise Refusal("invalid", "the body does not say how long it is: send Content-Length")
        is_chunk = path.startswith(CHUNK_ROUTE)
        most = limits.chunk_bytes if is_chunk else limits.body_bytes
        if int(length or 0) > most:
            raise Refusal("too_large", f"the body has {length} bytes: send at most {most} at once")
        wanted = "application/octet-stream" if is_chunk else "application/json"
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if int(length or 0) and kind != wanted:
            raise Refusal("media_type", f"the body is {kind[:60] or 'of no type'}: send it as {wanted}")


def client_of(scope: Scope) -> str:
    """Whose turn and lease a request counts for: what the client calls itself, else its address."""
    said = Headers(scope=scope).get("x-trocar-client") or ""
    if not said:
        said = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("client", [""])[0]
    if 8 <= len(said) <= 64 and said.replace("-", "").replace("_", "").isalnum() and said.isascii():
        return said
    return f"at {(scope.get('client') or ('nowhere', 0))[0]}"


def _token(headers: Headers) -> str:
    kind, _, said = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return said.strip()
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""
