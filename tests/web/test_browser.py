"""The page in a real browser over `linnet serve`: identify, search, name, save, reload; keyboard, narrow screens."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from linnet.discover import open_discovery
from tests.web.conftest import picture

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here, so the page was NOT driven in a browser")
sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright here, so the page was NOT driven")


@pytest.fixture(scope="module")
def discovery(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(made / "discovery", tmp_path_factory.mktemp("browser") / "discovery"))


@pytest.fixture(scope="module")
def server(made: Path, discovery: Path) -> Iterator[str]:
    """The command itself; it ends cleanly when it is told to."""
    with serving(made, discovery) as (address, _):
        yield address


@contextmanager
def serving(made: Path, discovery: Path, ends_with: int = signal.SIGINT) -> Iterator[tuple[str, list[str]]]:
    """The command, where it answers, and what it said before, and at the end; it is ended with a signal."""
    given = ["serve", made / "run", "--index", made / "index", "--discovery", discovery]
    given += ["--port", 0, "--engine", "torch"]
    command = [sys.executable, "-m", "linnet", *map(str, given)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"http://\S+:\d+/", line):
                break
        else:
            pytest.fail("".join(lines))
        said = ["".join(lines)]
        yield found[0], said
        process.send_signal(ends_with)
        rest = process.stderr.read()
        assert process.wait(60) in (0, -ends_with, 130), rest
        assert "Traceback" not in rest
        said.append(rest)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(params=[DESK], ids=["desk"])
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page that must not complain of anything."""
    context = browser.new_context(viewport=request.param)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("requestfailed", lambda failed: complaints.append(f"{failed.failure}: {failed.url}"))
    opened.set_default_timeout(60_000)
    yield opened
    opened.wait_for_load_state("networkidle")
    context.close()
    assert not [each for each in complaints if "ERR_ABORTED" not in each], complaints


def narrow(page: Any) -> bool:
    """Whether nothing is wider than the screen."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


def settled(page: Any) -> None:
    page.wait_for_function("() => !document.querySelector('.htmx-request')")


def photo(made: Path) -> dict[str, Any]:
    file = sorted((made / "photos").rglob("*.png"))[3]
    return {"name": file.name, "mimeType": "image/png", "buffer": file.read_bytes()}


def test_identify_and_search(page: Any, server: str, made: Path) -> None:
    page.goto(server)
    page.set_input_files("#file", photo(made))
    page.wait_for_selector(".level")
    page.wait_for_selector("#maps figure:nth-of-type(2)")
    assert page.locator("#preview").is_visible()
    assert page.locator(".tiles .tile").count() == 12
    first = page.locator(".tile .score").first.inner_text()
    assert float(first) == pytest.approx(1, abs=0.01)
    page.locator(".candidate").nth(2).click()
    wanted = page.locator(".candidate .who").nth(2).inner_text()
    page.wait_for_function("name => document.querySelector('#maps').innerText.includes(name)", arg=wanted)
    page.locator(".tile").nth(1).click()
    page.wait_for_selector(".facts")
    assert page.locator(".tiles .tile").count() == 12


def test_drop_and_paste(page: Any, server: str) -> None:
    page.goto(server)
    content = list(picture())
    give = """([kind, bytes]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(bytes)], 'a.png', {type: 'image/png'}));
      document.dispatchEvent(kind === 'paste'
        ? new ClipboardEvent('paste', {clipboardData: transfer, bubbles: true, cancelable: true})
        : new DragEvent('drop', {dataTransfer: transfer, bubbles: true, cancelable: true}));
    }"""
    for kind in ("drop", "paste"):
        page.goto(server)
        page.evaluate(give, [kind, content])
        page.wait_for_selector(".level")
        settled(page)


def test_a_bad_picture_is_told(browser: Any, server: str) -> None:
    page = browser.new_page()
    page.goto(server)
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.wait_for_selector("#notice .problem")
    assert "This is no JPEG" in page.inner_text("#notice")
    page.click("[data-close]")
    assert page.inner_text("#notice") == ""
    page.set_input_files("#file", {"name": "b.png", "mimeType": "image/png", "buffer": picture()})
    page.wait_for_selector(".level")
    page.close()


def test_name_save_reload(page: Any, server: str, discovery: Path) -> None:
    page.goto(f"{server}discover")
    page.locator(".card").first.click()
    page.wait_for_url("**/discover/0")
    page.fill("#name-0", "crested")
    page.press("#name-0", "Enter")
    assert page.evaluate("document.activeElement.matches('[data-name]:not(#name-0)')"), "goes on to the next name"
    page.wait_for_selector("#told.unsaved")
    assert open_discovery(discovery).get(0, 0).name == ""
    page.reload()
    assert page.input_value("#name-0") == "crested", "the server holds it before it is saved"
    page.click("#save")
    page.wait_for_selector("#told:not(.unsaved)")
    assert open_discovery(discovery).get(0, 0).name == "crested"
    page.reload()
    assert page.input_value("#name-0") == "crested"
    assert "All saved" in page.inner_text("#state")


def test_what_is_typed_before_the_scripts_run_is_not_lost(browser: Any, server: str, discovery: Path) -> None:
    page, address = browser.new_page(), f"{server}discover/5"
    type_early(page, address, ["early", "bird"])
    page.reload()
    assert [page.input_value(f"#name-{number}") for number in (0, 1)] == ["early", "bird"]
    undo(page, 2)
    # In a form of one field Enter would send the form itself, and the name with it to nowhere.
    boxes = page.locator(".cluster .choose input")
    for place in range(boxes.count()):
        boxes.nth(place).check()
    page.click("#merge")
    page.wait_for_selector("#cluster-1", state="detached")
    type_early(page, address, ["lone"])
    assert page.url == address
    undo(page, 2)
    page.close()


def type_early(page: Any, address: str, names: list[str]) -> None:
    """Name the clusters 0, 1 ... with Enter while htmx is still on its way, and then let it come."""
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    page.route("**/htmx.min.js", hold)
    with page.expect_request("**/htmx.min.js"):
        page.goto(address, wait_until="commit")
    for number, name in enumerate(names):
        page.fill(f"#name-{number}", name)
        page.press(f"#name-{number}", "Enter")
    held[0].continue_()
    page.unroute("**/htmx.min.js")
    page.wait_for_function("name => document.querySelector('#what').textContent.includes(name)", arg=names[-1])


def undo(page: Any, steps: int) -> None:
    for _ in range(steps):
        told = page.inner_text("#what")
        page.click("#undo")
        page.wait_for_function("told => document.querySelector('#what').textContent !== told", arg=told)


def test_merge_split_move_undo(page: Any, server: str) -> None:
    page.goto(f"{server}discover/1")
    before = page.locator("section.cluster").count()
    for number in (0, 1):
        page.locator(f"#cluster-{number} .choose input").check()
    page.click("#merge")
    page.wait_for_function("count => document.querySelectorAll('section.cluster').length === count", arg=before - 1)
    assert page.locator("#dock").is_hidden()
    page.locator("#cluster-0 button:has-text('Split')").click()
    page.wait_for_function("count => document.querySelectorAll('section.cluster').length === count", arg=before)
    page.locator("#cluster-0 .pick").first.click()
    assert "1 image chosen" in page.inner_text("#chosen")
    page.select_option("#to", "new")
    page.click("#move")
    page.wait_for_function("count => document.querySelectorAll('section.cluster').length === count", arg=before + 1)
    for count in (before, before - 1, before):
        page.click("#undo")
        page.wait_for_function("count => document.querySelectorAll('section.cluster').length === count", arg=count)
    assert page.locator("#undo").is_enabled() is False or "name" in page.inner_text("#undo")


def test_two_tabs(browser: Any, server: str) -> None:
    tabs = [browser.new_page() for _ in range(2)]
    for tab in tabs:
        tab.goto(f"{server}discover/2")
    tabs[1].set_viewport_size(PHONE)
    for tab, name, field in zip(tabs, ("mine", "theirs"), ("#name-0", "#name-2"), strict=True):
        tab.fill(field, name)
        tab.press(field, "Enter")
        tab.wait_for_selector("#told.unsaved" if name == "mine" else "#notice .problem")
    assert "changed meanwhile" in tabs[1].inner_text("#notice")
    assert tabs[1].evaluate("scrollY > 500"), "far below the head of the page"
    seen = "(() => { const at = document.querySelector('#notice .problem').getBoundingClientRect();"
    assert tabs[1].evaluate(f"{seen} return at.top >= 0 && at.bottom <= innerHeight; }})()"), "told where it is seen"
    assert tabs[1].input_value("#name-2") == "theirs", "what was typed is still there"
    tabs[1].click("#notice a")
    tabs[1].wait_for_load_state()
    assert tabs[1].input_value("#name-0") == "mine"
    for tab in tabs:
        tab.close()


@pytest.mark.parametrize("ends_with", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
def test_what_is_not_saved_outlives_the_server(browser: Any, made: Path, tmp_path: Path, ends_with: int) -> None:
    folder = Path(shutil.copytree(made / "discovery", tmp_path / "discovery"))
    page = browser.new_page()
    with serving(made, folder, ends_with) as (address, said):
        assert "taken up" not in said[0]
        page.goto(f"{address}discover/0")
        page.fill("#name-0", "crested")
        page.press("#name-0", "Enter")
        page.wait_for_selector("#told.unsaved")
        for number in (1, 2):
            page.locator(f"#cluster-{number} .choose input").check()
        page.click("#merge")
        page.wait_for_selector("#cluster-2", state="detached")
    if ends_with == signal.SIGINT:
        assert "are kept as a draft; the next linnet serve takes them up" in said[1]
    with serving(made, folder) as (address, said):
        assert "were taken up again" in said[0]
        page.goto(f"{address}discover/0")
        assert "were taken up again" in page.inner_text("#note")
        assert page.input_value("#name-0") == "crested" and page.locator("#cluster-2").count() == 0
        page.click("#undo")
        page.wait_for_selector("#cluster-2")
        page.click("#save")
        page.wait_for_selector("#told:not(.unsaved)")
        assert page.locator("#note").is_hidden() and page.locator("#discard").is_disabled()
        page.fill("#name-1", "barred")
        page.press("#name-1", "Enter")
        page.wait_for_selector("#told.unsaved")
        page.click("#discard")
        page.wait_for_selector("#told:not(.unsaved)")
        assert page.input_value("#name-1") == "" and page.input_value("#name-0") == "crested"
    page.close()
    assert "draft" not in said[1], "nothing is left to save"
    assert open_discovery(folder).get(0, 0).name == "crested"
    assert not (folder / "draft.json").exists()


def test_leaving_asks_only_where_something_would_be_lost(browser: Any, server: str) -> None:
    page = browser.new_page()
    asked: list[str] = []

    def stay(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.goto(f"{server}discover/4")
    page.click("#name-0")
    page.keyboard.type("half a na")
    with page.expect_event("dialog"):
        page.evaluate("() => { location.href = '/' }")
    assert asked == ["beforeunload"] and page.url.endswith("/discover/4")
    page.keyboard.type("me")
    page.keyboard.press("Enter")
    page.wait_for_selector("#told.unsaved")
    settled(page)
    page.reload()
    assert page.input_value("#name-0") == "half a name" and asked == ["beforeunload"]
    page.click("#undo")
    page.wait_for_function("() => document.querySelector('#name-0').value === ''")
    page.goto(server)
    assert asked == ["beforeunload"]
    page.close()


def test_by_keyboard_alone(page: Any, server: str) -> None:
    page.goto(f"{server}discover/3")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.focus("#name-1")
    page.keyboard.type("striped")
    page.keyboard.press("Control+s")
    page.wait_for_selector("#saved .done")
    page.wait_for_selector("#told:not(.unsaved)")
    page.focus("#cluster-1 .pick input")
    page.keyboard.press("Space")
    assert "1 image chosen" in page.inner_text("#chosen")
    page.keyboard.press("Escape")
    assert page.locator("#dock").is_hidden()
    page.reload()
    assert page.input_value("#name-1") == "striped"


def test_the_collection_is_browsed(page: Any, server: str) -> None:
    page.goto(f"{server}collection")
    page.locator(".tabs a").last.click()
    page.wait_for_load_state()
    name = page.locator(".card b").nth(1).inner_text()
    page.fill("#q", name)
    page.wait_for_function("() => document.querySelectorAll('.card').length < 3")
    page.locator(".card").first.click()
    page.wait_for_selector(".tiles .tile")
    page.locator(".tile").first.click()
    page.wait_for_selector(".facts")
    assert page.locator(".crumbs a").count() == 3


@pytest.mark.parametrize("page", [PHONE], indirect=True, ids=["phone"])
def test_a_phone_needs_no_scrolling_aside(page: Any, server: str, made: Path) -> None:
    for path in ("", "collection", "collection/0/0", "images/3", "discover", "discover/0", "api"):
        page.goto(server + path)
        assert narrow(page), path
    page.goto(server)
    page.set_input_files("#file", photo(made))
    page.wait_for_selector("#maps figure:nth-of-type(2)")
    assert narrow(page)
