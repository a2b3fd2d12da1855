"""The client of an Alyx database."""
