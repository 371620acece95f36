"""What the licence of a base model asks of whoever passes a model on that was made from it.

The licence's name on the Hub -> the text to carry, the notice to keep, what the card must show and how
the model's name must begin. For a licence that is not among them nothing is known: `gaps` says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packager.recipe.loading import ROOT

TEXT, NOTICE = "LICENSE", "NOTICE"
HEALTH_AI = "https://developers.google.com/health-ai-developer-foundations/terms"
"""MedGemma's."""
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
    text_says: str = ""
    """Words of its text, where not every copy has the first word of the title."""
    listed: bool = True
    """Whether the Hub lists its name; a card says `license: other` else, and the name beside it."""


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
    "mit": Licence("MIT License", "https://opensource.org/license/mit", text_says="Permission is hereby granted"),
    "llama3.1": _llama("3.1", "https://llama.meta.com"),
    "llama3.2": _llama("3.2", "https://www.llama.com"),
    "gemma": Licence(
        title="Gemma Terms of Use",
        url="https://ai.google.dev/gemma/terms",
        attribution="Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms",
        shows="Gemma Terms of Use",
        policy="https://ai.google.dev/gemma/prohibited_use_policy",
    ),
}
NOT_CARRIED = {
    "llama3.3": _llama("3.3", "https://www.llama.com"),
    "health-ai-developer-foundations": Licence(
        title="Health AI Developer Foundations Terms of Use",
        url=HEALTH_AI,
        attribution="HAI-DEF is provided under and subject to the Health AI Developer Foundations Terms of Use found"
        f" at {HEALTH_AI}",
        shows="Health AI Developer Foundations Terms of Use",
        policy="https://developers.google.com/health-ai-developer-foundations/prohibited-use-policy",
        listed=False,
    ),
}
"""Known terms whose text is not in `licences/`: it must lie beside the base."""
HOLDERS = {"microsoft": "Microsoft Corporation"}
"""Whose copyright an MIT notice names, by the base's organization on the Hub."""


def known(name: str) -> Licence | None:
    """The terms of a licence by its name, as the Hub or SPDX spells it."""
    return KNOWN.get(name.lower()) or NOT_CARRIED.get(name.lower())


def texts(name: str, base: str, changes: str, own: Mapping[str, str] | None = None) -> dict[str, str]:
    """The files that a package carries for its base's licence.

    `own` are the base's own texts, by file name; they are passed on as they are, NOTICE after what is said of
    this model. Of a known licence there is a LICENSE and a NOTICE in any case; of another, what the base has.
    """
    terms, kept = known(name), dict(own or {})
    if terms is None and not kept:
        return {}
    notices = [kept.pop(file) for file in sorted(kept) if file.upper().startswith(NOTICE)]
    licence = next((file for file in sorted(kept) if file.upper().startswith((TEXT, "LICENCE", "COPYING"))), "")
    if licence:
        kept[TEXT] = kept.pop(licence)
    elif name.lower() in KNOWN:
        kept[TEXT] = _text(name, base)
    under = f"the {terms.title}" if terms else f"the licence '{name or 'unknown'}'"
    said = [
        f"This model was made from {base}, which is under {under}{f' (see {TEXT})' if TEXT in kept else ''}.",
        f"What was changed: {changes}.",
        *([terms.attribution] if terms and terms.attribution else []),
        *([f"Whoever receives it is bound by their rules of use: {terms.policy}"] if terms and terms.policy else []),
    ]
    notice = "\n".join(said) + "\n"
    return kept | {NOTICE: "\n".join([notice, *notices])}


def _text(name: str, base: str) -> str:
    # Braces occur in none of the texts but where the holder stands.
    text = (ROOT / "licences" / f"{name.lower()}.txt").read_text(encoding="utf-8")
    holder = HOLDERS.get(base.partition("/")[0], f"the authors of {base}")
    return text.replace("{holder}", holder)


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
    its_text = terms.text_says or terms.title.partition(" ")[0]
    for file, text in ((TEXT, its_text), (NOTICE, terms.attribution), (CARD, terms.shows)):
        path = folder / file
        if not path.is_file():
            by_hand = file == TEXT and name.lower() in NOT_CARRIED
            first = f"put its text ({terms.url}) beside the base as {TEXT}, " if by_hand else ""
            found.append(f"{file} is not in the package: {first}delete the package folder and build again")
        elif text and not _says(path, text):
            found.append(f"{file} must say “{text}”")
    return found


def _says(path: Path, words: str) -> bool:
    """Whether the file holds them as whole words ("MIT" is in "limitation" too)."""
    pattern = r"\s+".join(map(re.escape, words.split()))
    return re.search(rf"(?<!\w){pattern}(?!\w)", path.read_text(encoding="utf-8"), re.IGNORECASE) is not None


def unread(name: str) -> str:
    """What to say of a licence whose terms are not known here; empty for the others."""
    if not name or known(name):
        return ""
    return f"the terms of the licence '{name}' are not known here: read what they ask of who passes the model on"
