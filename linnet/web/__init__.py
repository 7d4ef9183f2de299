"""The local page and its HTTP API: a run, its collection and its discovery in a browser."""

from __future__ import annotations

from linnet.web.app import create_app
from linnet.web.limits import Limits
from linnet.web.service import Service

__all__ = ["Limits", "Service", "create_app"]
