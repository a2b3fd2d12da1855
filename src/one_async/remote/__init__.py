"""Files that are not datasets: see `one_async.remote.aws`."""
