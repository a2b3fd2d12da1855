"""Transfers between Globus endpoints, which one_async has not: any public name can be imported, none can be used."""

from one_async.compat.adapters import absent

__getattr__ = absent(__name__, "ONE.download fetches files over HTTP or from S3")
