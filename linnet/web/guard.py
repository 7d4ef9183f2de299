"""What stands before every request: who may ask, a name for the log, and headers that keep the page to itself."""

from __future__ import annotations

import ipaddress
import json
import logging
import time
import traceback
import uuid
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HEADERS", "Guard", "allowed_host", "same_origin"]

_logger = logging.getLogger("linnet.web")

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""Of every answer. No script or style but the server's own, nothing fetched from elsewhere, no frame around it."""

_SAFE = ("GET", "HEAD", "OPTIONS")

_TEXT_BYTES = 2**20
"""The most that a body of JSON or of a form's text may have; pictures have their own limit, see `uploads`."""


def _name(host: str) -> str:
    """The name or address of a Host header, without its port."""
    text = host.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


def allowed_host(host: str, bound: str, names: Iterable[str]) -> bool:
    """Whether a Host header may be answered.

    A page elsewhere can have its own name point at this machine (DNS rebinding) but cannot hide that name, so only
    known names are answered: those given; of a server on the loopback address its usual names; of one on all
    addresses (0.0.0.0, ::) any address, as an address is nobody's name.

    Args:
        bound: the address or name that the server listens on.
    """
    name = _name(host)
    if name in {each.lower() for each in names}:
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    return address.is_loopback or name == bound.lower() or bound in ("0.0.0.0", "::")


def same_origin(headers: Headers, scheme: str) -> bool:
    """Whether a request that changes something comes from the server's own page, or from no page at all."""
    origin = headers.get("origin")
    if origin is not None:
        return origin.lower() == f"{scheme}://{headers.get('host', '')}".lower()
    return headers.get("sec-fetch-site", "none") in ("same-origin", "none")


class _TooLongError(BaseException):
    """More text than is taken. No `Exception`, as FastAPI would make of it that the body cannot be parsed."""


def _is_text(scope: Scope) -> bool:
    kind = Headers(scope=scope).get("content-type", "").lower()
    return not kind.startswith(("multipart/", "image/", "application/octet-stream"))


class Guard:
    """ASGI middleware; see the module's text. The log has method, path, status and time, never what was sent."""

    def __init__(self, app: ASGIApp, bound: str = "127.0.0.1", names: tuple[str, ...] = ()) -> None:
        self._app, self._bound, self._names = app, bound, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, start, status, taken = uuid.uuid4().hex[:12], time.perf_counter(), 0, 0
        most = _TEXT_BYTES if _is_text(scope) else float("inf")
        scope.setdefault("state", {})["request_id"] = request

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                cached = "no-cache" if scope["path"].startswith("/static/") else "no-store"
                for name, value in {**HEADERS, "cache-control": cached, "x-request-id": request}.items():
                    headers.setdefault(name, value)
            await send(message)

        async def receive_on() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise _TooLongError
            return message

        try:
            if (refusal := self._refusal(scope)) is not None:
                await _refuse(send_on, request, *refusal)
            else:
                await self._app(scope, receive_on, send_on)
        except _TooLongError:
            await _refuse(send_on, request, 413, "too-large", f"The request is larger than {_TEXT_BYTES:,} bytes.")
        except Exception:
            _logger.error("%s failed:\n%s", request, traceback.format_exc())
            if not status:
                message = f"The server failed; its log says more under {request}."
                await _refuse(send_on, request, 500, "failed", message)
        finally:
            took = 1000 * (time.perf_counter() - start)
            _logger.info("%s %s %s %d %.0f ms", request, scope["method"], ascii(scope["path"])[1:-1], status, took)

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not allowed_host(host, self._bound, self._names):
            return 421, "unknown-host", f"This server does not answer as {_name(host)[:200]!r}; see --allow-host."
        if scope["method"] not in _SAFE and not same_origin(headers, scope["scheme"]):
            return 403, "other-origin", "Changes are taken from this server's own page only."
        return None


async def _refuse(send: Send, request: str, status: int, code: str, message: str) -> None:
    body = json.dumps({"error": {"code": code, "message": message, "request": request}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
