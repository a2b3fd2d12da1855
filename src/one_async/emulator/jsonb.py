"""Lookups on JSON columns as PostgreSQL evaluates them on ``jsonb``, as functions for SQLite."""

from __future__ import annotations

import json
import operator
import re
from functools import lru_cache
from typing import Any

__all__ = ["JSON_LOOKUPS", "json_matches"]

MISSING = object()
COMPARE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
# The regular expression of each lookup, around the escaped value
PATTERNS = {"iexact": r"\A{}\Z", "icontains": "{}", "startswith": r"\A{}", "istartswith": r"\A{}"}
PATTERNS |= {"endswith": r"{}\Z", "iendswith": r"{}\Z", "regex": "", "iregex": ""}
JSON_LOOKUPS = {"exact", "in", "range", "isnull", "contains", "contained_by", *COMPARE, *PATTERNS}
JSON_LOOKUPS |= {"has_key", "has_keys", "has_any_keys"}


def json_matches(text: str | None, spec: str) -> bool | None:
    """Evaluate one lookup, given as JSON ``[keys, lookup, value]``; return None for SQL's NULL."""
    keys, lookup, value = read(spec)
    found = MISSING if text is None else descend(json.loads(text), keys)
    if lookup == "isnull":
        return (found is MISSING) is value
    if found is MISSING:
        return None
    if lookup.startswith("has_"):
        held = set(found) if isinstance(found, dict | list) else {found}
        wanted = {str(item) for item in (value if isinstance(value, list) else [value])}
        return bool(wanted & held) if lookup == "has_any_keys" else wanted <= held
    if lookup in ("contains", "contained_by"):
        return contains(found, value) if lookup == "contains" else contains(value, found)
    if lookup in PATTERNS:
        return matches(lookup, found, value)
    if lookup == "in":
        return any(rank(found) == rank(item) for item in value)
    if lookup == "range":
        return rank(value[0]) <= rank(found) <= rank(value[1])
    return bool(COMPARE.get(lookup, operator.eq)(rank(found), rank(value)))


@lru_cache
def read(spec: str) -> Any:
    """Parse a specification, which is the same for all rows of a query."""
    return json.loads(spec)


def descend(found: Any, keys: list[str]) -> Any:
    """Follow keys of objects and indices of lists; a single key that is a number is only an index."""
    for key in keys:
        index = re.fullmatch(r"-?\d+", key)
        if isinstance(found, dict) and (len(keys) > 1 or not index):
            found = found.get(key, MISSING)
        elif isinstance(found, list) and index and -len(found) <= int(key) < len(found):
            found = found[int(key)]
        else:
            return MISSING
    return found


def rank(value: Any) -> tuple[Any, ...]:
    """Return a sort key in the order of ``jsonb``: null, text, numbers, booleans, lists, objects."""
    if value is None:
        return (0,)
    if isinstance(value, bool):
        return (3, value)
    if isinstance(value, str | int | float):
        return (1, value) if isinstance(value, str) else (2, value)
    if isinstance(value, list):
        if not value:
            return (-1,)  # PostgreSQL sorts an empty list before everything else
        return (4, len(value), [rank(item) for item in value])
    return (5, len(value), [(key, rank(value[key])) for key in sorted(value, key=lambda k: (len(k), k))])


def contains(held: Any, wanted: Any) -> bool:
    """Return whether a JSON value contains another one (``@>``)."""
    if isinstance(held, dict) and isinstance(wanted, dict):
        return all(key in held and contains(held[key], item) for key, item in wanted.items())
    if isinstance(held, list):
        items = wanted if isinstance(wanted, list) else [wanted]
        return all(any(contains(own, item) for own in held) for item in items)
    return rank(held) == rank(wanted)


def matches(lookup: str, found: Any, value: Any) -> bool | None:
    """Evaluate a lookup on the text of a JSON value (``->>``)."""
    if found is None:
        return None
    text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    pattern = str(value) if lookup.endswith("regex") else PATTERNS[lookup].format(re.escape(str(value)))
    return re.search(pattern, text, re.IGNORECASE if lookup.startswith("i") else 0) is not None
