"""Run the tutorials, which are notebooks without outputs, and write a page with outputs and figures for each.

    python docs/make_tutorials.py [NAME …]    # reads docs/tutorials/NAME.ipynb; writes NAME.md and figures beside it

Each notebook runs in its own kernel and folder, starts its own emulator, and needs no network.
`tests/docs/test_tutorials.py` runs them and compares the texts. It needs the extras all and dev.
"""

from __future__ import annotations

import base64
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parent / "tutorials"
#: The order of the navigation.
NAMES = ("first-steps", "many-sessions", "spikes", "metadata", "folder", "service")
MADE = "<!-- Made by docs/make_tutorials.py from {0}.ipynb; not to be edited by hand. -->\n\n"
END = "\n---\n\nThis page is a notebook: [download {0}.ipynb]({0}.ipynb), and run it where one_async is installed.\n"
#: Frames are shown as Markdown tables; nothing depends on the machine or its user's settings.
ENVIRONMENT = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "ONE_PROGRESS": "0",
    "POLARS_FMT_TABLE_FORMATTING": "MARKDOWN",
    "POLARS_FMT_TABLE_HIDE_COLUMN_DATA_TYPES": "1",
    "POLARS_FMT_TABLE_HIDE_DATAFRAME_SHAPE_INFORMATION": "1",
    "POLARS_FMT_MAX_COLS": "-1",
    "POLARS_FMT_STR_LEN": "60",
    "POLARS_TABLE_WIDTH": "1000",
}
#: Texts that differ from run to run: the emulator's address and the notebook's folder.
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
MOST_BYTES = 60_000


def execute(name: str, folder: Path) -> Any:
    """Return a notebook with the outputs of a run in a folder. Raise CellExecutionError for a cell that fails."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        coalesce_streams=True,  # a kernel may send the lines of a cell in several messages
        resources={"metadata": {"path": str(folder)}},
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ONE_", "POLARS_"))}
    home = {"HOME": str(folder), "ONE_CONFIG_DIR": str(folder / "config")}
    client.execute(env={**kept, **home, **ENVIRONMENT})
    return notebook


def page(name: str, notebook: Any, folder: Path) -> tuple[str, dict[str, bytes]]:
    """Return the page of a notebook that ran in a folder, and its figures by file name."""
    parts, figures = [], {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            picture = output.get("data", {}).get("image/png")
            if picture is not None:
                file = f"{name}-{len(figures) + 1}.png"
                figures[file] = base64.b64decode(picture)
                parts.append(f"![{figure_title(cell.source)}]({file})")
            elif text := text_of(output):
                parts.append(shown(ADDRESS.sub("http://127.0.0.1:8000", text.replace(str(folder), "~"))))
    return MADE.format(name) + "\n\n".join(parts) + "\n" + END.format(name), figures


def figure_title(source: str) -> str:
    """Return the alternative text of a figure: the cell's last comment, or else its last line."""
    lines = source.splitlines()
    comments = [line.removeprefix("# ") for line in lines if line.startswith("# ")]
    return re.sub(r"[\[\]]", "", (comments or lines)[-1].rstrip(";"))


def text_of(output: Any) -> str:
    """Return the text of an output."""
    return str(output.get("text") or output.get("data", {}).get("text/plain") or "").rstrip()


def shown(text: str) -> str:
    """Return an output as Markdown; frames are Markdown tables already."""
    if re.match(r"\|.*\|\n\|[-| ]+\|(\n|$)", text):
        return "\n".join(re.sub(r" {2,}", " ", line) for line in text.splitlines())
    return f"```text\n{text}\n```"


def smaller(picture: bytes) -> bytes:
    """Return a figure with a palette of 32 colours."""
    written = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(32).save(written, "PNG", optimize=True)
    return written.getvalue()


def main(names: list[str]) -> None:
    """Write the pages and figures of notebooks."""
    for name in names or NAMES:
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text).resolve()
            written, figures = page(name, execute(name, folder), folder)
        for old in FOLDER.glob(f"{name}-*.png"):
            old.unlink()
        for file, picture in figures.items():
            (FOLDER / file).write_bytes(smaller(picture))
        (FOLDER / f"{name}.md").write_text(written, "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
