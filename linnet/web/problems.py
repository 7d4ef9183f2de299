"""What a request can get wrong, and how it is told: a status, a word for programs, a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping

from linnet.errors import ImageError, LinnetError, RunError, TaxonomyError

__all__ = ["FullError", "Problem", "conflict", "not_found", "problem_of"]


class Problem(Exception):  # noqa: N818 (it is an answer rather than an error)
    """An answer other than the one that was asked for.

    Attributes:
        status: of HTTP; `code` names the kind for programs; `headers` go with it.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, dict(headers or {})


class FullError(Problem):
    """The server has as much to do as it takes on at once."""

    def __init__(self, what: str, seconds: int = 1) -> None:
        super().__init__(
            503, "full", f"The server is busy: {what}. Try again in a moment.", {"Retry-After": str(seconds)}
        )


def not_found(message: str) -> Problem:
    """Something that is not there."""
    return Problem(404, "not-found", message)


def conflict(message: str) -> Problem:
    """A change of something that has changed since it was shown."""
    return Problem(409, "conflict", message)


def problem_of(error: LinnetError) -> Problem:
    """A user's mistake, as the rest of Linnet tells it, as an answer."""
    kinds: dict[type[LinnetError], tuple[int, str]] = {
        TaxonomyError: (404, "unknown-class"),
        ImageError: (422, "broken-image"),
        RunError: (422, "not-possible"),
    }
    status, code = kinds.get(type(error), (422, "not-possible"))
    return Problem(status, code, str(error))
