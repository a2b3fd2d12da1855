"""Write pictures of objects, errors and progress in JupyterLab in a browser, in the light and dark theme.

``python docs/make_notebook_pictures.py`` writes those of the gallery; ``--all FOLDER`` writes one of each cell to a folder
for inspection. It needs the extras emulator, video and browse, the packages jupyterlab and playwright, and Chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from one_async.emulator import Emulator

GALLERY = Path(__file__).parent / "gallery"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
#: The size of the browser's window, into which the highest cell fits.
WINDOW = {"width": 1180, "height": 2400}
#: The cells of the notebook; those whose name begins with an underscore have no picture.
CELLS = {
    "_start": "import os, warnings\nfrom one_async import ONE\none = ONE(mode='remote')\n"
    "eid = one.search(datasets='spikes.times.npy')[0]\npids, names = one.eid2pid(eid)",
    "one": "one",
    "alyx": "one.alyx",
    "settings": "one.settings",
    "search": "eids, sessions = one.search(datasets='spikes.times.npy', details=True)\nsessions",
    "empty_search": "one.search(lab='cortexlb')",
    "details": "one.get_details(eid, full=True)",
    "insertions": "one.search_insertions(datasets='spikes.times.npy', details=True)[1][0]",
    "quality": "one.quality(datasets='spikes.times.npy')",
    "trials": "one.load_object(eid, 'trials')",
    "spikes": "one.load_object(eid, 'spikes')",
    "wheel": "one.load_object(eid, 'wheel')",
    "clusters": "one.load_object(eid, 'clusters')",
    "sorting": "one.load_spike_sorting(pids)",
    "error": "one.load_object(eid, 'trails')",
    "wrong_argument": "one.search(labs='cortexlab')",
    "datasets": "one.list_datasets(eid, collection='alf', details=True)",
    "many": "one.load_many(eids, 'trials')",
    "collected": "one.load_many(one.search()[:6], 'spikes', on_error='collect')",
    "download": "one.download(eids, collection='alf/*')",
    "harvest": "one.harvest(['sessions', 'insertions', 'subjects', 'datasets'], 'metadata', tidy=True)",
    "ephys": "one.raw_ephys(pids[0])",
    "video": "one.video(eid, 'left')",
    "stats": "one.stats",
    "local": "local = ONE(mode='auto')\nlocal.search(lab='cortexlab')\nlocal",
    "browse": "page = one.browse()\npage",
}
#: The cells whose picture is also taken while they run.
RUNNING = ("many", "download", "harvest")
#: The cells of the gallery.
SHOWN = ("trials", "error")
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


def notebook(cells: dict[str, str]) -> dict[str, Any]:
    """Return a notebook of code cells."""
    goes_on = {"tags": ["raises-exception"]}
    made = [
        {
            "cell_type": "code",
            "id": name,
            "metadata": goes_on,
            "source": code,
            "outputs": [],
            "execution_count": None,
        }
        for name, code in cells.items()
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


@contextmanager
def lab(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run JupyterLab on a folder with its own settings; yield the address of its notebook."""
    for name, values in SETTINGS.items():
        file = folder / "config/lab/user-settings/@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), "utf-8")
    work = folder / "work"
    work.mkdir()
    (work / "shown.ipynb").write_text(json.dumps(notebook(CELLS)), "utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    places = {f"JUPYTER_{name.upper()}_DIR": str(folder / name) for name in ("config", "data", "runtime")}
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.root_dir": work,
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "IdentityProvider.token": token,
        "LabApp.expose_app_in_browser": True,
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "jupyter.log").open("w") as log:
        running = subprocess.Popen(
            command,
            env={**os.environ, **places, **environment, "IPYTHONDIR": str(folder / "ipython")},
            stderr=log,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/api?token={token}")
        yield f"{address}/lab/tree/shown.ipynb?token={token}"
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def wait_for(address: str) -> None:
    """Wait until a server answers."""
    for _ in range(300):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise SystemExit("JupyterLab did not start")


class Notebook:
    """The notebook in the browser."""

    def __init__(self, page: Page, folder: Path, is_all: bool) -> None:
        self.page, self.folder, self.is_all = page, folder, is_all
        page.wait_for_function("window.jupyterapp !== undefined")
        page.locator(".jp-Notebook .jp-Cell").nth(len(CELLS) - 1).wait_for(state="attached")
        page.get_by_title("Python 3").first.wait_for(state="attached")
        self.command("application:toggle-mode")  # a picture of the notebook without the rest of the window
        self.command("application:toggle-left-area")

    def command(self, name: str, **arguments: Any) -> None:
        """Execute a command of JupyterLab."""
        self.page.evaluate(
            "([name, given]) => { window.jupyterapp.commands.execute(name, given); }", [name, arguments]
        )

    def cell(self, name: str) -> Any:
        """Return the element of a cell."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(list(CELLS).index(name))

    def picture(self, name: str, theme: str, moment: str = "") -> None:
        """Take a picture of a cell."""
        self.cell(name).screenshot(path=self.folder / f"notebook-{name}{moment}-{theme}.png")

    def run(self) -> None:
        """Run all cells, and take pictures during those that show progress."""
        self.command("notebook:run-all-cells")
        for name in CELLS:
            prompt = self.cell(name).locator(".jp-InputPrompt")
            for moment in range(300):
                text = prompt.inner_text()
                if text.strip("[]: ").isdigit():
                    break
                shown = self.cell(name).locator(".jp-OutputArea-output")
                if self.is_all and name in RUNNING and moment % 8 == 0 and shown.count():
                    self.picture(name, "light", f"-running{moment:03}")
                self.page.wait_for_timeout(100)
            else:
                raise SystemExit(f"the cell {name!r} did not end")

    def theme(self, name: str) -> None:
        """Change the theme, and wait until it is drawn."""
        self.command("apputils:change-theme", theme=THEMES[name])
        light = str(name == "light").lower()
        self.page.wait_for_selector(f'body[data-jp-theme-light="{light}"]', state="attached")
        for page in self.page.locator("iframe[title='one_async browse']").all():
            page.evaluate("frame => { frame.src = frame.src; }")  # reloading applies the theme
        self.page.wait_for_timeout(3000)


def take(folder: Path, names: list[str], is_all: bool) -> None:
    """Run the notebook on an emulator with the latency of a real server, and take the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    arguments = ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []
    with tempfile.TemporaryDirectory() as home, Emulator(latency=0.05, file_latency=0.2) as emulator:
        login = {"BASE_URL": emulator.url, "USERNAME": "demo", "PASSWORD": "demo"}
        places = {"CACHE_DIR": f"{home}/data", "CONFIG_DIR": f"{home}/one"}
        environment = {f"ONE_{name}": value for name, value in (login | places).items()}
        with lab(Path(home), environment) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
            page = browser.new_page(viewport=WINDOW)
            page.set_default_timeout(60_000)
            page.goto(address)
            shown = Notebook(page, folder, is_all)
            shown.run()
            for theme in THEMES:
                shown.theme(theme)
                for name in names:
                    shown.picture(name, theme)
            browser.close()


def main() -> None:
    """Write the pictures of the gallery, or of all cells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--all", type=Path, metavar="FOLDER", help="write a picture of each cell to this folder"
    )
    folder = parser.parse_args().all
    names = [name for name in CELLS if not name.startswith("_")] if folder else list(SHOWN)
    take(folder or GALLERY, names, is_all=folder is not None)


if __name__ == "__main__":
    main()
