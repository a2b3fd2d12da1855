"""Each filter's answer equals the same filter in plain Python on the unfiltered records.

The rules below follow Alyx's documentation and recordings; they use nothing of the emulator.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from one_async.emulator import World
from one_async.emulator.app import App

RECORDS = Path(__file__).parents[1] / "data" / "alyx" / "records"
Row = dict[str, Any]
Rule = tuple[str, str, Callable[[Row], list[Any]], Callable[[list[Any], Any], bool]]


@cache
def records(endpoint: str) -> list[Row]:
    """Return every record of an endpoint as its list and its detail show it."""
    held = json.loads((RECORDS / f"{endpoint}.json").read_text("utf-8"))
    details = held.get("detail") or {}
    return [{**details.get(row.get("id") or key_of(row), {}), **row} for row in held["list"]]


def key_of(row: Row) -> str:
    return str(row.get("id") or row.get("url", "").rsplit("/", 1)[-1] or row.get("name"))


@cache
def by_key(endpoint: str) -> dict[str, Row]:
    return {key_of(row): row for row in records(endpoint)}


@cache
def unserved(name: str) -> list[Row]:
    found: list[Row] = json.loads((RECORDS / "_unserved.json").read_text("utf-8"))[name]
    return found


# ---- the values of a row, as lists ----


def own(name: str) -> Callable[[Row], list[Any]]:
    def values(row: Row) -> list[Any]:
        value = row.get(name)
        return list(value) if isinstance(value, list) else [] if value is None else [value]

    return values


def session_of(row: Row) -> Row:
    if "probe_insertion" in row:
        insertion = by_key("insertions").get(str(row["probe_insertion"]), {})
        return session_of(insertion) if insertion else {}
    return by_key("sessions").get(str(row.get("session") or "").rsplit("/", 1)[-1], {})


def of_session(name: str) -> Callable[[Row], list[Any]]:
    return lambda row: own(name)(session_of(row))


def day(values: Callable[[Row], list[Any]]) -> Callable[[Row], list[Any]]:
    return lambda row: [value[:10] for value in values(row)]


def datasets_of(row: Row) -> list[Row]:
    """Return the datasets of a session, an insertion or a field of view."""
    if "datasets" in row:
        ids = [item["id"] if isinstance(item, dict) else item for item in row["datasets"]]
        return [by_key("datasets")[dataset] for dataset in ids]
    return [d for d in records("datasets") if (d["session"] or "").endswith(row["id"])]


def of_datasets(name: str) -> Callable[[Row], list[Any]]:
    return lambda row: [value for dataset in datasets_of(row) for value in own(name)(dataset)]


def id_of(table: str, name: str) -> Callable[[Row], list[Any]]:
    """Return the ids of the records that a row names."""
    rows = unserved(table) if table in ("labs", "projects", "users", "coordinate_systems") else records(table)
    ids = {row.get("username") or row["name"]: row["id"] for row in rows}
    return lambda row: [ids[value] for value in own(name)(row)]


@cache
def region_line(region: int) -> list[int]:
    """Return a brain region and all regions that contain it, except the root."""
    parents = {row["id"]: row["parent"] for row in records("brain-regions")}
    line: list[int] = []
    while region:
        line.append(region)
        region = parents[region] or 0
    return line


def lines(row: Row) -> list[Any]:
    acronyms = {r["id"]: r["acronym"] for r in records("brain-regions")}
    return [said for r in region_line(row["id"]) for said in (str(r), acronyms[r])]


def below(row: Row) -> list[Any]:
    return [
        said for r in records("brain-regions") if row["id"] in region_line(r["id"]) for said in lines_of(r)
    ]


def lines_of(row: Row) -> list[Any]:
    return [str(row["id"]), row["acronym"]]


def percentage(row: Row) -> list[Any]:
    trials = row["n_trials"]
    return [] if not trials or row["n_correct_trials"] is None else [100 * row["n_correct_trials"] // trials]


def lab_of_restriction(row: Row) -> list[Any]:
    return [
        r["lab"]
        for r in unserved("water_restrictions")
        if (r["subject"], r["start_time"][:19]) == (row["subject"], row["start_time"])
    ]


def lab_of_file(row: Row) -> list[Any]:
    return of_session("lab")(by_key("datasets")[row["dataset"].rsplit("/", 1)[-1]])


# ---- comparisons ----


def same(held: list[Any], value: Any) -> bool:
    return any(str(item) == str(value) for item in held)


def any_case(held: list[Any], value: Any) -> bool:
    return any(str(item).lower() == str(value).lower() for item in held)


def part(held: list[Any], value: Any) -> bool:
    return any(str(value).lower() in str(item).lower() for item in held)


def all_of(held: list[Any], value: Any) -> bool:
    return set(value.split(",")) <= set(held)


def one_of(held: list[Any], value: Any) -> bool:
    return bool(set(value.split(",")) & set(held))


def at_least(held: list[Any], value: Any) -> bool:
    return any(item >= type(item)(value) for item in held)


def at_most(held: list[Any], value: Any) -> bool:
    return any(item <= type(item)(value) for item in held)


def within(held: list[Any], value: Any) -> bool:
    first, last = value.split(",")
    return any(first <= item <= last for item in held)


# (endpoint, filter, values of a row, comparison); "django:PATH" is the lookup PATH
RULES: list[Rule] = [
    ("sessions", "subject", own("subject"), any_case),
    ("sessions", "nickname", own("subject"), any_case),
    ("sessions", "lab", own("lab"), any_case),
    ("sessions", "number", own("number"), same),
    ("sessions", "id", own("id"), same),
    ("sessions", "n_trials", own("n_trials"), same),
    ("sessions", "task_protocol", own("task_protocol"), part),
    ("sessions", "location", own("location"), part),
    ("sessions", "projects", own("projects"), part),
    ("sessions", "project", own("projects"), part),
    ("sessions", "procedures", own("procedures"), part),
    ("sessions", "type", own("type"), any_case),
    ("sessions", "qc", own("qc"), any_case),
    ("sessions", "users", own("users"), all_of),
    ("sessions", "date_range", day(own("start_time")), within),
    ("sessions", "dataset_types", of_datasets("dataset_type"), all_of),
    ("sessions", "tag", of_datasets("tags"), part),
    ("sessions", "performance_gte", percentage, at_least),
    ("sessions", "performance_lte", percentage, at_most),
    ("sessions", "django:subject__nickname", own("subject"), same),
    ("sessions", "django:projects__name__icontains", own("projects"), part),
    ("sessions", "django:~projects__name__icontains", own("projects"), part),
    ("sessions", "django:~lab__name", own("lab"), same),
    ("sessions", "django:start_time__date__gte", day(own("start_time")), at_least),
    ("sessions", "django:n_trials__lte", own("n_trials"), at_most),
    ("sessions", "django:data_dataset_session_related__collection", of_datasets("collection"), same),
    ("datasets", "subject", of_session("subject"), same),
    ("datasets", "lab", of_session("lab"), same),
    ("datasets", "date", day(of_session("start_time")), same),
    ("datasets", "created_date", day(own("created_datetime")), same),
    ("datasets", "created_by", own("created_by"), same),
    ("datasets", "dataset_type", own("dataset_type"), same),
    ("datasets", "experiment_number", of_session("number"), same),
    ("datasets", "collection", own("collection"), same),
    ("datasets", "name", own("name"), same),
    ("datasets", "revision", own("revision"), same),
    ("datasets", "tag", own("tags"), same),
    ("datasets", "qc", own("qc"), any_case),
    ("datasets", "hash", own("hash"), same),
    ("datasets", "data_format", id_of("data-formats", "data_format"), same),
    ("datasets", "tags", id_of("tags", "tags"), same),
    ("datasets", "django:session__projects__name", of_session("projects"), same),
    ("datasets", "django:~tags__name", own("tags"), same),
    ("datasets", "django:collection__icontains", own("collection"), part),
    ("insertions", "subject", of_session("subject"), same),
    ("insertions", "lab", of_session("lab"), any_case),
    ("insertions", "date", day(of_session("start_time")), same),
    ("insertions", "project", of_session("projects"), part),
    ("insertions", "task_protocol", of_session("task_protocol"), part),
    ("insertions", "name", own("name"), same),
    ("insertions", "session", own("session"), same),
    ("insertions", "dataset_types", of_datasets("dataset_type"), all_of),
    ("insertions", "tag", of_datasets("tags"), part),
    ("trajectories", "provenance", own("provenance"), any_case),
    ("trajectories", "subject", of_session("subject"), same),
    ("trajectories", "date", day(of_session("start_time")), same),
    ("trajectories", "experiment_number", of_session("number"), same),
    ("trajectories", "session", of_session("id"), same),
    ("trajectories", "project", of_session("projects"), same),
    ("trajectories", "probe_insertion", own("probe_insertion"), same),
    ("trajectories", "coordinate_system", id_of("coordinate_systems", "coordinate_system"), same),
    ("trajectories", "django:probe_insertion__session__lab__name", of_session("lab"), same),
    ("trajectories", "django:x__gte", own("x"), at_least),
    ("channels", "brain_region", own("brain_region"), same),
    ("channels", "axial", own("axial"), same),
    ("channels", "trajectory_estimate", own("trajectory_estimate"), same),
    ("brain-regions", "acronym", own("acronym"), any_case),
    ("brain-regions", "name", own("name"), part),
    ("brain-regions", "parent", own("parent"), same),
    ("brain-regions", "descendants", lines, same),
    ("brain-regions", "ancestors", below, same),
    ("files", "lab", lab_of_file, same),
    ("files", "data_repository", own("data_repository"), same),
    ("files", "relative_path", own("relative_path"), same),
    ("subjects", "nickname", own("nickname"), same),
    ("subjects", "lab", own("lab"), same),
    ("subjects", "project", own("projects"), same),
    ("subjects", "responsible_user", own("responsible_user"), same),
    ("subjects", "sex", own("sex"), same),
    ("fields-of-view", "imaging_type", own("imaging_type"), part),
    ("fields-of-view", "project", of_session("projects"), same),
    ("fields-of-view", "datasets", of_datasets("name"), all_of),
    ("fov-location", "coordinate_system", own("coordinate_system"), same),
    ("fov-location", "brain_region", own("brain_region"), same),
    ("tasks", "status", own("status"), any_case),
    ("tasks", "lab", of_session("lab"), same),
    ("tasks", "graph", own("graph"), same),
    ("data-notices", "datasets", own("datasets"), one_of),
    ("data-notices", "importance", own("importance"), same),
    ("water-restriction", "lab", lab_of_restriction, any_case),
    ("water-restriction", "subject", own("subject"), any_case),
    ("weighings", "nickname", own("subject"), any_case),
    ("surgeries", "procedures", own("procedures"), same),
]
CHANGED = {any_case: [str.upper, str.lower, str.title], same: [str, str, str.swapcase], part: [str.upper]}
TYPED = re.compile(r"[0-9a-f]{8}-.*|[\d.-]+")


def value_for(rule: Rule, dice: random.Random) -> str | None:
    """Draw a value: one of a row, changed where the comparison or the case may matter."""
    endpoint, key, held, compare = rule
    values = [value for row in records(endpoint) for value in held(row) if value != ""]
    if not values:
        return None
    drawn = dice.choice(values)
    if compare in (all_of, one_of):
        row = dice.choice([held(row) for row in records(endpoint) if held(row)])
        return ",".join(dict.fromkeys(map(str, dice.sample(row, min(len(row), 2)))))
    if compare is within:
        return ",".join(sorted([drawn, dice.choice(values)]))
    text = str(drawn)
    if compare is part and len(text) > 4:
        start = dice.randrange(len(text) - 3)
        text = text[start : start + 4].strip() or text
    fixed = TYPED.fullmatch(text) or key in ("sex", "importance", "ancestors", "descendants", "id")
    return text if fixed or "," in text else dice.choice([str, *CHANGED.get(compare, [])])(text)


def cases() -> list[tuple[Rule, str]]:
    dice = random.Random(20250115)
    drawn = [(rule, value_for(rule, dice)) for _ in range(7) for rule in RULES]
    return [(rule, value) for rule, value in drawn if value is not None and value.strip()][:500]


CASES = cases()


@pytest.fixture(scope="module")
def app(world: World) -> Iterator[App]:
    app = App(world)
    yield app
    app.store.close()


def test_every_rule_has_500_cases() -> None:
    assert len(CASES) == 500
    assert {(rule[0], rule[1]) for rule, _ in CASES} == {(rule[0], rule[1]) for rule in RULES}


@pytest.mark.parametrize("number", range(len(CASES)))
def test_a_filter_keeps_the_rows_that_match(app: App, number: int) -> None:
    (endpoint, key, held, compare), value = CASES[number]
    plain = key.removeprefix("django:")
    given = {"django": f"{plain},{value}"} if key.startswith("django:") else {key: value}
    excluded = plain.startswith("~")
    expected = {key_of(row) for row in records(endpoint) if compare(held(row), value) is not excluded}
    texts = app.store.texts(endpoint, app.store.rows(endpoint, given))
    answered = Counter(key_of(json.loads(text)) for text in texts)
    assert set(answered) == expected, (endpoint, given)
