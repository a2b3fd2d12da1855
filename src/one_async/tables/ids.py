"""Ids of sessions, datasets and insertions: text in the tables, UUIDs for users, unless they are paths."""

from __future__ import annotations

from uuid import UUID

__all__ = ["as_uuid"]


def as_uuid(text: str) -> UUID:
    """Return an id as a UUID; return ids that are paths unchanged, as text."""
    try:
        return UUID(text)
    except ValueError:
        return text  # type: ignore[return-value]
