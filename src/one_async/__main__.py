"""Run the command line: ``python -m one_async``."""

from one_async.cli import main

if __name__ == "__main__":
    main()
