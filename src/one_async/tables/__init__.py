"""The cache tables: open them memory-mapped, search, merge, save and build them. All functions block."""
