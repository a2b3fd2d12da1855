"""The conductor: `AsyncONE` opens, closes, and hands each question to whoever can answer it."""

from .one import AsyncONE

__all__ = ["AsyncONE"]
