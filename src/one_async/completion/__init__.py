"""Completion of the values of arguments in IPython and Jupyter, which ``%load_ext one_async`` switches on."""
