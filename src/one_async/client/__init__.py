"""The conductor: `AsyncONE` opens, closes, and hands each question to whoever can answer it."""

from one_async.client.one import AsyncONE

__all__ = ["AsyncONE"]
