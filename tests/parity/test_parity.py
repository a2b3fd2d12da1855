"""The table of calls, in every mode and world: ONE-api, `ONE` and `AsyncONE` answer the same except for what `kept.py` lists."""

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

#: The counts that `docs/parity.md` reports; written when the whole suite has run.
RESULT = Path(__file__).parent / "result.json"
SETTINGS = [("recorded", "local"), ("recorded", "remote"), ("seeded", "local"), ("seeded", "remote")]
WHO = ("blocking", "awaited")


@pytest.fixture(scope="module")
def tally() -> Iterator[dict[str, Counter[str]]]:
    """Count, over all tests, the equal answers and the intended differences that were shown."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("same", "of these", "kept", "notebooks")}
    yield counts
    if sum(counts["same"].values()) and set(counts["kept"]) == set(kept.KEPT):
        RESULT.write_text(
            json.dumps({name: dict(sorted(count.items())) for name, count in counts.items()}, indent=1)
            + "\n",
            "utf-8",
        )


def make_emulator(name: str) -> Emulator:
    return Emulator(records=DATA) if name == "recorded" else Emulator()


def make_bench(emulator: Emulator, known: Facts, mode: str, folder: Path) -> Bench:
    """Return the folders of the clients, with tables and files for the local mode."""
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


def _category(answer: dict[str, Any]) -> str:
    """Return the category of an answer; a wrong client would often also return errors and empty answers."""
    if "error" in answer:
        return "errors of the same kind"
    return "empty answers" if answer["value"] in (None, [], {}) else "answers with something in them"


def without_text(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an error without its text, which may contain the folder."""
    return {key: value for key, value in answer.items() if key != "text"}


@pytest.mark.parametrize(("world", "mode"), SETTINGS)
def test_calls_return_what_one_api_returns(
    world: str, mode: str, tmp_path: Path, tally: dict[str, Counter[str]]
) -> None:
    with make_emulator(world) as emulator:
        known = facts(emulator.world, world)
        bench = make_bench(emulator, known, mode, tmp_path)
        made = calls.made(known, mode)
        listed = [one.call for one in made]
        theirs, blocking, awaited = bench.oracle(listed), bench.blocking(listed), bench.awaited(listed)
    wrong, faces = [], []
    for one, left, right, other in zip(made, theirs, blocking, awaited, strict=True):
        if without_text(right) != without_text(other):
            faces.append(f"{one.call}\n  ONE:      {str(right)[:300]}\n  AsyncONE: {str(other)[:300]}")
        if compare.same(one.row.method, mode, left, right):
            tally["same"][f"{one.row.method} ({mode})"] += 1
            tally["of these"][_category(left)] += 1
        elif name := kept.reason(one.row.method, mode, one.call, left, right):
            tally["kept"][name] += 1
        else:
            wrong.append(f"{one.call}\n  ONE-api: {str(left)[:300]}\n  ours:    {str(right)[:300]}")
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong[:20])
    assert not faces, "\n".join(faces[:20])


def test_calls_show_enough_answers_and_every_intended_difference(tally: dict[str, Counter[str]]) -> None:
    """The entry in `kept.py` of a difference that no call shows any more can be removed."""
    if len(tally["same"]) < 40:
        pytest.skip("only some of the calls were run")
    assert tally["of these"]["answers with something in them"] >= 1500
    assert set(tally["kept"]) == set(kept.KEPT)
    assert all(entry.why.endswith(".") and len(entry.why) > 30 for entry in kept.KEPT.values())


@pytest.mark.parametrize("mode", ["local", "remote"])
def test_notebook_statements_return_what_one_api_returns(
    mode: str, tmp_path: Path, tally: dict[str, Counter[str]]
) -> None:
    """Every statement of ONE-api's documented notebooks has a counterpart with the same answer."""
    with Emulator() as emulator:
        known = facts(emulator.world, "seeded")
        bench = make_bench(emulator, known, mode, tmp_path)
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
