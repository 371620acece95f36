"""A proof -> what card and LEIA-ME say of the approved material, and of what Ollama does not do with it; and how
that material is spoken of where nobody is named who approved it."""

from __future__ import annotations

from packager.artifacts.kinds import Proof

ALONE = """
No Ollama o modelo responde sozinho: ele não procura no material aprovado (knowledge.jsonl), não mostra
fontes e não é conferido com elas. Quem faz isso é a página do pacote para a clínica.
"""


def section(proof: Proof) -> list[str]:
    """Lines of the model card; none without approved material."""
    if proof.mode == "free":
        return []
    figures = {f.id: f.says for f in proof.figures}
    return [
        "## Approved material",
        "",
        f"{figures['knowledge.passages']} {figures['knowledge.mode']}",
        "",
        "**In Ollama the model speaks alone**: it does not search the approved material, shows no source, and nothing",
        "that it writes is held against it. `packager ask`, and the page of the clinic's bundle, do all of this.",
        "",
    ]


def alone(proof: Proof, approval: str) -> str:
    """For the package's LEIA-ME.txt; "" without approved material."""
    return "" if proof.mode == "free" else as_approved(ALONE, approval)


def as_approved(text: str, approval: str) -> str:
    """A text in Portuguese about the material, as it may be said: where nobody is named in `approval`
    (`dossier.approval`), no word says that anybody approved it. The page does the same (`withoutApproval`)."""
    if approval:
        return text
    for said in ("material", "Material", "texto"):
        text = text.replace(f"{said} aprovado", f"{said} do pacote")
    return text
