"""The fields of a recipe that only people know and that the dossier shows."""

from __future__ import annotations

from packager.recipe.sections import Section


class Dossier(Section):
    purpose: str = ""
    """What the model is for, in a sentence or two of Portuguese; empty: the institution fills it in by hand, and so
    with the next six."""
    users: str = ""
    """Who is to use it."""
    data_origin: str = ""
    """Who wrote the questions and answers, from what, and who reviewed them."""
    base_origin: str = ""
    """What the base model was trained on and by whom, as its publisher says."""
    data_licence: str = ""
    """By what licence or right they are used."""
    approval: str = ""
    """Who read and approved the passages that the page shows, and when: name, registration, date."""
    author: str = ""
    """Who answers for the package: name and how to be reached."""
