"""Register sessions, files, water and weights in the database, each exactly once, with dry runs."""

from one_async.registration.client import RegistrationClient
from one_async.registration.vocabulary import get_dataset_type

__all__ = ["RegistrationClient", "get_dataset_type"]
