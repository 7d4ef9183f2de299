"""The application: the API, the page, what they answer when something is wrong, and what stands before them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import Request

from linnet.errors import LinnetError
from linnet.web import api, api_desk, pages, pages_desk
from linnet.web.guard import Guard
from linnet.web.problems import Problem, problem_of
from linnet.web.render import render
from linnet.web.service import Service

__all__ = ["create_app"]

_HERE = Path(__file__).parent


def create_app(service: Service, bound: str = "127.0.0.1", names: tuple[str, ...] = ()) -> FastAPI:
    """The page and its API over a service, which it starts and closes.

    Args:
        bound: the address that the server listens on.
        names: more host names that it answers as.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.close()

    # FastAPI's own documentation pages fetch their scripts from elsewhere; the page /api is ours.
    app = FastAPI(
        title="Linnet",
        version=version("linnet"),
        summary="What a run says of pictures, its collection, and the discovery desk.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        lifespan=life,
    )
    app.state.service = service
    app.add_middleware(Guard, bound=bound, names=names)
    app.include_router(api.router, tags=["run and collection"])
    app.include_router(api_desk.router, tags=["discovery"])
    app.include_router(pages.router, include_in_schema=False)
    app.include_router(pages_desk.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    app.add_exception_handler(Problem, _answer)
    app.add_exception_handler(LinnetError, _answer)
    app.add_exception_handler(RequestValidationError, _answer)
    app.add_exception_handler(HTTPException, _answer)

    @app.get("/health/live", include_in_schema=False)
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready", include_in_schema=False)
    async def ready() -> Response:
        full = service.gate.inside >= service.gate.room
        status = {"status": "full" if full else "ready"}
        return JSONResponse(status, 503 if full else 200, {"Retry-After": "1"} if full else {})

    return app


async def _answer(request: Request, error: Exception) -> Response:
    """A problem as JSON to programs, as a fragment to the page's own requests, and as a page to a browser."""
    problem = _problem(error)
    told = {"code": problem.code, "message": str(problem), "request": request.scope["state"]["request_id"]}
    fragment = request.headers.get("hx-request") == "true"
    if fragment or (not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")):
        name = "_problem.html" if fragment else "problem.html"
        return render(request, name, problem=told, status_code=problem.status, headers=problem.headers)
    return JSONResponse({"error": told}, problem.status, problem.headers)


def _problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, LinnetError):
        return problem_of(error)
    if isinstance(error, RequestValidationError):
        told = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:5])
        return Problem(422, "invalid", told)
    assert isinstance(error, HTTPException)
    codes = {404: "not-found", 405: "method-not-allowed"}
    return Problem(error.status_code, codes.get(error.status_code, "refused"), error.detail, error.headers)
