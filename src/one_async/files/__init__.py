"""Read and write ALF files on the local disk. All functions block; call them in threads from an event loop."""
