"""The filters of each list: query parameters to SQL, by the rules of models.txt."""

from __future__ import annotations

import ast
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from .models import CHOICES, MODELS, Filter
from .query import Answer, Failed, Query, Scope

__all__ = ["Exists", "Given", "compile_query"]

Exists = Callable[[str, Any], bool]
Given = Mapping[str, str]


# ---- values ----

NUMBER, MOMENT = (float, "Enter a number."), (datetime.fromisoformat, "Enter a valid date/time.")
# What a typed filter reads a value with, and Django's complaint where that fails
FORMS: dict[str, tuple[Callable[[str], Any], str]] = {
    **dict.fromkeys(("number", "int", "float"), NUMBER),
    **dict.fromkeys(("datetime", "time"), MOMENT),
    "date": (datetime.fromisoformat, "Enter a valid date."),
    "uuid": (uuid.UUID, "Enter a valid UUID."),
    "key": (uuid.UUID, "“{}” is not a valid UUID."),
    "sex": ("FMU".index, "Select a valid choice. {} is not one of the available choices."),
}
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def complaint(kind: str, text: str, exists: Exists) -> str | None:
    """Give Django's complaint about a value that a typed filter does not take."""
    form, _, model = kind.partition(" ")
    if form in FORMS and (not model or MODELS[model].fields["id"].target == "uuid"):
        try:
            FORMS[form][0](text)
        except ValueError:
            return FORMS[form][1].format(text)
    if model and not exists(f"{model}.id", text):
        return "Select a valid choice. That choice is not one of the available choices."
    return None


def read(kind: str, text: str) -> Any:
    """Read a value of a filter; None where it cannot be read and the filter is ignored."""
    if kind == "bool":
        return BOOLEANS.get(text.lower())
    if kind == "list":
        return text.split(",")
    if kind == "pairs":
        return parse_pairs(text)
    if kind == "qc_limit":
        named: dict[str, Any] = {**CHOICES["qc"], **{str(n): n for n in CHOICES["qc"].values()}}
        if text.upper() not in named:
            raise Failed(f"{text} is not a valid QC")
        return named[text.upper()]
    if kind in CHOICES:
        numbers = {label.lower(): number for label, number in CHOICES[kind].items()}
        if text.lower() not in numbers:
            raise Failed(f"Invalid{kind}, choices are: {', '.join(CHOICES[kind])}")
        return numbers[text.lower()]
    return text


def parse_pairs(text: str) -> dict[str, Any]:
    """Take ``field,value,field2,value2`` apart; brackets, digits, None, True and False become values."""
    # ONE-api sends Python tuples too: pk__in,('…', '…')
    parts = re.split(r",(?![^\[]*\])(?![^(]*\))", text)
    pairs: dict[str, Any] = {}
    if len(parts) % 2:
        raise Failed("list index out of range")
    for name, value in zip(parts[::2], parts[1::2], strict=True):
        if name in pairs:
            raise Failed(f"duplicate field: {name}")
        pairs[name] = parse_value(value)
    return pairs


def parse_value(text: str) -> Any:
    """Convert one value as Alyx does."""
    if text.startswith(("[", "(")):
        try:
            return ast.literal_eval(text)
        except (SyntaxError, ValueError) as error:
            raise Failed(str(error).replace("<unknown>", "<string>")) from None
    named = {"none": None, "true": True, "false": False}
    if text.lower() in named:
        return named[text.lower()]
    return float(text) if re.fullmatch(r"-?\d+(\.\d*)?", text) else text


# ---- filters that no lookup can say ----


def atlas(query: Query, key: str, value: str) -> None:
    """Find rows with a channel of an aligned track, or a default location, in a region or below it."""
    column, lookup = {"atlas_acronym": ("acronym", "iexact"), "atlas_id": ("id", "exact")}.get(
        key, ("name", "icontains")
    )
    regions = Query(MODELS["brain-regions"])
    regions.lookup(f"{column}__{lookup}", value, {})
    inside = (
        'SELECT d.id FROM "brain-regions" d JOIN "brain-regions" b ON d.lft BETWEEN b.lft AND b.rght'
        f" WHERE b.row IN ({regions.select()})"
    )
    tracks = (
        "SELECT {column} FROM channels c JOIN trajectories j ON j.id = c.trajectory_estimate"
        f" WHERE j.provenance = 70 AND c.brain_region IN ({inside})"
    )
    views = (
        'SELECT l.field_of_view FROM "fov-location" l JOIN "fov-location.brain_region" r ON r.row = l.row'
        f" WHERE l.default_provenance AND r.value IN ({inside})"
    )
    probes, chronic = tracks.format(column="j.probe_insertion"), tracks.format(column="j.chronic_insertion")
    found = {
        "sessions": {"probe_insertion": probes, "field_of_view": views},
        "insertions": {"id": probes},
        "chronic-insertions": {"id": chronic},
        "fields-of-view": {"id": views},
        "imaging-stack": {"slices__id": views},
    }[query.model.name]
    # The join of imaging-stack is the one that its list makes anyway
    tests = [f"{query.walk(path, query.to_one).sql} IN ({ids})" for path, ids in found.items()]
    query.add(f"({' OR '.join(tests)})", *regions.params * len(tests))


def ancestors(query: Query, key: str, value: str) -> None:
    """Find a brain region and what it lies in."""
    inside = "b.acronym = ? AND t0.lft <= b.lft AND t0.rght >= b.rght AND t0.id != 0"
    query.add(f'EXISTS (SELECT 1 FROM "brain-regions" b WHERE {inside})', value)


SPECIAL = {"atlas": atlas, "ancestors": ancestors}


# ---- the whole query ----


def argument(word: str, value: Any, given: Given) -> Any:
    """Give the value of one lookup of a rule."""
    if word == "$dataset_qc_lte":
        return read("qc_limit", given.get("dataset_qc_lte") or "FAIL")
    if word.startswith("$"):
        if len(value) < 2:
            raise Failed("list index out of range")
        return value[int(word[1:])]
    return parse_value(word) if word else value


def apply(query: Query, rule: Filter, value: Any, given: Given) -> None:
    """Add what a rule asks for."""
    if rule.type == "pairs":
        prefix = "".join(f"{path}__" for path in rule.lookups)
        lookups = {f"{prefix}{path}": item for path, item in value.items()}
    else:
        lookups = {path: argument(word, value, given) for path, word in rule.lookups.items()}
    if rule.mode in SPECIAL:
        SPECIAL[rule.mode](query, rule.key, value)
    elif rule.mode in ("flag", "all"):
        query.within(lookups, wanted=bool(value), all_of=len(value) if rule.mode == "all" else 0)
    else:
        scope: Scope = {}
        for path, item in lookups.items():
            if not path.startswith("~"):
                query.lookup(path, item, scope)
        excluded = {path[1:]: item for path, item in lookups.items() if path.startswith("~")}
        if excluded:
            query.within(excluded, wanted=False)
        query.distinct |= rule.mode == "distinct"


def compile_query(endpoint: str, given: Given, exists: Exists) -> Query:
    """Turn query parameters into a query; Answer where Alyx says 400, Failed where it says 500.

    ``exists("model.field", value)`` tells whether there is such a row: foreign keys must point at something.
    """
    query = Query(MODELS[endpoint])
    if endpoint == "imaging-stack":
        # A stack comes once for each of its slices (the page's count does not see that)
        query.walk("slices__id", query.to_one)
    active = [(rule, given[rule.key]) for rule in query.model.filters if given.get(rule.key)]
    complaints = {rule.key: complaint(rule.type, text, exists) for rule, text in active}
    if any(complaints.values()):
        raise Answer(400, {key: [text] for key, text in complaints.items() if text})
    arguments = {word[1:] for rule, _ in active for word in rule.lookups.values() if word.startswith("$")}
    for rule, text in active:
        value = read(rule.type, text)
        if value is None or rule.key in arguments:
            continue
        if rule.needs and not exists(rule.needs, value):
            raise Failed(f"{MODELS[rule.needs.split('.')[0]].singular} matching query does not exist.")
        apply(query, rule, value, given)
    return query
