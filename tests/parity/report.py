"""Write `docs/parity.md` from the tables of names and intended differences and the result of the suite's last whole run.

``ONE_API_PYTHON=… python tests/parity/report.py``
"""

from __future__ import annotations

import json
import os
import sys
from itertools import groupby
from pathlib import Path

import names
from kept import KEPT
from tables_kept import KEPT as TABLES_KEPT

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "parity.md"
RESULT = HERE / "result.json"
TABLES_RESULT = HERE / "tables_result.json"

HEAD = """\
# Parity with ONE-api 3.6.1

Made by `tests/parity/report.py` from what `nox -s parity` found; not to be edited by hand.

ONE-api itself, unchanged, in an environment of its own, `ONE` and `AsyncONE` are asked the same questions about the same two
worlds (the recorded answers of a real Alyx, and a generated one): remotely from one server on a real port, locally from the same
tables and files. Their answers are compared by value, order, type and kind of error. Set aside are: pandas or Polars; ids in
frames and records as UUIDs or as text; the order of sessions where the server leaves them in none; the order of an object's
files (here by name); columns that only ours have.

Not counted: `one.remote.globus`, which ONE-api itself can import only with an extra (globus_sdk). Transfers between Globus
endpoints are not here; files come over HTTP or from S3.
"""


def page(places: list[names.Place]) -> str:
    """Return the text of the page."""
    result = json.loads(RESULT.read_text("utf-8"))
    tables = _in_tables(json.loads(TABLES_RESULT.read_text("utf-8")))
    return (
        "\n".join([HEAD, *_numbers(places, result), *_differences(result), *tables, *_names(places)]) + "\n"
    )


def _numbers(places: list[names.Place], result: dict[str, dict[str, int]]) -> list[str]:
    reading = [place for place in places if place.verdict not in ("internal", "writing")]
    here = [place for place in reading if place.verdict in names.HERE]
    lines = [
        "## Numbers", "", "| | |", "|---|---|",
        f"| calls that give what ONE-api gives | {sum(result['same'].values()):,} |",
        *(f"| – {name} | {count:,} |" for name, count in result["of these"].items()),
        f"| calls that show a kept difference | {sum(result['kept'].values()):,} |",
        f"| statements of ONE-api's notebooks that give the same | {sum(result['notebooks'].values())} |",
        f"| reading names of ONE-api | {len(reading)} |",
        f"| of these here | {len(here)} ({len(here) / len(reading):.1%}) |", "",
        "Calls by method and mode:", "", "| method | local | remote |", "|---|---|---|",
    ]  # fmt: skip
    counts = {tuple(key[:-1].split(" (")): count for key, count in result["same"].items()}
    for method in sorted({method for method, _ in counts}):
        local, remote = (counts.get((method, mode), "") for mode in ("local", "remote"))
        lines.append(f"| `{method}` | {local} | {remote} |")
    notebooks = ", ".join(f"{name} {count}" for name, count in result["notebooks"].items())
    return [*lines, "", f"Statements by notebook: {notebooks}.", ""]


def _differences(result: dict[str, dict[str, int]]) -> list[str]:
    lines = [
        "## Differences that are meant",
        "",
        "Each is checked to show, in the number of calls that is given.",
        "",
        "| what | why | calls |",
        "|---|---|---|",
    ]
    lines += [
        f"| {entry.what} | {entry.why} | {result['kept'].get(name, 0)} |" for name, entry in KEPT.items()
    ]
    return [line.replace("\n", " ") for line in lines] + [""]


def _in_tables(result: dict[str, dict[str, int]]) -> list[str]:
    """Return the section on searches in tables, whose differences each have an example."""
    same, kept = (sum(result[name].values()) for name in ("same", "kept"))
    methods = ", ".join(f"`{name.lstrip('_')}` {count}" for name, count in result["same"].items())
    text = (
        '`ONE(mode="local")` and ONE-api are asked made-up searches and lists on five pairs of tables: the recorded ones, '
        f"those of the generated world, and three made at random. {same:,} calls give the same ({methods}); {kept:,} show "
        "these differences, each of which an example shows, too."
    )
    rows = [(entry.what, entry.why) for entry in TABLES_KEPT.values()]
    cells = [" | ".join(cell.replace("|", r"\|") for cell in row) for row in rows]
    lines = ["## Tables of every kind", "", text, "", "| what | why |", "|---|---|"]
    return [*lines, *(f"| {row} |" for row in cells), ""]


def _names(places: list[names.Place]) -> list[str]:
    lines = [
        "## Names", "",
        "`same`: the same name and meaning. `better`: the same name, and more. `elsewhere`: under the name that is given. "
        "`internal`: only ONE-api itself has a use for it. `writing`: it does not read.", "",
    ]  # fmt: skip
    for title, group in groupby(
        places,
        key=lambda place: next(title for title in names.TITLES if place.theirs.startswith(title + ".")),
    ):
        lines += [f"### {names.TITLES[title]}", "", "| ONE-api | here | | |", "|---|---|---|---|"]
        lines += [_row(title, place) for place in group]
        lines.append("")
    return lines


def _row(title: str, place: names.Place) -> str:
    theirs = place.theirs if title != "ONE 2" else place.theirs.removeprefix("ONE 2.")
    ours = f"`{place.ours}`" if place.ours else "no"
    return f"| `{theirs}` | {ours} | {place.verdict} | {place.why} |"


def main() -> None:
    """Write the page."""
    python = os.environ.get("ONE_API_PYTHON") or sys.exit(
        "set ONE_API_PYTHON to a Python that has ONE-api 3.6.1"
    )
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page([names.place(name) for name in names.names_of_one_api(python)]), "utf-8")


if __name__ == "__main__":
    main()
