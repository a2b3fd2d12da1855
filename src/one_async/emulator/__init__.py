"""A small Alyx for demonstrations and tests: REST endpoints, cache tables and data files of a made-up world."""

from __future__ import annotations
