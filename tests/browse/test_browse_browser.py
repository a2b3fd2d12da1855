"""The page in headless Chromium: display, clicks and copies, and no request to other machines."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from browse_world import HOSTILE, Expected, make_tables

from one_async import ONE
from one_async.browse.filters import Filters, Part
from one_async.emulator import Emulator

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed (Debian's package is chromium)"
)
TABLES = make_tables(2500)
EXPECTED = Expected(TABLES)
ROWS = ".view .row:not(.waiting)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # Chromium's sandbox does not work for root, and the page is our own.
    arguments = ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(local: ONE) -> Iterator[str]:
    with local.browse() as page:
        yield page.url


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    yield from opened(browser, address)


def opened(browser: Any, address: str) -> Iterator[Any]:
    """Open the page; check at its end that it made no request to another address and raised no error."""
    context = browser.new_context(
        viewport={"width": 1400, "height": 900}, permissions=["clipboard-read", "clipboard-write"]
    )
    page = context.new_page()
    requests: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: problems.append(message.text) if "Content Security" in message.text else None,
    )
    page.set_default_timeout(15_000)
    page.goto(address)
    page.wait_for_selector(ROWS)
    yield page
    context.close()
    assert problems == []
    assert requests
    assert all(url.startswith(address) for url in requests)


def total(page: Any, wanted: int) -> None:
    """Wait until the page shows a number of sessions."""
    sync_api.expect(page.locator("#total")).to_have_text(f"{wanted:,}")


def copied(page: Any, button: Any) -> str:
    button.click()
    sync_api.expect(button).to_have_text("Copied")
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_counts_follow_the_filters_during_typing(page: Any, local: ONE) -> None:
    total(page, 2500)
    page.locator("#filter-subject").press_sequentially("ks00")
    total(page, len(EXPECTED.eids(Filters(subject=Part((), "ks00")))))
    page.locator("section", has=page.locator("#filter-lab")).get_by_role(
        "button", name=re.compile("^cortexlab_b")
    ).click()
    filters = Filters(subject=Part((), "ks00"), lab=Part(("cortexlab_b",)))
    total(page, len(EXPECTED.eids(filters)))
    page.locator("#filter-from").fill("2022")
    filters = filters._replace(start="2022-01-01")
    total(page, len(EXPECTED.eids(filters)))
    page.get_by_role("button", name=re.compile("^PASS")).click()
    filters = filters._replace(qc="PASS")
    total(page, len(EXPECTED.eids(filters)))
    code = copied(page, page.locator("#search-code button"))
    assert {str(eid) for eid in eval(code, {"one": local})} == EXPECTED.eids(filters)
    page.reload()
    total(page, len(EXPECTED.eids(filters)))
    page.locator("#reset").click()
    total(page, 2500)
    assert page.locator("#search-code code").text_content() == "one.search()"


def test_scrolling_shows_every_session_in_order(page: Any, local: ONE) -> None:
    wanted = [str(eid) for eid in local.search()]
    subjects = dict(TABLES.session_frame.select("eid", "subject").iter_rows())
    view = page.locator(".view")
    for at in (0, 199, 200, 1234, 2499):
        view.evaluate("(view, top) => { view.scrollTop = top; }", max(0, (at - 3) * 30))
        row = page.locator(f"#row-{at}:not(.waiting)")
        row.wait_for()
        assert row.locator(".subject").text_content() == subjects[wanted[at]].replace("\u202e", "\ufffd")
    assert page.locator(".view .row").count() < 80
    row.click()
    sync_api.expect(page.locator("#detail .eid code")).to_have_text(wanted[-1])
    view.press("ArrowUp")
    sync_api.expect(page.locator("#detail .eid code")).to_have_text(wanted[-2])
    view.press("Home")
    sync_api.expect(page.locator("#detail .eid code")).to_have_text(wanted[0])
    assert view.evaluate("view => view.scrollTop") == 0


def test_hostile_names_are_shown_as_text(page: Any, local: ONE) -> None:
    page.locator("#filter-subject").fill("<SCRIPT")
    total(page, len(EXPECTED.eids(Filters(subject=Part((HOSTILE,))))))
    page.locator(".value", has_text=HOSTILE).click()
    sync_api.expect(page.locator(".value[aria-pressed=true] .name")).to_have_text(HOSTILE)
    page.locator(ROWS).first.click()
    sync_api.expect(page.locator("#detail h2")).to_contain_text(HOSTILE)
    assert page.title() == "Sessions · one_async"
    assert page.evaluate("document.querySelectorAll('body script, [onclick], [onerror]').length") == 0
    code = copied(page, page.locator("#search-code button"))
    assert {str(eid) for eid in eval(code, {"one": local})} == EXPECTED.eids(
        Filters(subject=Part((HOSTILE,)))
    )


def test_names_do_not_change_the_direction_of_the_text(page: Any, local: ONE) -> None:
    """U+202E would display ``\u202eevil`` as ``live``, the name of another subject."""
    page.locator("#filter-subject").fill("\u202eevil")
    total(page, len(EXPECTED.eids(Filters(subject=Part(("\u202eevil",))))))
    page.locator(ROWS).first.click()
    sync_api.expect(page.locator("#detail h2")).to_contain_text("\ufffdevil")
    assert "\u202e" not in page.locator("body").inner_text()
    code = copied(page, page.locator("#search-code button"))
    assert {str(eid) for eid in eval(code, {"one": local})} == EXPECTED.eids(
        Filters(subject=Part(("\u202eevil",)))
    )


@pytest.fixture(scope="module")
def remote(seeded_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory, home: None) -> Iterator[ONE]:
    options: dict[str, Any] = {"base_url": seeded_emulator.url, "username": "demo", "password": "demo"}
    with ONE(**options, cache_dir=tmp_path_factory.mktemp("remote"), mode="auto", silent=True) as one:
        yield one


def test_data_is_downloaded_and_plotted(browser: Any, remote: ONE) -> None:
    with remote.browse() as served:
        for page in opened(browser, served.url):
            page.locator("#filter-dataset").fill("spikes.times.npy")
            total(page, len(remote.search(datasets="spikes.times.npy")))
            page.locator(ROWS).first.click()
            for kind, drawn in [
                ("psychometric", "polyline >> nth=0"),
                ("wheel", "polygon"),
                ("raster", "canvas"),
            ]:
                page.locator(f".plot-of-{kind} .fetch").click()
                page.locator(f".plot-of-{kind} .plot-body {drawn}").wait_for()
            inked = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
            assert page.locator(".plot-of-raster canvas").evaluate(inked)
            trials = eval(copied(page, page.locator(".plot-of-psychometric .copy")), {"one": remote})
            assert (
                f"{len(trials['choice']):,} trials"
                in page.locator(".plot-of-psychometric .legend").inner_text()
            )
            heading = page.locator(".plot-of-psychometric h3")
            assert heading.inner_text() == "Psychometric curve choices to the right by contrast, right − left"
            projects = page.locator("#detail dd", has_text=",").first
            assert (
                projects.evaluate("dd => dd.querySelectorAll('wbr').length")
                == projects.inner_text().count(",") + 1
            )
            page.locator("#detail .checks").wait_for()
            for theme in ("dark", "light"):
                page.emulate_media(color_scheme=theme)
                sync_api.expect(page.locator("html")).to_have_class("dark" if theme == "dark" else "")
                back = page.evaluate("getComputedStyle(document.body).backgroundColor")
                assert (sum(map(int, re.findall(r"\d+", back)[:3])) > 380) == (theme == "light")
            for width in (1400, 900, 400):
                page.set_viewport_size({"width": width, "height": 800})
                assert page.evaluate("document.documentElement.scrollWidth") <= width


@contextmanager
def files_of(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine, as a notebook's server does."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("text", "is_light"), [("rgba(255, 255, 255, 0.87)", False), ("rgb(20, 20, 20)", True)]
)
def test_a_frame_has_the_theme_of_the_notebook(
    browser: Any, local: ONE, tmp_path: Path, text: str, is_light: bool
) -> None:
    with local.browse() as served, files_of(tmp_path) as address_of_files:
        page = browser.new_page(color_scheme="dark" if is_light else "light")
        page.set_default_timeout(15_000)
        notebook = tmp_path / "notebook.html"
        notebook.write_text(
            f"<!doctype html><div style='color: {text}'>{served._repr_html_()}</div>", "utf-8"
        )
        page.goto(f"{address_of_files}notebook.html")
        shown = page.frame_locator("iframe")
        shown.locator(ROWS).first.wait_for()
        sync_api.expect(shown.locator("html")).to_have_class("" if is_light else "dark")
        back = shown.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", back)[:3])) > 380) == is_light
        page.close()
