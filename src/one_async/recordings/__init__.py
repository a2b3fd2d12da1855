"""Raw recordings and videos, read in slices from servers or from disk."""
