"""The tables of Alyx: their fields, how they point at one another, what lists filter by (models.txt)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files

__all__ = ["CHOICES", "MODELS", "Field", "Filter", "Model", "table_name"]

CHOICES: dict[str, dict[str, int | str]] = {}
FIELD = re.compile(
    r"(?P<name>\w+)(?:=(?P<source>\w+))?(?:(?P<kind>[:>*<])(?P<target>[\w-]+)(?:\.(?P<key>\w+))?)?$"
)


@dataclass(frozen=True)
class Field:
    """One field of a model; ``kind`` is ``:`` (a value of type ``target``), ``>``, ``*`` or ``<``."""

    name: str
    source: str
    kind: str
    target: str
    key: str


@dataclass(frozen=True)
class Filter:
    """One filter of a list; ``lookups`` maps each Django lookup to the word that says its value ("": the given one)."""

    key: str
    type: str
    lookups: dict[str, str]
    mode: str = ""
    needs: str = ""


@dataclass
class Model:
    """One table, and the filters of its list."""

    name: str
    singular: str
    key: str
    order: list[str]
    more: str
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

    @cached_property
    def filters(self) -> list[Filter]:
        """The filters of the list: the declared ones first, then (unless plain) every field of the model, exact."""
        declared = {rule.key for rule in self.rules}
        exact = [
            Filter(f.name, f.target if f.kind == ":" else f"key {f.target}", {f.name: ""})
            for f in self.fields.values()
            if f.kind != "<" and f.target != "json" and f.name not in declared
        ]
        return self.rules if self.plain else self.rules + exact


def table_name(model: str, link: str = "") -> str:
    """Name the SQL table of a model, or of one of its many-to-many fields."""
    return f'"{model}{"." + link if link else ""}"'


def read_filter(head: str, words: list[str]) -> Filter:
    """Read one filter of a list."""
    key, _, kind = head.partition(":")
    said = {word[0]: word[1:] for word in words if word[0] in "!>"}
    lookups = dict(word.partition("=")[::2] for word in words if word[0] not in "!>")
    return Filter(key, kind or "text", lookups, said.get("!", ""), said.get(">", ""))


def read_models(text: str) -> dict[str, Model]:
    """Read the tables; models.txt explains its own form."""
    models: dict[str, Model] = {}
    for line in text.replace("\n    ", " ").splitlines():
        first, *words = line.split("#", 1)[0].split() or [""]
        if first == "model":
            said = dict(word.split("=") for word in words[2:] if "=" in word)
            order = said["order"].split(",") if "order" in said else []
            model = models[words[0]] = Model(
                words[0], words[1], said.get("key", "id"), order, said.get("more", ""), "plain" in words
            )
        elif first == "choices":
            pairs = (item.strip().split("=") for item in " ".join(words[1:]).split(","))
            CHOICES[words[0]] = {label: int(value) if value.isdigit() else value for label, value in pairs}
        elif first == "?":
            model.rules.append(read_filter(words[0], words[1:]))
        elif first:
            for match in filter(None, map(FIELD.match, [first, *words])):
                name, source, kind, target, key = match.group("name", "source", "kind", "target", "key")
                model.fields[name] = Field(name, source or name, kind or ":", target or "text", key or "")
    return models


MODELS = read_models(files(__package__).joinpath("models.txt").read_text("utf-8"))
