"""The ALF file naming standard: its grammar, and paths that know their parts.

Nothing here touches disk or network, except the methods of ``ALFPath`` that say so.
"""
