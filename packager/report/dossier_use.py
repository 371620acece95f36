"""The dossier's chapters on use: privacy, and what to do when it is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from packager.report.delivery import Delivery
from packager.report.document import Blanks, Block, Heading, Listing
from packager.report.dossier_chapters import INCIDENT, PRIVACY, RESPONSIBLE, UPDATING, see
from packager.report.dossier_words import TELEPHONES
from packager.report.facts import ReportFacts


def privacy(facts: ReportFacts) -> Iterator[Block]:
    """What happens to what is typed."""
    yield Heading(PRIVACY)
    noted = (
        "A página deixa anotar “isto está errado”: pergunta, resposta e comentário ficam guardados no navegador deste "
        "computador, sem o que pareça identificar um paciente (a mesma busca feita nos dados), até que alguém os "
        "exporte "
        "ou apague."
    )
    yield Listing(
        (
            *((noted,) if facts.recipe.clinic.feedback else ()),
            "O programa da clínica funciona sem internet: o modelo está no próprio computador e nada é enviado "
            "para fora.",
            "Ele atende só este computador; com a opção --rede, também os da rede local, com uma chave nova a "
            "cada início.",
            "A conversa fica na memória e se perde ao fechar; só uma pessoa a leva para fora, com o botão Salvar (um "
            "arquivo, onde o navegador guarda os que baixa) ou Imprimir.",
            "O modelo não aprende com o que se digita: seus arquivos não mudam.",
            "A página pede que não se digitem dados que identifiquem pacientes.",
            "Com o Ollama ou outro programa no lugar do da clínica, valem as regras desse programa.",
        )
    )
    yield Blanks(("Base legal do tratamento e registro das operações, se houver dados pessoais:",), box=True)


def incident(facts: ReportFacts, delivery: Delivery | None = None) -> Iterator[Block]:
    """What to do when it is wrong, and the form."""
    yield Heading(INCIDENT, new_page=True)
    yield Listing(
        (
            f"Se há risco para alguém, cuide primeiro da pessoa. Telefones: {TELEPHONES}.",
            "Não use a resposta. Salve a conversa pela página (botão Salvar), sem dados do paciente.",
            "No Ollama não há botão Salvar: copie à mão o texto da pergunta e da resposta para a ficha, sem dados do "
            "paciente, e encerre com /bye.",
            "Preencha a ficha abaixo e entregue ao médico responsável no mesmo dia.",
            "O responsável decide se o uso para até a causa ser achada; em dúvida, para.",
            "Se dados pessoais vazaram, avise o encarregado de dados, que avalia a comunicação à ANPD e aos titulares.",
            f"Para parar: fecha-se a janela do programa e tira-se a pasta, ou volta-se à versão anterior "
            f"({see(UPDATING)}).",
            *((_revised(facts),) if facts.proof.mode != "free" else ()),
            f"Quem fez o pacote ({facts.recipe.dossier.author or see(RESPONSIBLE)}) recebe a ficha, corrige os dados "
            "ou a receita, constrói de novo e entrega nova versão.",
        )
    )
    yield Heading("Ficha de incidente", 2)
    yield Blanks(
        (
            "Data e hora:",
            "Quem comunica (nome, função):",
            "Versão da pasta (em LEIA-ME.txt):" if delivery else "Versão da pasta, se veio da pasta (LEIA-ME.txt):",
            _what_spoke(facts),
        )
    )
    yield Blanks(
        (
            "Pergunta, sem dados do paciente:",
            "O que a página ou o modelo respondeu, com a fonte, e o que está errado:",
            "O que seria certo, e em que fonte:",
            "Houve dano, ou risco de dano? O que foi feito?",
            "Decisão do responsável (seguir, parar, corrigir) e assinatura:",
        ),
        box=True,
    )


def _revised(facts: ReportFacts) -> str:
    """Who looks again at a passage that is wrong."""
    if facts.recipe.dossier.approval:
        return "Se o erro está numa passagem do material, quem aprovou o material a revê."
    return "Se o erro está numa passagem do material, um profissional da área a revê."


def _what_spoke(facts: ReportFacts) -> str:
    """What the incident's form asks for, beside the version."""
    model = f"arquivo do modelo (padrão: {facts.packed_name(facts.files[0])})"
    if facts.proof.mode == "free":
        return f"A{model[1:]}:"
    return f"Passagem mostrada (a pergunta acima dela), ou {model}:"
