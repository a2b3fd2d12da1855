"""Calls in a forked child answer, or raise at once with advice on starting processes; none waits for missing threads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from one_async.emulator import Emulator

SCRIPT = Path(__file__).with_name("forking.py")
#: What the parent does before it forks.
KINDS = ("search", "load", "identify", "frame", "file", "polars", "async")
#: These need no Polars, so that they answer in any child.
ANSWERED = {
    "search_terms",
    "describe_dataset",
    "dataset2type",
    "save_loaded_ids",
    "read npy",
    "load_object of npy",
}
PATIENCE = 240


def run(emulator: Emulator, folder: Path, kind: str) -> list[tuple[str, str, str]]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), emulator.url, str(folder), kind],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else []


@pytest.fixture(scope="module")
def folder(seeded_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of facts, written by a separate process, which fails if a public method has no example."""
    folder = tmp_path_factory.mktemp("forking")
    run(seeded_emulator, folder, "facts")
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("kind", KINDS)
def test_every_method_answers_or_refuses_after_a_fork(
    seeded_emulator: Emulator, folder: Path, kind: str
) -> None:
    for name, *outcomes in run(seeded_emulator, folder, kind):
        for outcome in outcomes:
            if name.startswith("alyx.") and name != "alyx.frame":
                assert outcome == "answered" or outcome.startswith("OneError NotFound"), (name, outcome)
            elif name in ANSWERED:
                assert outcome == "answered", (name, outcome)
            elif name == "describe_revision":
                assert "has no revision" in outcome, outcome
            elif kind != "file" or outcome != "answered":  # a small file may not need Polars' threads
                assert outcome.startswith("refused"), (name, outcome)
                assert "forkserver" in outcome


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_child_that_was_forked_first_answers(seeded_emulator: Emulator, folder: Path) -> None:
    for name, *outcomes in run(seeded_emulator, folder, "none"):
        for outcome in outcomes:
            assert outcome == "answered" or outcome.startswith("OneError"), (name, outcome)
