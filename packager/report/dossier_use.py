"""The dossier's chapters on use: privacy, installing and going back, and what to do when it is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from packager.report.document import Blanks, Block, Heading, Listing
from packager.report.facts import ReportFacts
from packager.report.words import PORTUGUESE as SAY


def privacy(facts: ReportFacts) -> Iterator[Block]:
    """What happens to what is typed."""
    yield Heading("Privacidade no uso (LGPD)")
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
            "A conversa fica na memória e se perde ao fechar; só o botão Salvar, usado por uma pessoa, a grava.",
            "O modelo não aprende com o que se digita: seus arquivos não mudam.",
            "A página pede que não se digitem dados que identifiquem pacientes.",
            "Com o Ollama ou outro programa no lugar do da clínica, valem as regras desse programa.",
        )
    )
    yield Blanks(("Base legal do tratamento e registro das operações, se houver dados pessoais:",), box=True)


def installation(facts: ReportFacts) -> Iterator[Block]:
    """How to know that it is the right file, how to update and how to go back."""
    device = facts.recipe.device
    yield Heading("Conferência, atualização e volta atrás")
    yield Listing(
        (
            f"Computador: cerca de {SAY.number(device.ram_gb, 1)} GB de memória livre para o modelo.",
            "Conferir: iniciar confere os arquivos antes de abrir; autoteste refaz as perguntas da prova neste "
            "computador; "
            "packager verify PASTA confere tudo: arquivos, somas, lista de partes, prova e assinatura.",
            "Assinatura: se o pacote é assinado, os números de quem assina aparecem ao iniciar; compare-os com os "
            "que você "
            "recebeu por outro meio.",
            "Atualizar: copiar a pasta da versão nova para o lado da antiga; abre a mais nova que estiver inteira.",
            "Voltar atrás: apagar ou tirar a pasta da versão nova; a anterior volta a abrir. Guarde sempre a anterior.",
            "Cada versão tem o seu dossiê: uma atualização pede nova leitura e nova assinatura.",
            "Refazer para conferir: packager verify PASTA --rebuild ATESTADO refaz, do treino e do modelo base, "
            "o arquivo entregue, e compara byte por byte.",
        )
    )


def incident(facts: ReportFacts) -> Iterator[Block]:
    """What to do when it is wrong, and the form."""
    yield Heading("Quando errar: o que fazer", new_page=True)
    yield Listing(
        (
            "Se há risco para alguém, cuide primeiro da pessoa (192, 190, 188).",
            "Não use a resposta. Salve a conversa pela página (botão Salvar), sem dados do paciente.",
            "Preencha a ficha abaixo e entregue ao médico responsável no mesmo dia.",
            "O responsável decide se o uso para até a causa ser achada; em dúvida, para.",
            "Se dados pessoais vazaram, avise o encarregado de dados, que avalia a comunicação à ANPD e aos titulares.",
            "Quem fez o pacote recebe a ficha, corrige os dados ou a receita, constrói de novo e entrega nova versão.",
        )
    )
    yield Heading("Ficha de incidente", 2)
    yield Blanks(
        (
            "Data e hora:",
            "Quem comunica (nome, função):",
            "Versão do pacote (em LEIA-ME.txt):",
            "Arquivo (padrão: " + facts.packed_name(facts.files[0]) + "):",
        )
    )
    yield Blanks(
        (
            "Pergunta, sem dados do paciente:",
            "Resposta do modelo, e o que está errado nela:",
            "O que seria certo, e em que fonte:",
            "Houve dano, ou risco de dano? O que foi feito?",
            "Decisão do responsável (seguir, parar, corrigir) e assinatura:",
        ),
        box=True,
    )
