"""The tables of Alyx (models.txt): their fields, their relations, and the filters of their lists."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files

__all__ = ["CHOICES", "MODELS", "Field", "Filter", "Model", "table_name"]

CHOICES: dict[str, dict[str, int | str]] = {}
FIELD = re.compile(
    r"(?P<name>\w+)(?:=(?P<source>\w+))?(?:(?P<kind>[:>*<])(?P<target>[\w-]+)(?:\.(?P<key>\w+))?)?"
    r"(?:~(?P<default>\S*))?$"
)


@dataclass(frozen=True)
class Field:
    """One field of a model; ``kind`` is ``:`` (a value of type ``target``), ``>``, ``*`` or ``<``.

    ``default`` is the value in records that do not set the field.
    """

    name: str
    source: str
    kind: str
    target: str
    key: str
    default: str | int | None = None


@dataclass(frozen=True)
class Filter:
    """One filter of a list; ``lookups`` maps each Django lookup to a word for its value ("": the given value)."""

    key: str
    type: str
    lookups: dict[str, str]
    mode: str = ""


@dataclass
class Model:
    """One table, and the filters of its list."""

    name: str
    singular: str
    key: str
    order: list[str]
    more: str
    on: list[str]
    plain: bool
    fields: dict[str, Field] = field(default_factory=dict)
    rules: list[Filter] = field(default_factory=list)

    @cached_property
    def columns(self) -> list[Field]:
        """The fields that are columns of the table."""
        return [column for column in self.fields.values() if column.kind in ":>"]

    @cached_property
    def links(self) -> list[Field]:
        """The many-to-many fields that this model owns, each a table of its own."""
        return [link for link in self.fields.values() if link.kind == "*"]

    def find(self, name: str) -> Field | None:
        """Return a field by its name; a foreign key also by the name of its column."""
        found = self.fields.get(name)
        owner = self.fields.get(name.removesuffix("_id"))
        return found or (owner if owner is not None and owner.kind == ">" else None)

    @cached_property
    def choices(self) -> list[str]:
        """The names with which a lookup may begin."""
        keys = [f"{name}_id" for name, other in self.fields.items() if other.kind == ">"]
        return [name for name, other in self.fields.items() if other.target != "inner"] + keys

    @cached_property
    def filters(self) -> list[Filter]:
        """The filters of the list in Django's order: by field, exact unless declared otherwise; then the others.

        A plain list has only the declared ones.
        """
        declared = {rule.key: [r for r in self.rules if r.key == rule.key] for rule in self.rules}
        if self.plain:
            return self.rules
        found = []
        for f in self.fields.values():
            if f.name in declared:
                found += declared.pop(f.name)
            elif f.kind == "*":
                found.append(Filter(f.name, f"keys.{f.target}", {f"{f.name}__in": ""}, "distinct"))
            elif f.kind != "<" and f.target not in ("json", "none", "inner"):
                found.append(Filter(f.name, f.target if f.kind == ":" else f"key.{f.target}", {f.name: ""}))
        return [*found, *(rule for rules in declared.values() for rule in rules)]


def table_name(model: str, link: str = "") -> str:
    """Return the name of the SQL table of a model, or of one of its many-to-many fields."""
    return f'"{model}{"." + link if link else ""}"'


def read_filter(head: str, words: list[str]) -> Filter:
    """Parse one filter of a list."""
    key, _, kind = head.partition(":")
    lookups = dict(word.partition("=")[::2] for word in words if word[0] != "!")
    mode = next((word[1:] for word in words if word[0] == "!"), "")
    return Filter(key, kind or "text", lookups, mode)


def read_models(text: str) -> dict[str, Model]:
    """Parse models.txt, which describes its own format."""
    models: dict[str, Model] = {}
    for line in text.replace("\n    ", " ").splitlines():
        first, *words = line.split("#", 1)[0].split() or [""]
        if first == "model":
            said = dict(word.split("=") for word in words[2:] if "=" in word)
            order = said["order"].split(",") if "order" in said else []
            model = models[words[0]] = Model(
                words[0],
                words[1],
                said.get("key", "id"),
                order,
                said.get("more", ""),
                said["on"].split(",") if "on" in said else [],
                "plain" in words,
            )
        elif first == "choices":
            pairs = (item.strip().split("=") for item in " ".join(words[1:]).split(","))
            CHOICES[words[0]] = {label: int(value) if value.isdigit() else value for label, value in pairs}
        elif first == "?":
            model.rules.append(read_filter(words[0], words[1:]))
        elif first:
            for match in filter(None, map(FIELD.match, [first, *words])):
                name, source, kind, target, key = match.group("name", "source", "kind", "target", "key")
                named: dict[str | None, bool | int] = {"true": True, "false": False, "1": 1}
                default = named.get(match["default"], match["default"])
                model.fields[name] = Field(
                    name, source or name, kind or ":", target or "text", key or "", default
                )
    return models


MODELS = read_models(files(__package__).joinpath("models.txt").read_text("utf-8"))
