"""Filters of lists: convert query parameters to SQL by the rules of models.txt."""

from __future__ import annotations

import ast
import math
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from one_async.emulator.models import CHOICES, MODELS, Filter
from one_async.emulator.query import Answer, Failed, Query, Scope

__all__ = ["Exists", "Given", "compile_query"]

Exists = Callable[[str, Any], bool]
Given = Mapping[str, str | tuple[str, ...]]  # each key with its value, or all of several


# ---- values ----


def number(text: str) -> float:
    """Parse a finite number."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def moment(text: str) -> datetime:
    """Parse a date and time, or a date."""
    return datetime.fromisoformat(re.fullmatch(r"\d{4}-.*", text, re.DOTALL)[0])  # type: ignore[index]


UUID, CHOICE = "“{}” is not a valid UUID.", "Select a valid choice. {} is not one of the available choices."
NUMBER, MOMENT = (number, "Enter a number."), (moment, "Enter a valid date/time.")
# The parser of each type of filter, and Django's complaint about a value that it refuses
FORMS: dict[str, tuple[Callable[[str], Any], str]] = {
    **dict.fromkeys(("number", "int", "small", "big", "float"), NUMBER),
    **dict.fromkeys(("datetime", "time"), MOMENT),
    "date": (lambda text: date.fromisoformat(text), "Enter a valid date."),
    "uuid": (uuid.UUID, "Enter a valid UUID."),
    "uuids": (lambda text: [uuid.UUID(part) for part in text.split(",")], "Enter a valid UUID."),
}
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
FLAGS = {"True": True, "true": True, "2": True, "False": False, "false": False, "3": False}
# Filters whose values are not stripped of blanks
EXACT_TEXT = ("key", "keys", "one_of", "bool", "flag")


def complaint(kind: str, text: str, exists: Exists) -> str | None:
    """Return Django's complaint about a value that a typed filter refuses; None for a valid value."""
    form, _, more = kind.partition(".")
    if form == "one_of":
        return None if text in more.split(".") else CHOICE.format(text)
    if form in ("key", "keys"):
        field = MODELS[more].fields["id"].target
        try:
            known = exists(f"{more}.id", str(uuid.UUID(text)) if field == "uuid" else int(text))
        except ValueError:
            if field == "uuid":
                return UUID.format(text)
            return f"“{text}” is not a valid value." if form == "keys" else CHOICE.format("That choice")
        return None if known else CHOICE.format(text if form == "keys" else "That choice")
    if form in FORMS:
        try:
            FORMS[form][0](text)
        except (TypeError, ValueError):
            return FORMS[form][1].format(text)
    return None


def read(kind: str, text: str) -> Any:
    """Parse the value of a filter; None for an invalid one, which makes Alyx ignore the filter."""
    if kind in ("bool", "flag"):
        return BOOLEANS.get(text.lower()) if kind == "bool" else FLAGS.get(text)
    if kind in ("number", "int", "small", "big", "float"):
        return number(text)
    if kind in ("list", "uuids"):
        return text.split(",")
    if kind == "datetime":
        return text[:10]
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
            # Alyx's error message fails on the names of a location's provenance, which are translated lazily
            late = "sequence item 0: expected str instance, __proxy__ found"
            complaint = f"Invalid{kind}, choices are: {', '.join(CHOICES[kind])}"
            raise Failed(late if kind == "fov_provenance" else complaint)
        return numbers[text.lower()]
    return text


def parse_pairs(text: str) -> dict[str, Any]:
    """Split ``field,value,field2,value2``; brackets, digits, None, True and False become Python values."""
    # ONE-api sends Python tuples too: pk__in,('…', '…')
    parts = re.split(r",(?![^\[]*\])(?![^(]*\))", text)
    pairs: dict[str, Any] = {}
    if len(parts) % 2:
        raise Failed("list index out of range")
    for name, value in zip(parts[::2], parts[1::2], strict=True):
        if name in pairs:
            raise Failed(f'Duplicated fields in "{text}"')
        pairs[name] = parse_value(value)
    return pairs


def parse_value(text: str) -> Any:
    """Convert one value as Alyx does."""
    if text.startswith(("[", "(")) and text.endswith(("]", ")")):
        try:
            return ast.literal_eval(text)
        except (SyntaxError, ValueError) as error:
            raise Failed(str(error).replace("<unknown>", "<string>")) from None
    named = {"true": True, "false": False}
    if text == "None" or text.lower() in named:
        return named.get(text.lower())
    return float(text) if text.replace(".", "", 1).isdigit() else text


# ---- filters that a lookup cannot express ----


def atlas(query: Query, key: str, value: str, exists: Exists) -> None:
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
    # The list of imaging-stack makes this join anyway
    tests = [f"{query.walk(path, query.to_one).sql} IN ({ids})" for path, ids in found.items()]
    query.add(f"({' OR '.join(tests)})", *regions.params * len(tests))


def region(query: Query, key: str, value: str, exists: Exists) -> None:
    """Find a brain region and its ancestors, or its descendants; the filters before this one are discarded."""
    column, wanted = ("id", int(value)) if value.isdigit() else ("acronym", value)
    if not exists(f"brain-regions.{column}", wanted):
        raise Failed("BrainRegion matching query does not exist.")
    outer, inner = ("t0", "b") if key == "ancestors" else ("b", "t0")
    inside = f"b.{column} = ? AND {outer}.lft <= {inner}.lft AND {outer}.rght >= {inner}.rght AND t0.id != 0"
    query.where, query.params = [f'EXISTS (SELECT 1 FROM "brain-regions" b WHERE {inside})'], [wanted]


def probe(query: Query, key: str, value: str, exists: Exists) -> None:
    """Find datasets of the session of an insertion whose collection contains its name."""
    wanted = str(uuid.UUID(value))
    if not exists("insertions.id", wanted):
        raise Failed("ProbeInsertion matching query does not exist.")
    named = "i.session = t0.session AND instr(lower(t0.collection), lower(i.name))"
    query.add(f"EXISTS (SELECT 1 FROM insertions i WHERE i.id = ? AND {named})", wanted)


def array(query: Query, key: str, value: str, exists: Exists) -> None:
    """Fail as PostgreSQL does for a number that is compared with an array."""
    kind = "integer" if key == "n_xyz" else "double precision"
    given = "integer" if float(value).is_integer() else "numeric"
    raise Failed(f"cannot cast type {given} to {kind}[]")


SPECIAL = {"atlas": atlas, "region": region, "probe": probe, "array": array}


# ---- the whole query ----


def argument(word: str, value: Any, given: Given) -> Any:
    """Return the value of one lookup of a rule."""
    if word == "$dataset_qc_lte":
        return read("qc_limit", last(given, "dataset_qc_lte") or "FAIL")
    if word.startswith("$"):
        if len(value) < 2:
            raise Failed("list index out of range")
        return value[int(word[1:])]
    return parse_value(word) if word else value


def apply(query: Query, rule: Filter, value: Any, given: Given, exists: Exists) -> None:
    """Add the conditions of a rule to the query."""
    mode, _, counted = rule.mode.partition(".")
    if mode in SPECIAL:
        SPECIAL[mode](query, rule.key, value, exists)
        return
    if rule.key == "django":
        # Alyx calls filter() once for each pair, so each pair joins related rows anew
        for path, item in value.items():
            if path.startswith("~"):
                query.exclude(path[1:], item)
            else:
                query.lookup(path, item, dict(query.to_one) if "t0.slices" in query.to_one else {})
    elif rule.type == "pairs":
        for path, item in value.items():
            query.lookup(f"{rule.key}__{path}", item, {})
    else:
        lookups = {path: argument(word, value, given) for path, word in rule.lookups.items()}
        if mode in ("flag", "all"):
            query.within(lookups, bool(value), len(value) if mode == "all" else 0, counted)
        else:
            scope: Scope = {}
            for path, item in lookups.items():
                query.lookup(path, item, scope)
    query.distinct |= mode in ("distinct", "all")


def last(given: Given, key: str) -> str:
    """Return the last value of a key, the one that most filters use."""
    value = given.get(key, "")
    return value if isinstance(value, str) else value[-1]


def values(rule: Filter, given: Given) -> list[str]:
    """Return the value of a filter's key: the last one, or all of them for a multiple choice."""
    form = rule.type.partition(".")[0]
    said = given.get(rule.key, "")
    several = form == "keys" and not isinstance(said, str)
    texts = list(said) if several else [last(given, rule.key)]
    if form not in EXACT_TEXT:
        # A text of blanks is empty, but no number and no date
        texts = [text.strip() or (text if form in FORMS and "uuid" not in form else "") for text in texts]
    return [text for text in texts if text]


def compile_query(endpoint: str, given: Given, exists: Exists) -> Query:
    """Convert query parameters to a query. Raise Answer where Alyx answers 400, Failed where it answers 500.

    ``exists("model.field", value)`` returns whether there is such a row: the target of a foreign key must exist.
    """
    query = Query(MODELS[endpoint])
    if endpoint == "imaging-stack":
        # A stack is listed once for each of its slices, which the page's count does not include
        query.walk("slices__id", query.to_one)
    active = [(rule, texts) for rule in query.model.filters if (texts := values(rule, given))]
    complaints = {
        rule.key: next(filter(None, (complaint(rule.type, text, exists) for text in texts)), None)
        for rule, texts in active
    }
    if any(complaints.values()):
        raise Answer(400, {key: [text] for key, text in complaints.items() if text})
    arguments = {word[1:] for r in query.model.filters if r.key in given for word in r.lookups.values()}
    for rule, texts in active:
        value = texts if rule.type.startswith("keys.") else read(rule.type, texts[0])
        if value is not None and rule.key not in arguments:
            apply(query, rule, value, given, exists)
    return query
