"""`python -m packager`: every command of the command line, registered by importing the module that holds it."""

from packager.cli import building, delivering, looking, measuring, starting, trusting  # noqa: F401
from packager.cli.options import main

if __name__ == "__main__":
    main()
