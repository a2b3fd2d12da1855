"""`AsyncONE`, put together from its parts."""

from __future__ import annotations

from one_async.client.harvesting import Harvesting
from one_async.client.spikes import SpikeLoading
from one_async.client.tables import TableMethods
from one_async.client.watching import Watching


class AsyncONE(SpikeLoading, Watching, Harvesting, TableMethods):
    """Find and load the data of a database of neurophysiology sessions, from inside an event loop.

    Use it as a context manager, so that connections and the background task end with the block::

        async with AsyncONE(base_url="https://openalyx.internationalbrainlab.org") as one:
            eids = await one.search(lab="cortexlab", datasets="spikes.times.npy")
            trials = await one.load_object(eids, "trials")  # one object for each session, in that order

    `ONE` has the same methods for notebooks and scripts, without `await`. Wherever a method takes one session it takes a
    list too, and works on its members at once. Sessions may be named by eid, path, URL, reference or record.

    Errors are `OneError`s (the tree is in `one_async.errors`); a wrong argument is an `InputError` that says what would be
    accepted, before any request is made.
    """
