"""The cache tables: opened by memory map, searched, merged, saved and built; everything here blocks."""
