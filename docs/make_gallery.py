"""Write `docs/gallery.md` and its pictures: commands, cards of notebooks and plots, all from the seeded emulator.

``python docs/make_gallery.py`` needs the extras cli, emulator and plot.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib
from rich.console import Console
from rich.text import Text

from one_async import ONE
from one_async.emulator import Emulator

HERE = Path(__file__).parent
FOLDER = HERE / "gallery"
COLUMNS = 80
HEAD = """<!-- Made by docs/make_gallery.py; not to be edited by hand. -->

# Gallery

Commands, objects in notebooks and plots, as they look with the data of `one-async emulator`.
"""
NEXT = "Next: [Quick start](quickstart.md), to run these on your own machine.\n"
#: The arguments of each command; ``EID`` stands for a session with spikes.
COMMANDS = (
    ("search", "lab=cortexlab", "datasets=spikes.times.npy"),
    ("show", "EID"),
    ("ls", "EID"),
    ("download", "EID", "--collection", "alf", "--dry-run"),
    ("modes",),
)
#: The emulator's address in pictures, in place of that of the run.
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


def run(words: list[str], environment: dict[str, str]) -> str:
    """Return what a command prints to a terminal of `COLUMNS` columns, with its colours."""
    code = (
        "import rich.console; old = rich.console.Console.__init__\n"
        f"rich.console.Console.__init__ = lambda self, **o: old(self, **{{**o, 'force_terminal': True, 'width': {COLUMNS}}})\n"
        "from one_async.cli import main; import sys; sys.argv = ['one-async', *sys.argv[1:]]; main()"
    )
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    shown = done.stdout.replace(environment["ONE_CACHE_DIR"], "/data/one")
    return ADDRESS.sub("http://127.0.0.1:8000", shown)


def picture(title: str, text: str) -> str:
    """Return text with colours as an SVG without references to other files."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(text), end="", no_wrap=True, overflow="fold")
    svg = console.export_svg(title=title, unique_id="shown")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code,", "")


def commands(environment: dict[str, str], eid: str) -> list[str]:
    """Write a picture for each command; return the lines of the page."""
    lines = ["## Commands", ""]
    for words in COMMANDS:
        shown = "one-async " + " ".join(words)
        text = run([eid if word == "EID" else word for word in words], environment)
        (FOLDER / f"{words[0]}.svg").write_text(picture(shown, text), "utf-8")
        lines += [f"![{shown}](gallery/{words[0]}.svg)", ""]
    return lines


def cards(one: ONE, eid: str) -> list[str]:
    """Return the lines of the page with the cards of notebooks."""
    things = {
        'one.load_object(eid, "trials")': one.load_object(eid, "trials"),
        "one.get_details(eid, full=True)": one.get_details(eid, full=True),
        "one.load_spike_sorting(one.eid2pid(eid)[0])": one.load_spike_sorting(one.eid2pid(eid)[0]),
    }
    lines = ["## Notebooks", ""]
    for code, thing in things.items():
        lines += ["```text", code, "```", "", ADDRESS.sub("http://127.0.0.1:8000", thing._repr_html_()), ""]
    lines += ["In JupyterLab, in its light and dark themes:", ""]
    lines += [
        line
        for name in ("trials", "error")
        for theme in ("light", "dark")
        for line in (f"![{name}, {theme}](gallery/notebook-{name}-{theme}.png)", "")
    ]
    return lines


def plots(one: ONE) -> list[str]:
    """Write the picture of the plots; return the lines of the page."""
    from matplotlib import pyplot

    eids = one.search(datasets="spikes.times.npy")
    figure, axes = pyplot.subplots(2, 2, figsize=(11, 8), layout="constrained")
    one.plot.psychometric(eids, ax=axes[0, 0])
    one.plot.raster(one.search_insertions(datasets="spikes.times.npy")[0], ax=axes[0, 1])
    one.plot.qc(eids, ax=axes[1, 0])
    one.plot.coverage(ax=axes[1, 1])
    figure.savefig(FOLDER / "plots.png", dpi=80, metadata={"Software": None})
    shown = "`one.plot.psychometric(eids)`, `.raster(pid)`, `.qc(eids)`, `.coverage()`"
    return ["## Plots", "", shown, "", "![four plots](gallery/plots.png)", ""]


def main() -> None:
    """Run everything on one emulator, and write the page."""
    matplotlib.use("Agg")
    FOLDER.mkdir(exist_ok=True)
    with Emulator() as emulator, tempfile.TemporaryDirectory() as folder:
        login = {"base_url": emulator.url, "username": "demo", "password": "demo"}
        environment = {f"ONE_{name.upper()}": value for name, value in login.items()}
        with ONE(**login, cache_dir=folder, progress=False) as one:
            eid = str(one.search(datasets="spikes.times.npy")[0])
            lines = commands({**environment, "ONE_CACHE_DIR": folder}, eid) + cards(one, eid) + plots(one)
    (HERE / "gallery.md").write_text("\n".join([HEAD, *lines, NEXT]), "utf-8")


if __name__ == "__main__":
    main()
