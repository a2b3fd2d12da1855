"""The ALF file naming standard: its grammar, and paths with properties for their parts.

Nothing here accesses disk or network, except the methods of ``ALFPath`` whose documentation says so.
"""
