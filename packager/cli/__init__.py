"""The command line: parse, call, echo. Stages and heavy libraries are imported when they are used."""
