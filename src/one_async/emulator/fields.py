"""The fields that an endpoint accepts in a request that writes (writes.txt), and its complaints about other values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from .models import MODELS
from .patterns import BOUNDS, PATTERNS
from .values import Complaint, Exists, FormText, Taken, read_value

__all__ = ["LOGIN", "WRITES", "Form", "Write", "validated"]

ABSENT = object()
TOKEN = re.compile(
    r"(?P<fixed>-?)(?P<name>\w+)(?P<required>!?)(?P<null>\??)(?::(?P<kind>\w+)(?:\((?P<limit>\d+)\))?)?"
    r"(?:=(?P<default>\S+))?$"
)


class Form(dict[str, list[Any]]):
    """The fields of a form, each with all its values."""


@dataclass
class Write:
    """The fields that one endpoint accepts.

    ``listed``: the fields of its list; ``unique``: those whose values are unique together;
    ``extra``: those that are only checked.
    """

    name: str
    listed: list[str]
    unique: list[str]
    answers_as_list: bool
    fields: dict[str, Taken] = field(default_factory=dict)
    extra: dict[str, Taken] = field(default_factory=dict)

    def order(self, new: bool) -> list[str]:
        """Return the names of the fields in the order of complaints."""
        names = list(self.listed if new and self.answers_as_list else self.fields)
        at = names.index("auto_datetime") if "auto_datetime" in names else len(names)
        return names[:at] + list(self.extra) + names[at:]


#: Types of Alyx's columns whose values are sent as another type.
_WRITTEN_AS = {
    "prose": "text",
    "inner": "text",
    "none": "text",
    "small": "int",
    "big": "int",
    "positive": "int",
}


def read_field(endpoint: str, token: str) -> Taken:
    """Parse one field of an endpoint; models.txt has the types of most fields."""
    match = TOKEN.match(token)
    assert match is not None, token
    fixed, name, required, null, kind, limit, default = match.group(
        "fixed", "name", "required", "null", "kind", "limit", "default"
    )
    known = MODELS[endpoint].fields.get(name)
    relation = known is not None and known.kind in ">*<" and kind != "content_type"
    if kind is None:
        kind = "slug" if relation else known.target if known is not None and known.kind == ":" else "text"
    bound = BOUNDS.get(kind)
    kind = _WRITTEN_AS.get(kind, kind)
    return Taken(
        name,
        kind,
        bool(fixed),
        bool(required),
        bool(null),
        int(limit) if limit else None,
        default,
        known is not None and known.kind in "*<",
        known.target if relation and known else "",
        (MODELS[known.target].key if known.kind == "<" else known.key) if relation and known else "",
        bound,
        PATTERNS.get((endpoint, name)),
    )


@cache
def read_writes() -> dict[str, Write]:
    """Parse writes.txt, which describes its own format: the fields of all endpoints."""
    found: dict[str, Write] = {}
    for line in files(__package__).joinpath("writes.txt").read_text("utf-8").splitlines():
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if words[0] == "write":
            said = dict(word.split("=") for word in words[2:])
            listed = said["list"].split(",") if "list" in said else []
            unique = said["unique"].split("+") if "unique" in said else []
            write = found[words[1]] = Write(words[1], listed, unique, said.get("post") == "list")
        else:
            write.fields |= {taken.name: taken for taken in (read_field(write.name, word) for word in words)}
    return found


WRITES = read_writes()


def bare(name: str, kind: str, required: bool, target: str = "", key: str = "") -> Taken:
    """Return a field that is no field of a record."""
    return Taken(name, kind, False, required, False, None, None, False, target, key)


WRITES["datasets"].extra = {
    "subject": bare("subject", "slug", False, "subjects", "nickname"),
    "date": bare("date", "date", False),
    "number": bare("number", "int", False),
}
WRITES["subjects"].extra = {"genotype": bare("genotype", "list", False)}
LOGIN = Write("auth-token", [], [], False)
LOGIN.fields = {
    "username": bare("username", "name", True),
    "password": bare("password", "password", True),
}


# ---- all values of a request ----


def given(data: Mapping[str, Any], taken: Taken, partial: bool) -> Any:
    """Return the value of a field in a request; ABSENT if it is not there.

    A form that is not partial says by its silence that a box is not checked and a list is empty.
    """
    several = taken.many or taken.kind == "list"
    if taken.name not in data:
        silent = isinstance(data, Form) and not partial
        return [] if silent and several else False if silent and taken.kind == "bool" else ABSENT
    value = data[taken.name]
    if not isinstance(data, Form):
        return value
    texts = [FormText(item) if isinstance(item, str) else item for item in value]
    if several or texts[-1] != "" or taken.kind in ("json", "text"):
        return texts if several else texts[-1]
    return None if taken.null else texts[-1] if taken.required else ABSENT


def validated(
    write: Write, data: Any, partial: bool, exists: Exists
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Validate the values of a request. Return them, and the complaints by field."""
    if data is None:
        return {}, {"non_field_errors": ["No data provided"]}
    if not isinstance(data, Mapping):
        words = f"Invalid data. Expected a dictionary, but got {type(data).__name__}."
        return {}, {"non_field_errors": [words]}
    values: dict[str, Any] = {}
    complaints: dict[str, list[str]] = {}
    for taken in write.fields.values():
        value = ABSENT if taken.fixed else given(data, taken, partial)
        if value is not ABSENT:
            try:
                values[taken.name] = read_value(taken, value, exists)
            except Complaint as error:
                complaints[taken.name] = list(error.args)
        elif taken.required and not partial and not taken.fixed:
            complaints[taken.name] = ["This field is required."]
    for taken in write.extra.values():
        if (value := given(data, taken, partial)) is not ABSENT:
            try:
                read_value(taken, value, exists)
            except Complaint as error:
                complaints[taken.name] = list(error.args)
    return values, complaints
