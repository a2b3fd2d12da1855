"""Registration: sessions, files, water and weights go into the database once, whole, and can be tried dry."""

from one_async.registration.client import RegistrationClient
from one_async.registration.vocabulary import get_dataset_type

__all__ = ["RegistrationClient", "get_dataset_type"]
