"""The tables of Alyx: their fields, how they point at one another, what lists filter by (models.txt)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.resources import files

__all__ = ["CHOICES", "FOV_PROVENANCE", "MODELS", "QC", "Field", "Model", "table_name"]

# Each in the order in which Alyx names them in its complaints
QC = {"CRITICAL": 50, "FAIL": 40, "WARNING": 30, "NOT_SET": 0, "PASS": 10}
PROVENANCE = {
    "Ephys aligned histology track": 70,
    "Histology track": 50,
    "Micro-manipulator": 30,
    "Planned": 10,
}
STATUS = {"Waiting": 20, "Held": 25, "Started": 30, "Errored": 40, "Empty": 45, "Complete": 50}
STATUS |= {"Incomplete": 55, "Abandoned": 60}
CHOICES: dict[str, dict[str, int]] = {"qc": QC, "provenance": PROVENANCE, "status": STATUS}
FOV_PROVENANCE = {"Estimate": "E", "Functional": "F", "Landmark": "L", "Histology": "H"}

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


@dataclass
class Model:
    """One table; ``filters`` maps a query key to its rule."""

    name: str
    singular: str
    key: str
    order: list[str]
    plain: bool
    fields: dict[str, Field] = field(default_factory=dict)
    filters: dict[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[Field]:
        """The fields that are columns of the table."""
        return [column for column in self.fields.values() if column.kind in ":>"]

    @property
    def links(self) -> list[Field]:
        """The many-to-many fields that this model owns, each a table of its own."""
        return [link for link in self.fields.values() if link.kind == "*"]


def table_name(model: str, link: str = "") -> str:
    """Name the SQL table of a model, or of one of its many-to-many fields."""
    return f'"{model}{"." + link if link else ""}"'


def read_models(text: str) -> dict[str, Model]:
    """Read the tables; models.txt explains its own form."""
    models: dict[str, Model] = {}
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if words[0] == "model":
            said = dict(word.split("=") for word in words[3:] if "=" in word)
            order = said["order"].split(",") if "order" in said else []
            model = Model(words[1], words[2], said.get("key", "id"), order, "plain" in words)
            models[model.name] = model
        elif words[0] == "?":
            model.filters[words[1]] = " ".join(words[2:])
        else:
            for match in filter(None, map(FIELD.match, words)):
                name, source, kind, target, key = match.group("name", "source", "kind", "target", "key")
                model.fields[name] = Field(name, source or name, kind or ":", target or "text", key or "")
    return models


MODELS = read_models(files(__package__).joinpath("models.txt").read_text("utf-8"))
