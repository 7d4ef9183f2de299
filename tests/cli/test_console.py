"""What is logged while a command works, and where it is shown."""

from __future__ import annotations

import logging

import pytest

from linnet.cli.console import show_log


def test_the_log_is_shown_meanwhile(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """From level info on; of several processes the main one tells, and each its warnings; then all is as before."""
    logger = logging.getLogger("linnet")
    before = logger.level, list(logger.handlers)
    with show_log():
        logger.debug("a detail")
        logger.info("an engine")
        monkeypatch.setenv("RANK", "1")
        logger.info("the same engine")
        logger.warning("a refusal")
    assert (logger.level, logger.handlers) == before
    assert capsys.readouterr().err.splitlines() == ["an engine", "a refusal"]
