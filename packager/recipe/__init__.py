"""The recipe: everything that decides what is built, as frozen values (`recipe`), and reading it (`loading`)."""
