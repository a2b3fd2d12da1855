"""Files that are no datasets: see `one_async.remote.aws`."""
