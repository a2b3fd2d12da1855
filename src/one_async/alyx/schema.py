"""The server's OpenAPI document, and the parameters of requests by it. Pure.

The names of endpoints, actions and filters are checked against the document; values become the texts that Alyx expects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from numbers import Integral
from typing import Any, TypeVar
from urllib.parse import quote, unquote
from uuid import UUID

from one_async._arguments import as_list, plain
from one_async._arguments import text_of as scalar_text
from one_async._boundary import reads_answers
from one_async.errors import AnswerError, InputError, closest, name_list, shown
from one_async.types import JSON

T = TypeVar("T")
ADDRESS = "/api/schema"
HEADERS = {"Accept": "application/vnd.oai.openapi+json", "Accept-Version": "3.0"}
METHODS = {
    "list": "GET",
    "read": "GET",
    "create": "POST",
    "update": "PUT",
    "partial_update": "PATCH",
    "delete": "DELETE",
}
#: First parts of paths that are not endpoints of records.
HIDDEN = frozenset({"api", "auth-token", "docs", ""})
#: Filters that the schema omits: these endpoints have lists without filter classes.
UNLISTED: Mapping[str, frozenset[str]] = {
    "check-protected": frozenset({"path", "filenames", "created_by", "hostname", "name", "projects", "labs"}),
    "water-requirement": frozenset({"start_date", "end_date"}),
    "cache.zip": frozenset({"tag"}),
}
#: Filters of which None may be a member: an open end, or null.
_WITH_NONE = frozenset({"date_range", "django"})


@dataclass(frozen=True, slots=True)
class Field:
    """A documented filter, or a documented field of a record."""

    name: str
    type: str = ""
    description: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        notes = [self.type, "required" if self.required else "", " | ".join(self.choices), self.description]
        return f"{self.name}: " + ", ".join(note for note in notes if note)


@dataclass(frozen=True, slots=True)
class ActionDescription:
    """Method, address, filters and fields of one action of an endpoint."""

    endpoint: str
    action: str
    method: str
    url: str
    filters: tuple[Field, ...] = ()
    fields: tuple[Field, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.action}: {self.method} {self.url}"]
        for title, entries in (("filters", self.filters), ("fields", self.fields)):
            if entries:
                lines += [f"  {title}", *(f"    {entry}" for entry in entries)]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class EndpointDescription:
    """The actions of an endpoint. ``print`` shows them as text."""

    endpoint: str
    description: str
    actions: Mapping[str, ActionDescription] = field(default_factory=dict)

    def __str__(self) -> str:
        return "\n".join([self.endpoint, *(str(action) for action in self.actions.values())])


@reads_answers(ADDRESS)
class Schema:
    """The server's OpenAPI document, by endpoint and action."""

    def __init__(self, raw: JSON) -> None:
        if not isinstance(raw, dict) or not isinstance(raw.get("paths"), dict):
            raise AnswerError(f"{ADDRESS} did not return an OpenAPI document")
        self._components: JSON = raw.get("components", {}).get("schemas", {})
        self._actions: dict[str, dict[str, tuple[str, JSON]]] = {}
        for path, operations in raw["paths"].items():
            endpoint = path.strip("/").split("/", 1)[0]
            if endpoint in HIDDEN:
                continue
            actions = self._actions.setdefault(endpoint, {})
            for method, operation in operations.items():
                action = _action(path, method)
                if action is not None:
                    actions.setdefault(action, (path, operation))

    @property
    def endpoints(self) -> list[str]:
        """Names of all endpoints, sorted."""
        return sorted(self._actions)

    @property
    def lists(self) -> list[str]:
        """Names of the endpoints that list records with documented fields, sorted."""
        return [
            name
            for name in self.endpoints
            if "list" in self._actions[name] and self.row(name).get("properties")
        ]

    def actions(self, endpoint: str) -> list[str]:
        """The actions of an endpoint, sorted."""
        self.check(endpoint)
        return sorted(self._actions[endpoint])

    def check(self, endpoint: str, action: str | None = None) -> None:
        """Raise InputError for an endpoint or action that the server does not document."""
        if not isinstance(endpoint, str) or endpoint not in self._actions:
            text = f"endpoint={shown(endpoint)} is not there; {suggest(endpoint, self._actions)}"
            raise InputError(text, argument="endpoint", given=endpoint)
        if action is not None and (not isinstance(action, str) or action not in self._actions[endpoint]):
            raise InputError.of("action", action, f"{', '.join(self.actions(endpoint))} (of {endpoint})")

    def filters(self, endpoint: str) -> tuple[str, ...]:
        """The filters of an endpoint's list, sorted."""
        operation = self._actions.get(endpoint, {}).get("list", ("", {}))[1]
        return tuple(sorted(p["name"] for p in operation.get("parameters", []) if p.get("in") == "query"))

    def known_filters(self, endpoint: str, params: Mapping[str, T]) -> dict[str, T]:
        """Return filters under the server's names: ``dataset_type`` is taken for ``dataset_types`` if only that is a filter.

        Raises InputError for unknown filters, since the server would ignore them and return every row, and for one that is
        given under both names.
        """
        known = {*self.filters(endpoint), *UNLISTED.get(endpoint, ()), "limit", "offset"}
        named: dict[str, T] = {}
        for name, value in params.items():
            found = name if name in known else f"{name}s"
            if found not in known:
                text = f"{name}=… is no filter of {endpoint}; {suggest(name, known)}"
                raise InputError(text, argument=name, given="…")
            if found in named:
                raise InputError.of(name, "…", f"once, as {found}")
            named[found] = value
        return named

    def describe(self, endpoint: str, action: str | None = None) -> EndpointDescription:
        """Describe an endpoint, or one action of it."""
        self.check(endpoint, action)
        names = self.actions(endpoint) if action is None else [action]
        described = {name: self._describe(endpoint, name) for name in names}
        text = self._actions[endpoint][names[0]][1].get("description", "")
        return EndpointDescription(endpoint, text, described)

    def fields(self, endpoint: str, action: str) -> list[str]:
        """List the fields that an action accepts, with the required ones marked."""
        described = self.describe(endpoint, action).actions[action]
        return [f"{field.name} (required)" if field.required else field.name for field in described.fields]

    def row(self, endpoint: str, action: str = "list") -> JSON:
        """Return the JSON schema of one record of ``list`` or ``read``; empty if it is not documented."""
        self.check(endpoint, action)
        responses = self._actions[endpoint][action][1].get("responses", {})
        content = responses.get("200", {}).get("content", {}).get("application/json", {})
        found = self.resolve(content.get("schema", {}))
        if "results" in found.get("properties", {}):
            found = self.resolve(found["properties"]["results"])
        return self.resolve(found.get("items", found))

    def _describe(self, endpoint: str, action: str) -> ActionDescription:
        path, operation = self._actions[endpoint][action]
        filters = tuple(
            Field(
                p["name"],
                p.get("schema", {}).get("type", ""),
                " ".join(p.get("description", "").split()),
                p.get("required", False),
                tuple(map(str, p.get("schema", {}).get("enum", ()))),
            )
            for p in operation.get("parameters", [])
            if p.get("in") == "query"
        )
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        body = self.resolve(content.get("schema", {}))
        required = set(body.get("required", ()))
        fields = tuple(
            Field(name, self._type(of), " ".join(of.get("description", "").split()), name in required)
            for name, of in body.get("properties", {}).items()
            if not of.get("readOnly")
        )
        return ActionDescription(endpoint, action, METHODS[action], path, filters, fields)

    def _type(self, property_: JSON) -> str:
        return str(self.resolve(property_).get("type", "")) + (
            " or null" if property_.get("nullable") else ""
        )

    def resolve(self, schema: JSON) -> JSON:
        """Resolve a reference to a component of the document."""
        reference = schema.get("$ref")
        if isinstance(reference, str):
            found = self._components.get(reference.rsplit("/", 1)[-1], {})
            return found if isinstance(found, dict) else {}
        return schema


def suggest(name: object, known: Iterable[str]) -> str:
    """Return the closest of the accepted names as a question; all of them if none is close."""
    names = sorted(known)
    close = closest(name, names, 3) if isinstance(name, str) else []
    return f"did you mean {' or '.join(close)}?" if close else f"there are {name_list(names)}"


def _action(path: str, method: str) -> str | None:
    if method == "get":
        return "read" if "{" in path else "list"
    if method == "post":
        return None if "{" in path else "create"
    return {"put": "update", "patch": "partial_update", "delete": "delete"}.get(method)


# ---- parameters of requests


def with_id(filters: Mapping[str, Any], id: UUID | str | None) -> dict[str, Any]:
    """Restrict a list to one record, as ONE-api does. A list returns fewer fields than ``read``, and faster."""
    if id is None:
        return dict(filters)
    key = _id_text(id).rsplit("/", 1)[-1]
    if not key:
        raise InputError.of("id", id, "an id, or a URL that ends with one")
    parts = [part for part in (text_of("django", filters.get("django")), f"pk,{key}") if part]
    return {**filters, "django": ",".join(parts)}


def params_of(filters: Mapping[str, Any]) -> dict[str, str]:
    """Return the query parameters of filters, without those that are None."""
    return {name: text for name, value in filters.items() if (text := text_of(name, value)) is not None}


def text_of(name: str, value: Any) -> str | None:
    """Return a filter's value as query text. Raise InputError for an empty one, which Alyx would ignore."""
    if value is None:
        return None
    texts = ["None" if one is None and name in _WITH_NONE else _member_text(one) for one in as_list(value)]
    if None in texts:
        raise InputError.of(name, value, "text, numbers, dates, ids, or lists of these")
    text = ",".join(map(str, texts))
    if not text:
        raise InputError.of(name, value, "a value that is not empty (Alyx would return every row), or None")
    return text


def _member_text(value: Any) -> str | None:
    """Return the text of one value; that of a day for a time at midnight, such as a pandas Timestamp of a day."""
    text = scalar_text(value)
    return text.removesuffix("T00:00:00") if text is not None and isinstance(value, datetime) else text


def _id_text(id: object) -> str:
    """Return the text of an id, a name, a number or a URL."""
    key = plain(id)
    text = scalar_text(key) if isinstance(key, str | UUID | int) and not isinstance(key, bool) else None
    if text is None:
        raise InputError.of("id", id, "an id, a name, or a URL that ends with one")
    return text


def last_part(id: UUID | str | None, endpoint: str, action: str) -> str:
    """Return the id or name at the end of an id, path or URL, quoted for a path."""
    text = "" if id is None else _id_text(id).rstrip("/")
    last = text.rsplit("/", 1)[-1]
    if text.startswith(("http://", "https://")):
        last = unquote(last)
    if last in ("", ".", ".."):
        raise InputError.of("id", id, f"the id or name of one of {endpoint}, for {action}")
    with suppress(ValueError):
        last = str(UUID(last)) if len(last) in (32, 36) else last
    return quote(last, safe="")


def whole_number(name: str, given: object) -> int:
    """Parse ``limit`` or ``offset``."""
    text = str(given) if isinstance(given, str | Integral) and not isinstance(given, bool) else ""
    if not text.isdecimal() or (name == "limit" and int(text) == 0):
        raise InputError.of(name, given, "a whole number, 1 or more" if name == "limit" else "a whole number")
    return int(text)
