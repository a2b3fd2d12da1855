"""The table of calls, in every mode and world: ONE-api, `ONE` and `AsyncONE` mean the same, but for what `kept.py` lists."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import calls
import compare
import kept
import notebooks
import pytest
from runner import Bench, prepare
from worlds import DATA, Facts, facts

from one_async.emulator import Emulator

#: What `docs/parity.md` reports; written when the whole suite has run.
RESULT = Path(__file__).parent / "result.json"
SETTINGS = [("recorded", "local"), ("recorded", "remote"), ("seeded", "local"), ("seeded", "remote")]
WHO = ("blocking", "awaited")


@pytest.fixture(scope="module")
def tally() -> Iterator[dict[str, Counter[str]]]:
    """Count, over all tests, what is the same and which kept differences show."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("same", "of these", "kept", "notebooks")}
    yield counts
    if sum(counts["same"].values()) and set(counts["kept"]) == set(kept.KEPT):
        RESULT.write_text(
            json.dumps({name: dict(sorted(count.items())) for name, count in counts.items()}, indent=1)
            + "\n",
            "utf-8",
        )


def world_of(name: str) -> Emulator:
    return Emulator(records=DATA) if name == "recorded" else Emulator()


def bench_of(emulator: Emulator, known: Facts, mode: str, folder: Path) -> Bench:
    """Make folders, and for the local mode fill them with tables and files."""
    server = {
        "base_url": emulator.url,
        "username": "demo",
        "password": "demo",
        "data_server": f"{emulator.url}/data",
    }
    if mode == "remote":
        return Bench(folder, mode, server)
    for who in ("oracle", *WHO):
        prepare(known, folder / who, emulator.world)
    return Bench(folder, mode)


def _sort_of(answer: dict[str, Any]) -> str:
    """Tell errors and empty answers, which many a wrong client would give too, from the others."""
    if "error" in answer:
        return "errors of the same kind"
    return "empty answers" if answer["value"] in (None, [], {}) else "answers with something in them"


def without_text(answer: dict[str, Any]) -> dict[str, Any]:
    """Drop an error's text, which may name the folder."""
    return {key: value for key, value in answer.items() if key != "text"}


@pytest.mark.parametrize(("world", "mode"), SETTINGS)
def test_calls_give_what_one_api_gives(
    world: str, mode: str, tmp_path: Path, tally: dict[str, Counter[str]]
) -> None:
    with world_of(world) as emulator:
        known = facts(emulator.world, world)
        bench = bench_of(emulator, known, mode, tmp_path)
        made = calls.made(known, mode)
        listed = [one.call for one in made]
        theirs, blocking, awaited = bench.oracle(listed), bench.blocking(listed), bench.awaited(listed)
    wrong, faces = [], []
    for one, left, right, other in zip(made, theirs, blocking, awaited, strict=True):
        if without_text(right) != without_text(other):
            faces.append(f"{one.call}\n  ONE:      {str(right)[:300]}\n  AsyncONE: {str(other)[:300]}")
        if compare.same(one.row.method, mode, left, right):
            tally["same"][f"{one.row.method} ({mode})"] += 1
            tally["of these"][_sort_of(left)] += 1
        elif name := kept.reason(one.row.method, mode, one.call, left, right):
            tally["kept"][name] += 1
        else:
            wrong.append(f"{one.call}\n  ONE-api: {str(left)[:300]}\n  ours:    {str(right)[:300]}")
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong[:20])
    assert not faces, "\n".join(faces[:20])


def test_enough_is_compared_and_every_kept_difference_shows(tally: dict[str, Counter[str]]) -> None:
    """A difference that no call shows any more is none: its line in `kept.py` can go."""
    if len(tally["same"]) < 40:
        pytest.skip("only some of the calls were run")
    assert tally["of these"]["answers with something in them"] >= 1500
    assert set(tally["kept"]) == set(kept.KEPT)
    assert all(entry.why.endswith(".") and len(entry.why) > 30 for entry in kept.KEPT.values())


@pytest.mark.parametrize("mode", ["local", "remote"])
def test_notebooks(mode: str, tmp_path: Path, tally: dict[str, Counter[str]]) -> None:
    """Every statement of ONE-api's documented notebooks has a counterpart that answers the same."""
    with Emulator() as emulator:
        known = facts(emulator.world, "seeded")
        bench = bench_of(emulator, known, mode, tmp_path)
        lines = [one for one in notebooks.NOTEBOOKS if one.mode == mode]
        names = notebooks.names(known)
        theirs = bench.oracle([{"code": one.theirs, "names": names} for one in lines])
        ours = [{"code": one.ours or one.theirs, "names": names} for one in lines]
        blocking, awaited = bench.blocking(ours), bench.awaited(ours)
    wrong = []
    for one, left, right, other in zip(lines, theirs, blocking, awaited, strict=True):
        tally["notebooks"][one.notebook] += 1
        if (
            "error" in left
            or not compare.same("notebook", mode, left, right)
            or without_text(right) != without_text(other)
        ):
            wrong.append(
                f"{one.notebook}: {one.theirs}\n  ONE-api: {str(left)[:300]}\n"
                f"  ONE:     {str(right)[:300]}\n  awaited: {str(other)[:200]}"
            )
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong)
