"""The command line: parse, call, echo. Stages and heavy libraries are imported when they are used."""

from packager.cli import building, delivering, measuring, starting
from packager.cli.options import main

__all__ = ["building", "delivering", "main", "measuring", "starting"]
