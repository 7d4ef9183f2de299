"""`linnet serve`: a run, its collection and its discovery as a page on this machine, and as an HTTP API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linnet.cli.console import complain, show_log, tell
from linnet.errors import LinnetError, RunError

if TYPE_CHECKING:
    from linnet.manifest import Manifest
    from linnet.web import Limits, Service
    from linnet.web.desk import Desk

__all__ = ["register", "serve"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    run: Annotated[Path, typer.Argument(help="The run folder that answers.")],
    index: Annotated[Path | None, typer.Option(help="What linnet index wrote with this run: nearest images.")] = None,
    discovery: Annotated[Path | None, typer.Option(help="What linnet discover wrote: the discovery desk.")] = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on. Another than this machine's own is for all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A host name that the server is reached by, for --host; may come again.")
    ] = None,
    engine: Annotated[str, typer.Option(help="What runs the net: auto, torch, compile, openvino.")] = "auto",
    data: Annotated[str | None, typer.Option(help="The data that was clustered, where it lies elsewhere now.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder that now holds the data set, or image paths.")] = None,
) -> None:
    """Open a local page: identify pictures, browse the collection, name what was discovered. Ctrl-C ends it."""
    from linnet.web.server import address, bind
    from linnet.web.server import serve as run_server

    service = _service(run, index, discovery, engine, data, root)
    listening = bind(host, port)
    where = address(listening)
    if not _is_loopback(listening.getsockname()[0]):
        complain(
            f"warning: {host} can be reached from other machines, and whoever reaches it sees the collection and can "
            "change the discovery; there is no password and no encryption. Leave --host out to serve this machine only."
        )
    if service.desk is not None and service.desk.state.note:
        tell(service.desk.state.note)
    try:
        with show_log():
            run_server(
                service,
                listening,
                tuple(allow_host or ()),
                lambda: tell(f"{run.resolve().name}: {where}  (Ctrl-C ends)"),
            )
    finally:  # Ctrl-C comes out of it as an interrupt
        if service.desk is not None and service.desk.state.unsaved:
            complain(
                f"unsaved changes of {service.desk.folder} are kept as a draft; the next linnet serve takes them up"
            )


def _service(
    run: Path, index: Path | None, discovery: Path | None, engine: str, data: str | None, root: str | None
) -> Service:
    """What is served, opened.

    Raises:
        RunError: something is not there, or does not belong together.
    """
    from linnet.predict import Predictor
    from linnet.web import Limits, Service

    limits = Limits()
    predictor = Predictor.open(run, engine=engine)
    found = None
    if index is not None:
        from linnet.search import Index

        found = Index.open(index)
    desk, clustered = (None, None) if discovery is None else _desk(discovery, data, root, limits)
    service = Service(run, predictor, found, desk, clustered, limits)
    service.warm()
    return service


def _desk(discovery: Path, data: str | None, root: str | None, limits: Limits) -> tuple[Desk, Manifest]:
    """The desk, and the data that was clustered.

    Raises:
        RunError: there is no discovery, or its data is not there any more.
    """
    from linnet.discover.embed import manifest_of
    from linnet.web.desk import Desk

    desk = Desk(discovery, limits.undo)
    try:
        return desk, manifest_of(desk.state.discovery, data, root)
    except LinnetError as error:
        raise RunError(
            f"{discovery}: the data that was clustered cannot be read; see --data and --root\n{error}"
        ) from None


def _is_loopback(address: str) -> bool:
    import ipaddress

    return ipaddress.ip_address(address).is_loopback
