"""The local page of ``one-async browse`` and ``one.browse()``: what the cache tables hold, with filters, plots and code.

`page` serves it, `app` answers its requests, `search` and `dataset_index` count sessions, `session` and `plots` show one.
It knows no client but calls the one that it is given.
"""
