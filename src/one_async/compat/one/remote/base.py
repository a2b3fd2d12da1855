"""The base of ONE-api's other download clients: any public name can be imported, none can be used."""

from one_async.compat.adapters import absent

__getattr__ = absent(__name__, "ONE.download fetches files, and one_async.settings reads and saves settings")
