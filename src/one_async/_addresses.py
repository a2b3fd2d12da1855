"""Addresses of servers: those of the public database, their normal form, and their display without logins. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from one_async.errors import InputError

__all__ = ["OPEN_ALYX", "OPEN_DATA", "normal_url", "without_login"]

OPEN_ALYX = "https://openalyx.internationalbrainlab.org"
OPEN_DATA = "https://ibl.flatironinstitute.org/public"


def normal_url(url: str) -> str:
    """Return a server's address in normal form: no final slash or default port, scheme and host in lower case.

    Raises:
        InputError: not an http or https address, or one with a password.
    """
    text = url.strip() if isinstance(url, str) else ""
    if text and "://" not in text:
        text = f"https://{text}"
    accepted = "the address of a server, such as https://alyx.example.org"
    try:
        parts = urlsplit(text)
        known = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise InputError.of("base_url", without_login(url), accepted) from None
    if "@" in parts.netloc:
        raise InputError("base_url must not hold a user name or password; give username= and password=")
    if not known or parts.query or parts.fragment or re.search(r"\s", text):
        raise InputError.of("base_url", without_login(url), accepted)
    scheme, server = parts.scheme.lower(), parts.netloc.lower()
    server = server.removesuffix(":80" if scheme == "http" else ":443").removesuffix(":")
    return urlunsplit((scheme, server, parts.path.rstrip("/"), "", ""))


def without_login(url: object) -> object:
    """Return an address, even an invalid one, without user name and password, for display."""
    return re.sub(r"^([^@]*?://|)[^/?#]*@", r"\1…@", url, flags=re.DOTALL) if isinstance(url, str) else url
