"""What the licence of a base model asks of whoever passes a model on that was made from it.

The licence's name on the Hub -> the text to carry, the notice to keep, what the card must show and how
the model's name must begin. For a licence that is not among them nothing is known: `gaps` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packager.recipe.loading import ROOT

TEXT, NOTICE = "LICENSE", "NOTICE"
CARD = "README.md"


@dataclass(frozen=True)
class Licence:
    """The terms for passing on."""

    title: str
    url: str
    name_begins: str = ""
    """The model's name must begin so."""
    shows: str = ""
    """Words that the card must show."""
    attribution: str = ""
    """A line that NOTICE must keep."""
    policy: str = ""
    """Rules of use that belong to the licence."""


def _llama(version: str, site: str) -> Licence:
    """Section 1.b of the Llama Community License."""
    return Licence(
        title=f"Llama {version} Community License",
        url=f"{site}/llama{version.replace('.', '_')}/license",
        name_begins="Llama",
        shows="Built with Llama",
        attribution=f"Llama {version} is licensed under the Llama {version} Community License,"
        " Copyright © Meta Platforms, Inc. All Rights Reserved.",
        policy=f"{site}/llama{version.replace('.', '_')}/use-policy",
    )


KNOWN = {
    "apache-2.0": Licence("Apache License 2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    "mit": Licence("MIT License", "https://opensource.org/license/mit"),
    "llama3.1": _llama("3.1", "https://llama.meta.com"),
    "llama3.2": _llama("3.2", "https://www.llama.com"),
}
HOLDERS = {"microsoft": "Microsoft Corporation"}
"""Whose copyright an MIT notice names, by the base's organization on the Hub."""


def known(name: str) -> Licence | None:
    """The terms of a licence by its name, as the Hub or SPDX spells it."""
    return KNOWN.get(name.lower())


def texts(name: str, base: str, changes: str) -> dict[str, str]:
    """The files that a package carries for its base's licence: LICENSE and NOTICE, if the licence is known."""
    terms = known(name)
    if terms is None:
        return {}
    # Braces occur in none of the texts but where the holder stands.
    text = (ROOT / "licences" / f"{name.lower()}.txt").read_text(encoding="utf-8")
    holder = HOLDERS.get(base.partition("/")[0], f"the authors of {base}")
    notice = [
        f"This model was made from {base}, which is under the {terms.title} (see {TEXT}).",
        f"What was changed: {changes}.",
        *([terms.attribution] if terms.attribution else []),
    ]
    return {TEXT: text.replace("{holder}", holder), NOTICE: "\n".join(notice) + "\n"}


def titled(name: str, title: str) -> str:
    """A model's title, begun as its licence asks."""
    terms = known(name)
    begins = terms.name_begins if terms else ""
    if begins and title.lower().startswith(begins.lower()):
        return begins + title[len(begins) :]
    return f"{begins} {title}".strip()


def gaps(name: str, package: str, repos: Sequence[str], folder: Path) -> list[str]:
    """What the licence asks for and is missing: in the names, the files and the card of a package."""
    if not name or name == "unknown":
        return ["the base's licence is not known: find it out, and give it in base.licence"]
    terms = known(name)
    if terms is None and name.lower().startswith("llama"):
        return [f"the Llama licence '{name}' asks for a name, a notice and its text, which are not known here"]
    if terms is None:
        return []
    found = []
    begins = terms.name_begins
    wrong = [repo for repo in repos if not repo.partition("/")[2].startswith(begins)]
    found += [f"{repo}: the {terms.title} asks that the name begin with “{begins}”" for repo in wrong]
    if not package.lower().startswith(begins.lower()):
        found.append(f"the recipe's name, {package}, must begin with “{begins.lower()}”, as its files do")
    for file, text in ((TEXT, terms.title.partition(" ")[0]), (NOTICE, terms.attribution), (CARD, terms.shows)):
        path = folder / file
        if not path.is_file():
            found.append(f"{file} is not in the package: delete the package folder and build again")
        elif text.lower() not in path.read_text(encoding="utf-8").lower():
            found.append(f"{file} must say “{text}”")
    return found


def unread(name: str) -> str:
    """What to say of a licence whose terms are not known here; empty for the others."""
    if not name or known(name):
        return ""
    return f"the terms of the licence '{name}' are not known here: read what they ask of who passes the model on"
