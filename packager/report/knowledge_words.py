"""What the checks and figures of approved material prove, in both languages."""

from __future__ import annotations

KNOWLEDGE = {
    "knowledge.identifiers": (
        "Identificadores de pacientes no material do pacote.",
        "Patient identifiers in the approved material.",
    ),
    "knowledge.damaged": (
        "Passagens do material com texto danificado.",
        "Approved passages with damaged text.",
    ),
    "knowledge.duplicates": ("Passagens do material repetidas.", "Approved passages that were there before."),
    "knowledge.contradictions": (
        "Pares de passagens que respondem a perguntas quase iguais de modo diferente.",
        "Pairs of passages that answer near-equal questions unlike.",
    ),
    "knowledge.language": (
        "Passagens do material em outra língua.",
        "Approved passages in another language.",
    ),
    "knowledge.found_first": (
        "A passagem certa veio em primeiro lugar.",
        "The right approved passage came first.",
    ),
    "knowledge.found_three": ("A passagem certa veio entre as três primeiras.", "It was among the first three."),
    "knowledge.silent": (
        "Perguntas fora do material foram recusadas.",
        "Questions outside the approved material were refused.",
    ),
    "knowledge.unclaimed": (
        "Perguntas sobre o mesmo assunto, sem resposta no material, não receberam uma passagem como resposta.",
        "Questions about the same without an answer in the material got no passage shown as the answer.",
    ),
    "knowledge.passages": (
        "Passagens que acompanham o modelo, mostradas palavra por palavra com a fonte.",
        "Approved passages that travel with the model, shown word for word with their source.",
    ),
    "knowledge.kept": (
        "Perguntas que o material responde e para as quais uma passagem é mostrada.",
        "Questions that the material answers and for which a passage is shown.",
    ),
    "knowledge.grounded": (
        "Respostas do modelo, escritas a partir das passagens, das quais nada é retirado.",
        "Answers of the model, written from the passages, of which nothing is struck.",
    ),
    "knowledge.better": (
        "Quanto as respostas com as passagens se aproximam mais das do material (limite inferior).",
        "How much closer to the approved ones the answers with passages are (lower end).",
    ),
    "knowledge.mode": (
        "Como a página da clínica responde.",
        "How the clinic's page answers.",
    ),
}
