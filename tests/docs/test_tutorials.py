"""The tutorials run in a kernel, and their pages show the output of their cells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from doc_pages import DOCS, ROOT, links, script

for extra in ("matplotlib", "duckdb", "av", "nbclient", "ipykernel", "PIL"):
    pytest.importorskip(extra)
nbformat = pytest.importorskip("nbformat")

TUTORIALS = script("make_tutorials")
FOLDER = DOCS / "tutorials"


@pytest.mark.filterwarnings("default")  # the kernel's own code warns
@pytest.mark.parametrize("name", TUTORIALS.NAMES)
def test_a_tutorial_runs_and_its_page_is_up_to_date(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    text, figures = TUTORIALS.page(name, TUTORIALS.execute(name, tmp_path), tmp_path)
    written = (FOLDER / f"{name}.md").read_text("utf-8")
    assert squeezed(text) == squeezed(written), f"run: python docs/make_tutorials.py {name}"
    assert set(figures) == {path.name for path in FOLDER.glob(f"{name}-*.png")}
    assert set(figures) == {link for link in links(FOLDER / f"{name}.md") if link.endswith(".png")}


def test_every_notebook_is_a_tutorial_without_outputs() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(TUTORIALS.NAMES)
    for name in TUTORIALS.NAMES:
        notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
        nbformat.validate(notebook)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert code
        assert not [cell.id for cell in code if cell.outputs or cell.execution_count]


def test_figures_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in FOLDER.glob("*.png")}
    assert sizes
    assert not {name for name, size in sizes.items() if size > TUTORIALS.MOST_BYTES}


def squeezed(text: str) -> str:
    """Return a text with whitespace normalized."""
    return re.sub(r"[\s-]+", " ", text).strip()
