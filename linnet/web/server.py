"""The application on a port, until it is told to stop."""

from __future__ import annotations

import logging
import socket
import warnings
from collections.abc import Callable

import uvicorn

from linnet.errors import RunError
from linnet.web.app import create_app
from linnet.web.service import Service

__all__ = ["address", "bind", "serve"]

_GRACE = 10
"""Seconds that open requests have to end once the server is told to stop."""


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens on an address; port 0 takes a free one.

    Raises:
        RunError: the address is not there or taken.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(
            f"cannot listen on {host}, port {port}: {reason}; choose another --port (0 takes a free one)"
        ) from None


def address(listening: socket.socket) -> str:
    """Where a browser finds it."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def serve(
    service: Service, listening: socket.socket, names: tuple[str, ...] = (), ready: Callable[[], None] | None = None
) -> None:
    """Answer until an interrupt; open requests are answered first, new ones are not taken.

    Args:
        names: more host names that it answers as.
        ready: called once, when it answers.
    """
    # What Pillow thinks of odd pictures is of no use in a log.
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    app = create_app(service, listening.getsockname()[0], names)
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE,
        lifespan="on",
    )
    _Server(config, ready).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Tells when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        await super().startup(sockets)
        if self._ready is not None and self.started:
            self._ready()
