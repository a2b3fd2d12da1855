"""Notebook displays of a client and of the records of sessions and insertions. They read no files and send no requests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from one_async import _display
from one_async._addresses import OPEN_ALYX, without_login
from one_async._display import Markup, Printer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from one_async.client.context import Context
    from one_async.refresh import TablesInfo

__all__ = ["InsertionRecord", "SessionRecord", "client_fields"]

#: The page that draws the insertions of the public database.
VIEWER = "https://viz.internationalbrainlab.org/app?dset=bwm&pid="
_FIELDS = (
    "lab", "subject", "start_time", "end_time", "number", "users", "projects", "procedures", "task_protocol",
    "location", "n_trials", "n_correct_trials", "qc", "narrative",
)  # fmt: skip
#: The most collections, insertions and checks that a card shows.
_MOST = 30


class SessionRecord(dict[str, Any]):
    """The whole record of a session: a dictionary that notebooks show as a card."""

    def __init__(self, record: Mapping[str, Any], base_url: str | None = None) -> None:
        """Copy a record of the database at ``base_url``; insertions of the public one have links to its viewer."""
        super().__init__(record)
        self._is_public = base_url == OPEN_ALYX

    def _repr_html_(self) -> str:
        fields: dict[str, object] = dict(self._fields())
        fields["insertions"] = _lines(self._insertion(one) for one in _records(self.get("probe_insertion")))
        parts = []
        if rows := list(self._collections())[:_MOST]:
            parts.append(_display.table(("collection", "datasets", "size"), rows, ("datasets", "size")))
        return _display.card(_session_title(self), fields, *parts)

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        fields = dict(self._fields())
        for one in _records(self.get("probe_insertion")):
            fields[f"insertion {one.get('name')}"] = str(one.get("id"))
        lines = [_display.clipped(_session_title(self), _display.WIDTH), *_display.field_lines(fields)]
        rows = list(self._collections())[:_MOST]
        if rows:
            lines += _display.text_table(("collection", "datasets", "size"), rows, (50, 10, 10))
        _display.pretty(lines, printer, cycle)

    def _fields(self) -> Iterator[tuple[str, str]]:
        """Return the fields that are not empty, as texts."""
        yield "eid", _display.plain_text(self.get("id"))
        yield from _named(self, _FIELDS)
        yield from _checks(self.get("extended_qc"))

    def _insertion(self, one: Mapping[str, Any]) -> Markup:
        text = f"{_display.plain_text(one.get('name'))} {_display.plain_text(one.get('id'))}"
        return _viewed(text, one.get("id"), self._is_public)

    def _collections(self) -> Iterator[tuple[str, str, str]]:
        """Return each collection with the number and the size of its datasets."""
        found: dict[str, list[Any]] = {}
        for one in _records(self.get("data_dataset_session_related")):
            found.setdefault(_display.plain_text(one.get("collection") or ""), []).append(
                one.get("file_size")
            )
        for name in sorted(found):
            sizes = [size for size in found[name] if isinstance(size, int)]
            yield name or "(none)", f"{len(found[name]):,}", _display.size(sum(sizes)) if sizes else ""


class InsertionRecord(dict[str, Any]):
    """The record of an insertion: a dictionary that notebooks show as a card."""

    def __init__(self, record: Mapping[str, Any], base_url: str | None = None) -> None:
        """Copy a record of the database at ``base_url``; an insertion of the public one has a link to its viewer."""
        super().__init__(record)
        self._is_public = base_url == OPEN_ALYX

    def _repr_html_(self) -> str:
        fields: dict[str, object] = dict(self._fields())
        fields["pid"] = _viewed(str(fields["pid"]), self.get("id"), self._is_public)
        return _display.card(self._title, fields)

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        lines = [_display.clipped(self._title, _display.WIDTH), *_display.field_lines(dict(self._fields()))]
        _display.pretty(lines, printer, cycle)

    @property
    def _title(self) -> str:
        name, session = _display.plain_text(self.get("name")), _mapping(self.get("session_info"))
        return f"{name} of {_session_title(session)}" if session else name

    def _fields(self) -> Iterator[tuple[str, str]]:
        """Return the fields that are not empty, as texts."""
        yield "pid", _display.plain_text(self.get("id"))
        yield "eid", _display.plain_text(self.get("session"))
        yield from _named(_mapping(self.get("session_info")), ("lab", "projects", "task_protocol"))
        yield from _named(self, ("model", "serial", "chronic_insertion", "auto_datetime"))
        more = _mapping(self.get("json"))
        yield from _named(more, ("qc", "n_units"))
        yield from _checks(more.get("extended_qc"))
        if isinstance(datasets := self.get("datasets"), list):
            yield "datasets", f"{len(datasets):,}"


def _session_title(record: Mapping[str, Any]) -> str:
    subject, number = _display.plain_text(record.get("subject")), _display.plain_text(record.get("number"))
    return f"{subject} {_display.plain_text(record.get('start_time') or '')[:10]} #{number}"


def _named(record: Mapping[str, Any], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Return the named fields of a record that are not empty, as texts."""
    for name in names:
        value = record.get(name)
        if value not in (None, "", []):
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            yield name, _display.plain_text(text)


def _checks(checks: object) -> Iterator[tuple[str, str]]:
    """Return the extended QC as a field."""
    if isinstance(checks, Mapping) and checks:
        shown = [f"{name} {value}" for name, value in list(checks.items())[:_MOST]]
        more = f", and {len(checks) - _MOST:,} more" if len(checks) > _MOST else ""
        yield "checks", _display.plain_text(", ".join(shown), 1500) + more


def _viewed(text: str, pid: object, is_public: bool) -> Markup:
    """Return a text as HTML, for an insertion of the public database as a link to its viewer."""
    address = VIEWER + quote(_display.plain_text(pid), safe="")
    return _display.link(text, address) if is_public else _display.cell(text)


def _mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping, or an empty one for another value; servers may send anything."""
    return value if isinstance(value, Mapping) else {}


def _records(value: object) -> list[Mapping[str, Any]]:
    """Return the records of a list; servers may send anything."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _lines(values: Iterator[Markup]) -> Markup:
    return Markup("".join(f"<div>{value}</div>" for value in values))


def client_fields(context: Context) -> dict[str, str]:
    """Return the fields of a client's card: database, user, mode, size and age of the tables, and folders."""
    settings = context.settings
    fields = {
        "database": _display.plain_text(without_login(settings.base_url) or "none (offline)"),
        "user": context.user,
        "mode": context.mode,
        "tables": _tables(context),
        "bucket": settings.cache_bucket,
        "cache folder": settings.cache_dir,
    }
    if settings.tables_dir != settings.cache_dir:
        fields["tables folder"] = settings.tables_dir
    return {name: _display.plain_text(value) for name, value in fields.items() if value}


def _tables(context: Context) -> str:
    if context.frozen is not None:
        sessions, datasets = len(context.frozen.session_frame), len(context.frozen.dataset_table)
        return f"frozen set of {sessions:,} sessions, {datasets:,} datasets"
    info = context.known_tables
    if info is None or not any(info.rows.values()):
        return "not in memory"
    return ", ".join([*(f"{rows:,} {name}" for name, rows in info.rows.items()), *_ages(info)])


def _ages(info: TablesInfo) -> Iterator[str]:
    """Return when the tables were made and checked. The time of making has no zone, so only its day is shown."""
    if info.created is not None:
        days = (datetime.now() - info.created.replace(tzinfo=None)).days
        age = "less than a day" if days < 1 else _display.elapsed(days * 86400)
        yield f"made {info.created:%Y-%m-%d %H:%M} ({age} ago)"
    if info.checked is not None:
        seconds = (datetime.now() - info.checked).total_seconds()
        yield f"checked {_display.elapsed(seconds)} ago" + (" (expired)" if info.expired else "")
