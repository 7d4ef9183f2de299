"""A picture from a request, kept in memory only, its bytes counted as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from linnet.web.limits import Limits
from linnet.web.problems import Problem

__all__ = ["FIELD", "Upload", "receive"]

FIELD = "image"
"""The name of the form's field that holds the picture."""

_FORM_BYTES = 16 * 1024
"""What a form may hold besides the picture: its boundaries, headers and few short fields."""


@dataclass(frozen=True)
class Upload:
    """What a request brought.

    Attributes:
        content: the picture's file as it came.
        fields: the form's other fields.
    """

    content: bytes
    fields: dict[str, str]


async def receive(request: Request, limits: Limits) -> Upload:
    """Read a picture: the body itself, or the field `image` of a form (multipart/form-data).

    Nothing is written to disk, and no more is read than the limit allows, whatever Content-Length says.

    Raises:
        Problem: 400 malformed or cut short, 408 too slow, 413 too large, 415 another kind of body.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    most = limits.upload_bytes
    if kind == b"multipart/form-data":
        if not (boundary := options.get(b"boundary")):
            raise Problem(400, "malformed", "The form has no boundary; send it as a browser or curl -F does.")
        form = _Form(boundary, most)
        await _read(request, form.take, most + _FORM_BYTES, limits)
        return form.upload()
    if kind.startswith(b"image/") or kind == b"application/octet-stream":
        body = bytearray()
        await _read(request, body.extend, most, limits)
        return Upload(_some(bytes(body)), {})
    raise Problem(
        415,
        "unsupported-body",
        f"Send the picture as the field {FIELD!r} of a form (multipart/form-data), or as the body with a Content-Type "
        "such as image/jpeg.",
    )


def _too_large(most: int) -> Problem:
    return Problem(
        413, "too-large", f"The picture is larger than {most / 2**20:.3g} MiB, the limit. Send a smaller one."
    )


def _some(content: bytes) -> bytes:
    if not content:
        raise Problem(400, "empty", "The picture is empty (0 bytes). Choose a JPEG, PNG or WebP file.")
    return content


async def _read(request: Request, take: Callable[[bytes], object], most: int, limits: Limits) -> None:
    """Hand the body on piece by piece."""
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > most:
        raise _too_large(limits.upload_bytes)
    total = 0
    try:
        async with asyncio.timeout(limits.upload_seconds):
            async for piece in request.stream():
                total += len(piece)
                if total > most:
                    raise _too_large(limits.upload_bytes)
                take(piece)
    except TimeoutError:
        raise Problem(408, "too-slow", f"The picture did not come in {limits.upload_seconds:g} seconds.") from None
    except ClientDisconnect:
        raise Problem(400, "cut-short", "The connection ended before the picture was there.") from None
    except FormParserError:
        raise Problem(400, "malformed", "The form cannot be read; send it as a browser or curl -F does.") from None


@dataclass
class _Part:
    content: bytearray = field(default_factory=bytearray)
    name: str = ""
    is_file: bool = False


class _Form:
    """The parts of a form as they come in."""

    def __init__(self, boundary: bytes, most: int) -> None:
        self._most, self._ended = most, False
        self._parts: list[_Part] = []
        self._key, self._value = bytearray(), bytearray()
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": lambda: self._parts.append(_Part()),
                    "on_header_field": lambda data, start, end: self._key.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._header,
                    "on_headers_finished": self._headers,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise Problem(400, "malformed", "The form's boundary is too long.") from None

    def take(self, piece: bytes) -> None:
        """Parse a piece of the body."""
        self._parser.write(piece)

    def _header(self) -> None:
        if self._key.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            part = self._parts[-1]
            part.name, part.is_file = options.get(b"name", b"").decode(errors="replace"), b"filename" in options
        self._key.clear()
        self._value.clear()

    def _headers(self) -> None:
        if len(self._parts) > 16:
            raise Problem(400, "malformed", "The form has more than 16 fields.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._parts[-1]
        part.content.extend(data[start:end])
        most = self._most if part.name == FIELD else _FORM_BYTES
        if len(part.content) > most:
            raise _too_large(self._most)

    def _end(self) -> None:
        self._ended = True

    def upload(self) -> Upload:
        """What came, once the body has ended."""
        if not self._ended:
            raise Problem(400, "cut-short", "The form was cut short.")
        pictures = [part for part in self._parts if part.name == FIELD]
        if len(pictures) != 1:
            raise Problem(
                400, "malformed", f"The form has {len(pictures)} fields {FIELD!r}; send one picture a request in it."
            )
        fields = {
            part.name: part.content.decode(errors="replace") for part in self._parts if part.name != FIELD and part.name
        }
        return Upload(_some(bytes(pictures[0].content)), fields)
