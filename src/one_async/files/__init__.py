"""Read and write ALF files on the local disk. Everything here blocks: an event loop uses threads."""
