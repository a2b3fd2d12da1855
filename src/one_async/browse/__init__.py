"""The local page of ``one-async browse`` and ``one.browse()``: the cache tables with filters, plots and code.

`page` serves it, `app` answers its requests, `search` and `dataset_index` count sessions, `session` and `plots` show one.
It imports no client and calls the one that is passed to it.
"""
