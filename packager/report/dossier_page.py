"""The dossier's chapter on the clinic's page in words: what stands beside an answer, when, and what it means."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from packager.artifacts.files import json_lines
from packager.artifacts.knowledge import Knowledge
from packager.data.audit.identifiers import redact
from packager.knowledge.shown import HELP_NAME, HELP_TEXT
from packager.package.material import as_approved
from packager.report.document import Block, Heading, Listing, Paragraph, Spoken, Table
from packager.report.dossier_chapters import CHECKS, PAGE, SAFETY, WEAKNESSES, see
from packager.report.facts import ReportFacts

MODE_NAMES = {"free": "Modo livre.", "assisted": "Modo assistido.", "approved": "Só material aprovado."}
"""These and the other words in “ ” are those of the page (pagina/palavras.js); a test holds them against it."""
EMPLOYED = {
    "assisted": "Primeiro vem o texto aprovado, palavra por palavra, com a fonte. Abaixo dele, marcado, um texto que o "
    "computador escreveu a partir dele.",
    "approved": "Cada resposta é um texto aprovado, palavra por palavra, com a fonte. O computador não escreve nada.",
}
NOTICE = "Informa, não faz diagnóstico."
NOTICE_APPROVED = (
    "Confira se o texto responde à sua pergunta. Quem decide é o profissional de saúde. Não digite dados que "
    "identifiquem pacientes."
)
NOTICE_FREE = (
    "Pode errar: confira a resposta antes de usá-la. Quem decide é o profissional de saúde. Não digite dados que "
    "identifiquem pacientes."
)
APPROVED_BY, NO_APPROVAL = "Aprovado por:", "Aprovação não registrada."
UNAPPROVED = (
    "Não consta quem leu e aprovou estes textos. Antes do uso, um profissional de saúde responsável tem de lê-los e "
    "aprová-los."
)
APPROVED, NEAREST = "Material aprovado", "O mais próximo no material aprovado"
COMPARE = "Pode não ser a resposta: veja se a pergunta abaixo é a sua. Se não for, pergunte à equipe da unidade."
NOT_FOUND, MEANT = "Não encontrei isso no material aprovado.", "Perguntas parecidas no material aprovado:"
NEXT_FAR = "Tente perguntar com outras palavras ou procure a equipe da unidade."
NO_DOSE = "O material aprovado não traz essa dose. Consulte a prescrição, a bula ou o profissional responsável."
NOT_LOCAL = (
    "O material aprovado não traz informações deste lugar ou deste dia. Pergunte na recepção da unidade."
)  # fmt: skip
REFUSED = {"far": NEXT_FAR, "dose": NO_DOSE, "local": NOT_LOCAL}
"""What stands behind NOT_FOUND, by the search's verdict."""
MACHINE, CHECK = "Resposta do computador", "escrita por um programa; confira antes de usar"
STRUCK = "[Frase retirada: não está no material aprovado.]"
DEMONSTRATION = "Este modelo pequeno só mostra como o programa funciona. Não use as respostas com pacientes."
SAVE, WRONG = "Salvar", "Isto está errado"
QUOTED = (*MODE_NAMES.values(), *EMPLOYED.values(), NOTICE, NOTICE_APPROVED, NOTICE_FREE, APPROVED, NEAREST, COMPARE,
          NOT_FOUND, MEANT, NEXT_FAR, NO_DOSE, NOT_LOCAL, MACHINE, CHECK, STRUCK, DEMONSTRATION, SAVE,
          APPROVED_BY, NO_APPROVAL, UNAPPROVED, HELP_NAME, HELP_TEXT)  # fmt: skip


def page(facts: ReportFacts, knowledge: Knowledge | None) -> Iterator[Block]:
    """What is read at the top, beside each kind of answer, and what the page does not do."""
    mode, approval = facts.proof.mode, facts.recipe.dossier.approval
    yield Heading(PAGE)
    yield Paragraph(
        "Não há fotografia da tela neste dossiê: ele é escrito antes de a página ser aberta. Em palavras, é isto que "
        "se lê nela" + (" (em inglês; aqui, em português):" if facts.recipe.language == "en" else ":")
    )
    yield Listing(tuple(as_approved(line, approval) for line in _top(facts)))
    yield Heading("O que aparece junto de cada resposta", 2)
    labels = [(as_approved(said, approval), when, what) for said, when, what in _labels(mode)]
    yield Table(tuple(labels), ("o que se lê", "quando aparece", "o que significa"), (0.34, 0.3, 0.36))
    yield from _examples(knowledge, approval)
    yield Heading("O que a página não faz", 2)
    yield Listing(tuple(_does_not(facts)))


def _top(facts: ReportFacts) -> Iterator[str]:
    mode = facts.proof.mode
    yield "No alto, o nome do assistente e os botões Salvar, Imprimir e Nova conversa."
    if mode != "free":
        yield f"O modo: “{MODE_NAMES[mode]} {EMPLOYED[mode]}”"
    notice = NOTICE_APPROVED if mode == "approved" else NOTICE_FREE
    yield f"O aviso, sempre: “{NOTICE} {notice}”"
    again = " Onde nada é dado como resposta, a linha aparece outra vez, junto do resultado." if mode != "free" else ""
    yield f"A linha de telefones, sempre: “{HELP_NAME} {HELP_TEXT}”{again}"
    if facts.recipe.clinic.demonstration and mode == "free":
        yield f"A faixa: “Demonstração. {DEMONSTRATION}”"
    elif facts.recipe.clinic.demonstration:
        yield (
            "A faixa de demonstração NÃO aparece neste modo, porque o modelo não fala sozinho. Este dossiê diz que é "
            "demonstração; a página, não."
        )
    if mode != "free" and facts.recipe.dossier.approval:
        yield f"Quem aprovou o material: “{APPROVED_BY} {facts.recipe.dossier.approval}”"
    elif mode != "free":
        yield (
            f"A faixa: “{NO_APPROVAL} {UNAPPROVED}” Enquanto a receita não disser quem aprovou, a página não chama o "
            "material de aprovado."
        )
    if facts.recipe.clinic.feedback:
        yield f"Junto de cada resposta, o botão “{WRONG}”."


def _labels(mode: str) -> Iterator[tuple[str, str, str]]:
    if mode != "free":
        yield (
            f"“{APPROVED}”, com um sinal de visto, em moldura verde",
            "A passagem mais próxima se parece bastante com a pergunta. Se a pergunta tem uma palavra de dose (mg, "
            "gotas, comprimido…), a passagem também tem uma; o mesmo vale para as palavras de lugar e dia.",
            "O texto é do material, palavra por palavra, com a pergunta a que responde acima e a fonte abaixo; se a "
            "fonte diz o mesmo, o programa não confere. Cabe a "
            "quem lê conferir se responde à pergunta feita: o programa escolhe por semelhança e erra às vezes "
            f"({see(CHECKS)}).",
        )
        yield (
            f"“≈ {NEAREST}”, em moldura tracejada, e “{COMPARE}”",
            "A passagem mais próxima se parece pouco com a pergunta, e o programa não viu na pergunta uma palavra de "
            "dose, de lugar ou de dia.",
            "Ela não é dada como resposta; só vale se a pergunta acima dela for a de quem perguntou.",
        )
        yield (
            f"“{NOT_FOUND} {NEXT_FAR}”, às vezes com “{MEANT}”",
            "A passagem mais próxima não se parece o bastante com a pergunta. Com uma palavra de dose, de lugar ou de "
            "dia na pergunta, a passagem precisa parecer-se mais.",
            "O programa não achou, e diz isso. O material pode ter a resposta assim mesmo.",
        )
        yield (
            f"“{NOT_FOUND} {NO_DOSE}”",
            "A pergunta tem uma palavra de dose, e a passagem mais próxima não tem nenhuma.",
            "Nada é mostrado. O programa reconhece perguntas de dose por uma lista de palavras e deixa passar algumas; "
            f"a essas, a página pode mostrar uma passagem ({see(WEAKNESSES)}).",
        )
        yield (
            f"“{NOT_FOUND} {NOT_LOCAL}”",
            "A pergunta tem uma palavra de lugar ou de dia (telefone, horário, amanhã…), e a passagem mais próxima não "
            "tem nenhuma.",
            "O material não sabe da unidade. O programa deixa passar algumas dessas perguntas; a essas, a página pode "
            f"mostrar uma passagem, até como resposta ({see(WEAKNESSES)}).",
        )
    if mode == "assisted":
        yield (
            f"“{MACHINE}”, “{CHECK}”, em moldura tracejada, abaixo do texto do material",
            "A passagem se parece bastante com a pergunta, e o modelo escreveu a partir dela.",
            "Palavras do modelo. Um programa as compara com as passagens e retira frases que elas não sustentam: "
            f"“{STRUCK}” Ele compara palavras, não sentido.",
        )
    if mode == "free":
        yield (
            f"“{MACHINE}”, “{CHECK}”",
            "Sempre: toda resposta é do modelo.",
            "Palavras do modelo, sem fonte e sem conferência. Ele pode inventar.",
        )


def _examples(knowledge: Knowledge | None, approval: str) -> Iterator[Block]:
    """One of each outcome that the build recorded of its own questions, as it was searched."""
    path = knowledge.folder / "knowledge.jsonl" if knowledge else None
    if knowledge is None or path is None or not path.is_file():
        return
    passages = json_lines(path)
    firsts: dict[str, Spoken] = {}
    for one in knowledge.searches:
        found = json.loads(one.ranking)
        kind = found["verdict"] if found["verdict"] in ("found", "near") else ""
        if not kind:
            said = f"{NOT_FOUND} {REFUSED.get(found['verdict'], '')}".strip()
            firsts.setdefault(kind, Spoken(redact(one.ask)[0], as_approved(said, approval)))
        elif kind not in firsts:
            firsts[kind] = _example(one.ask, kind, passages[found["hits"][0][0]], approval)
    if firsts:
        whose = "do arquivo que a receita nomeia" if knowledge.by_people else "feitas por programa"
        yield Heading(f"Exemplos: perguntas {whose}, e o que a busca da prova achou", 2)
        yield from (firsts[kind] for kind in ("found", "near", "") if kind in firsts)


def _example(ask: str, kind: str, passage: Mapping[str, str], approval: str) -> Spoken:
    head = as_approved(APPROVED if kind == "found" else f"{NEAREST}. {COMPARE}", approval)
    shown = f"{head}\n{passage['question']}\n{passage['text']}"
    return Spoken(redact(ask)[0], redact(shown)[0], f"Fonte: {passage['source']}")


def _does_not(facts: ReportFacts) -> Iterator[str]:
    mode = facts.proof.mode
    yield (
        "Não reconhece emergências: nenhum programa examina a pergunta. A linha de telefones é a mesma para toda "
        "pergunta, e quem lê tem de se valer dela. "
        + (
            f"O que o modelo responde a emergências: {see(SAFETY)}."
            if mode == "free"
            else "Se alguém descreve uma, a página mostra a passagem parecida ou diz que não encontrou. Medidas disso: "
            f"{see(SAFETY)}."
        )
    )
    yield "Não lê prontuário, exame nem imagem; não guarda conversa; não age em nenhum outro sistema."
    if mode != "free":
        yield "Não junta perguntas: cada uma é procurada sozinha, sem as anteriores."
    if mode == "approved":
        yield (
            "Não mostra palavras do modelo. Elas só aparecem quando alguém abre o arquivo dele com outro programa "
            f"(Ollama); ali nada do que a página protege vale. Exemplos do que ele escreve sozinho: {see(WEAKNESSES)}."
        )
