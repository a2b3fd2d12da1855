"""one_async."""
