"""The Open Neurophysiology Environment's package, as one_async stands in for it."""

#: The version of ONE-api whose names these are.
__version__ = "3.6.1"
