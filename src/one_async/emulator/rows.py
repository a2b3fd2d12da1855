"""Whole records, written to the store and updated in every answer that shows them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote

from .fields import WRITES, Write
from .models import MODELS, Field
from .records import DETAIL, Record, Records, now, random_id
from .shapes import CONTENT, DEPENDENTS, OWN, SHAPES, family
from .store import HOST, Store, key_of, plain

__all__ = ["Rows"]

# References whose records are deleted with their target; all other references become null
CASCADES = {
    *(
        ("datasets", "session"),
        ("files", "dataset"),
        ("insertions", "session"),
        ("channels", "trajectory_estimate"),
    ),
    *(
        ("trajectories", "probe_insertion"),
        ("trajectories", "chronic_insertion"),
        ("fields-of-view", "session"),
    ),
    *(
        ("fov-location", "field_of_view"),
        ("fields-of-view", "stack"),
        ("sessions", "subject"),
        ("tasks", "session"),
    ),
    *(("water-administrations", "subject"), ("weighings", "subject"), ("surgeries", "subject")),
    *(("water-restriction", "subject"), ("chronic-insertions", "subject"), ("downloads", "dataset")),
    *(("files", "data_repository"), ("tasks", "data_repository"), ("locations", "lab"), ("subjects", "lab")),
    *(
        ("data-repository", "repository_type"),
        ("zygosities", "subject"),
        ("downloads", "user"),
        ("notes", "user"),
    ),
    *(("datasets", "created_by"), ("brain-regions", "parent")),
}


def sorted_keys(value: Any) -> Any:
    """Return a JSON value with the keys of objects in PostgreSQL's order: by length, then bytes."""
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: (len(item[0].encode()), item[0].encode()))
        return {key: sorted_keys(item) for key, item in items}
    return [sorted_keys(item) for item in value] if isinstance(value, list) else value


class Rows(Records):
    """The records of a store within one transaction, with changes; `flush` ends it."""

    def __init__(
        self, store: Store, clock: Callable[[], datetime] = now, new_id: Callable[[], str] = random_id
    ) -> None:
        super().__init__(store, clock, new_id)
        self._stale: dict[tuple[str, int], set[str]] = {}

    def create(self, endpoint: str, record: Record) -> int:
        """Write a new record."""
        if "url" in WRITES[endpoint].fields:
            key = record.get(MODELS[endpoint].key) if MODELS[endpoint].key != "id" else record["id"]
            record["url"] = f"{HOST}/{endpoint}/{quote(str(key), safe='')}"
        for (name, field), shape in SHAPES.items():
            if name == endpoint:
                record[field] = shape(self, record)
        return self._put(endpoint, None, record, {})

    def change(self, endpoint: str, number: int, /, **values: Any) -> Record:
        """Change fields of a record; return the changed record."""
        [before] = self.load(endpoint, [number])
        record = {**before, **values}
        model = MODELS[endpoint]
        if "url" in record and model.key != "id":
            record["url"] = f"{HOST}/{endpoint}/{quote(str(record[model.key]), safe='')}"
        for name in OWN.get(endpoint, ()):
            record[name] = SHAPES[endpoint, name](self, record)
        self._put(endpoint, number, record, before)
        if model.key != "id" and before.get(model.key) != record.get(model.key):
            self._rename(endpoint, before[model.key], record[model.key])
        return record

    def _put(self, endpoint: str, number: int | None, record: Record, before: Record) -> int:
        write: Write | None = WRITES.get(endpoint)
        if endpoint == "data-repository":
            self._repositories = None
        listed = (write.listed or list(write.fields)) if write else list(record)
        detail = list(write.fields) if write else list(record)
        kept = {
            name: sorted_keys(value)
            if write and name in write.fields and write.fields[name].kind == "json"
            else value
            for name, value in record.items()
        }
        row = {name: kept.get(name) for name in listed}
        shown = {name: kept.get(name + DETAIL, kept.get(name)) for name in detail}
        more = {
            name: value
            for name, value in kept.items()
            if name not in row and name not in shown and not name.endswith(DETAIL)
        }
        number = self.store.put(endpoint, number, row, shown, more)
        changed = {name for name in {*before, *record} if before.get(name, self) != record.get(name, self)}
        self._mark(endpoint, record, changed)
        if before:
            self._mark(endpoint, before, changed)
        return number

    def _mark(self, endpoint: str, record: Record, changed: set[str]) -> None:
        """Note which other answers show the changed fields of a record."""
        for child, fields, parent, how, shown in DEPENDENTS:
            if child != endpoint or not (changed if fields is None else changed & fields):
                continue
            key = key_of(MODELS[endpoint], record)
            if how == "family":
                numbers = family(self, record)
            elif how.startswith("<"):
                numbers = self.store.numbers(parent, **{how[1:]: plain(record.get("id", key))})
            elif how.startswith("*"):
                numbers = self.store.linked(parent, how[1:], key)
            else:
                value = plain(record.get(how))
                found = None if value is None else self.store.number_of(parent, str(value))
                numbers = [] if found is None else [found]
            for number in numbers:
                self._stale.setdefault((parent, number), set()).update(shown)

    def flush(self, only: str | None = None) -> None:
        """Update all answers that show changed records; with ``only``, those of one endpoint."""
        while stale := next((key for key in self._stale if only in (None, key[0])), None):
            endpoint, number = stale
            fields = self._stale.pop(stale)
            found = self.load(endpoint, [number])
            if not found:
                continue
            record = dict(found[0])
            for name in fields:
                shown = SHAPES[endpoint, name](self, record)
                record[name] = shown if name == "location" else in_old_order(record.get(name), shown)
            if record != found[0]:
                self._put(endpoint, number, record, found[0])

    # ---- effects of a deletion or a new name ----

    def delete(self, endpoint: str, number: int) -> None:
        """Remove a record, the records that belong to it, and the references to it."""
        found = self.load(endpoint, [number])
        if not found:
            return
        record = found[0]
        key = key_of(MODELS[endpoint], record)
        self.store.drop(endpoint, number)
        self._stale.pop((endpoint, number), None)
        if endpoint == "data-repository":
            self._repositories = None
        for name, other in MODELS.items():
            for field in other.fields.values():
                if field.target == endpoint and field.kind in ">*":
                    self._forget(name, field, record.get(field.key, key))
        labels = [f"{app}.{model}" for model, (app, of) in CONTENT.items() if of == endpoint]
        for label in labels:
            for note in self.store.numbers("notes", content_type=label, object_id=record.get("id", key)):
                self.delete("notes", note)
        self._mark(endpoint, record, set(record))

    def _forget(self, endpoint: str, field: Field, value: Any) -> None:
        """Remove the references to a deleted record, or the records that require it."""
        if field.kind == "*":
            for number in self.store.linked(endpoint, field.name, value):
                [record] = self.load(endpoint, [number])
                items = [item for item in record[field.source] if plain(item) != value]
                self._put(endpoint, number, {**record, field.source: items}, record)
            return
        for number in self.store.numbers(endpoint, **{field.name: value}) if value is not None else ():
            if (endpoint, field.name) in CASCADES:
                self.delete(endpoint, number)
            else:
                found = self.load(endpoint, [number])
                for record in found:
                    self._put(endpoint, number, {**record, field.source: None}, record)

    def _rename(self, endpoint: str, old: str, new: str) -> None:
        """Update all references to a record that was renamed."""
        for name, other in MODELS.items():
            for field in other.fields.values():
                if field.target != endpoint or field.key != MODELS[endpoint].key or field.kind not in ">*":
                    continue
                numbers = (
                    self.store.linked(name, field.name, old)
                    if field.kind == "*"
                    else self.store.numbers(name, **{field.name: old})
                )
                for number in numbers:
                    [record] = self.load(name, [number])
                    value = record[field.source]
                    changed = [new if v == old else v for v in value] if isinstance(value, list) else new
                    self._put(name, number, {**record, field.source: changed}, record)


def in_old_order(before: Any, after: Any) -> Any:
    """Return related records in their old order, with new ones at the end."""
    if not (isinstance(before, list) and isinstance(after, list) and after and isinstance(after[0], dict)):
        return after
    places = {
        item.get("id") or item.get("url"): at for at, item in enumerate(before) if isinstance(item, dict)
    }
    return sorted(after, key=lambda item: places.get(item.get("id") or item.get("url"), len(places)))
