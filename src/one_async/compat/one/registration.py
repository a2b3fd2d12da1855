"""Register sessions and files."""

from one_async.api import ONE
from one_async.registration import get_dataset_type
from one_async.sync import Registration

__all__ = ["ONE", "RegistrationClient", "get_dataset_type"]


class RegistrationClient(Registration):
    """The methods of ``one.registration`` of a client, as a class that is made of the client and can be subclassed."""

    def __init__(self, one: ONE | None = None) -> None:
        """Register at the database of a client, by default of a new one."""
        self.one = one or ONE()
        self._begin({}, (self.one, "registration"))
