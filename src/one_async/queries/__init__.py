"""Queries, answered by tables, by the server, or by both: three sources with one interface."""
