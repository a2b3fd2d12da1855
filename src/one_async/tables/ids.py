"""Ids of sessions, datasets and insertions: strings in the tables, UUIDs for users, unless they are paths."""

from __future__ import annotations

from uuid import UUID

__all__ = ["as_uuid"]


def as_uuid(text: str) -> UUID:
    """Return an id as a UUID; an id that is a path is returned unchanged."""
    try:
        return UUID(text)
    except ValueError:
        return text  # type: ignore[return-value]
