"""Register sessions and files."""

from one_async.api import ONE
from one_async.registration import get_dataset_type
from one_async.sync import Registration

__all__ = ["ONE", "RegistrationClient", "get_dataset_type"]


class RegistrationClient(Registration):
    """The methods of ``one.registration``, as a class that can be subclassed and takes a client."""

    def __init__(self, one: ONE | None = None) -> None:
        """Use the database of a client; default: a new client."""
        self.one = one or ONE()
        self._begin({}, (self.one, "registration"))
