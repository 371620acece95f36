"""Facts of a build -> the dossier for an ethics committee, a technical director and an IT team, in Portuguese.

It says what recipe, artifacts, proof and evaluation say, and nothing else; what only people know and the recipe does
not hold is left as a blank to be filled in by hand. In Portuguese for packages of every language, as those who have
to allow a model in Brazil read it.
"""

from __future__ import annotations

from collections.abc import Iterator

from packager.artifacts.knowledge import Knowledge
from packager.package import licence
from packager.report import dossier_made, dossier_proven, dossier_use
from packager.report.document import Blanks, Block, Document, Heading, Listing, Paragraph, Table
from packager.report.dossier_words import MODES
from packager.report.facts import ReportFacts
from packager.report.words import PORTUGUESE as SAY

LANGUAGES = {"pt-BR": "português do Brasil", "en": "inglês"}
LAWYER = (
    "Este documento resume o que se sabe publicamente da Resolução CFM nº 2.454/2026 e da Lei Geral de Proteção de "
    "Dados Pessoais (LGPD, Lei nº 13.709/2018). Ele não é parecer jurídico e não substitui o texto original: um "
    "advogado da instituição deve ler a resolução e a lei antes do uso e confirmar cada ponto deste dossiê."
)
NOTICE = (
    "O modelo informa; não faz diagnóstico, não prescreve, não substitui um profissional de saúde e não é um "
    "dispositivo médico registrado. Ele pode errar e inventar. Quem decide é o profissional."
)
QUESTIONS = (
    ("O que é isto e para que serve?", "1"),
    ("Para que não pode ser usado, e por quem pode?", "1 e 2"),
    ("Que classe de risco se propõe, e por quê?", "3"),
    ("De onde vêm o modelo e os dados, e com que licença?", "4 e 5"),
    ("Há dados de pacientes no treino?", "4"),
    ("O que acontece com o que se digita?", "6"),
    ("O que foi verificado, e o que isso prova?", "7"),
    ("Que erros são conhecidos? Há exemplos?", "8 e 9"),
    ("Como se instala, confere, atualiza e volta atrás?", "10"),
    ("O que fazer quando errar, e quem responde?", "11 e 12"),
)
"""What a committee asks, and the chapter that answers."""


def dossier_of(facts: ReportFacts, knowledge: Knowledge | None = None) -> Document:
    """The whole document."""
    blocks = [
        *_beginning(facts),
        *_purpose(facts, knowledge),
        *_users(facts),
        *_risk(facts, knowledge),
        *dossier_made.data(facts, knowledge),
        *dossier_made.model(facts),
        *dossier_use.privacy(facts),
        *dossier_proven.checks(facts),
        *dossier_proven.safety(facts),
        *dossier_proven.weaknesses(facts),
        *dossier_use.installation(facts),
        *dossier_use.incident(facts),
        *_responsible(facts),
        Heading("As normas"),
        Paragraph(LAWYER, "notice"),
        Listing(
            (
                "Resolução CFM nº 2.454/2026: publicada em 27 de fevereiro de 2026, em vigor 180 dias depois.",
                "LGPD, Lei nº 13.709/2018: dados de saúde são dados pessoais sensíveis.",
                "Normas da Anvisa sobre software como dispositivo médico: a instituição confirma se se aplicam ao uso.",
            )
        ),
    ]
    return Document("pt-BR", f"Dossiê do modelo {_title(facts)}", _subtitle(facts), tuple(blocks))


def _title(facts: ReportFacts) -> str:
    return licence.titled(facts.base.licence, facts.recipe.clinic.title or facts.recipe.name)


def _subtitle(facts: ReportFacts) -> str:
    file = facts.files[0]
    return (
        f"Para a comissão de ética, a direção técnica e a equipe de TI. Receita {facts.recipe.name}; arquivo padrão "
        f"{facts.packed_name(file)}, SHA-256 {file.sha256}."
    )


def _beginning(facts: ReportFacts) -> Iterator[Block]:
    yield Paragraph(NOTICE, "notice")
    if not facts.proof.passed:
        yield Paragraph("A prova deste modelo NÃO passou; nada foi empacotado e ele não pode ser usado.", "notice")
    if facts.recipe.clinic.demonstration:
        yield Paragraph(
            "DEMONSTRAÇÃO: este modelo só mostra como o programa funciona. Não use as respostas com pacientes.",
            "notice",
        )
    yield Paragraph(
        "Tudo o que segue foi tirado, por programa, da receita, da prova e da avaliação deste modelo. O que só pessoas "
        "sabem está em linhas em branco. Onde cada pergunta de uma comissão é respondida:"
    )
    yield Table(
        tuple((str(n), asked, f"capítulo {where}") for n, (asked, where) in enumerate(QUESTIONS, 1)),
        ("", "pergunta", "resposta"),
        (0.06, 0.66, 0.28),
    )


def _purpose(facts: ReportFacts, knowledge: Knowledge | None) -> Iterator[Block]:
    recipe = facts.recipe
    yield Heading("Finalidade e limites")
    if recipe.dossier.purpose:
        yield Paragraph(recipe.dossier.purpose)
    else:
        yield Blanks(("Finalidade, nas palavras da instituição:",), box=True)
    topics = f", em {facts.data.topics} temas" if facts.data.topics else ""
    what = "O pacote traz" if facts.proof.mode == "approved" else "É"
    answers = f"{what} um modelo de linguagem que responde por escrito, em {LANGUAGES[recipe.language]}"
    rows = SAY.number(facts.data.train_rows, 0)
    learned = (
        f", a perguntas como as {rows} com que foi treinado{topics}."
        if facts.adapter
        else ". Não foi treinado aqui: é o modelo base, empacotado."
    )
    yield Paragraph(f"{answers}{learned} Roda em um computador comum, sem internet.")
    if recipe.smoke:
        yield Paragraph(f"Perguntas típicas: {' · '.join(q.ask for q in recipe.smoke[:6])}")
    if knowledge:
        yield Paragraph(
            f"O pacote traz também material aprovado: {SAY.number(knowledge.passages, 0)} passagens de "
            f"{len(knowledge.sources)} fontes. {MODES.get(facts.proof.mode, facts.proof.mode)}"
        )
        if facts.proof.mode == "approved":
            yield Paragraph(
                "O modelo só escreve se alguém abre o arquivo dele com outro programa, como o Ollama; ali nada do que "
                "a página protege vale."
            )
    yield Heading("Não serve para", 2)
    yield Listing(
        (
            "fazer diagnóstico, prognóstico ou triagem, prescrever, calcular dose, dar atestado;",
            "emergências: nelas se liga 192 (SAMU); violência, 190; sofrimento e risco de suicídio, 188 (CVV);",
            "falar com pacientes sem um profissional no meio;",
            "decidir sozinho o que quer que seja, ou ser ligado a um sistema que age por conta própria;",
            "perguntas com dados que identifiquem pacientes;",
            "assuntos fora dos dados com que foi treinado: ali ele responde do mesmo jeito, e inventa mais.",
        )
    )


def _users(facts: ReportFacts) -> Iterator[Block]:
    yield Heading("Quem usa, e como")
    if facts.recipe.dossier.users:
        yield Paragraph(facts.recipe.dossier.users)
    else:
        yield Paragraph("Proposta: profissionais e equipe de saúde, que conferem cada resposta antes de usá-la.")
        yield Blanks(("Quem a instituição autoriza:",))
    yield Listing(
        (
            "Cada resposta é conferida em fonte confiável; a decisão e a responsabilidade são do profissional.",
            "O profissional pode recusar o modelo e não pode ser obrigado a segui-lo.",
            "Se ele pesou no cuidado, o paciente é informado de modo claro e o uso é registrado no prontuário.",
            "Diagnóstico, prognóstico e conduta são comunicados por pessoas, nunca pelo modelo.",
            "Antes do primeiro uso, cada usuário lê os capítulos 1, 8, 9 e 11.",
        )
    )


def _risk(facts: ReportFacts, knowledge: Knowledge | None) -> Iterator[Block]:
    yield Heading("Classe de risco proposta")
    yield Paragraph(
        "A Resolução CFM nº 2.454/2026, segundo resumos públicos, distingue risco baixo (uso administrativo), médio "
        "(apoio com supervisão humana constante), alto (decisões críticas ou ações automáticas) e inaceitável, e "
        "pede à "
        "instituição uma avaliação antes do uso."
    )
    if facts.recipe.clinic.demonstration:
        yield Paragraph("Proposta: nenhuma classe; é demonstração, e não se usa em atendimento.", "notice")
    else:
        yield Paragraph("Proposta: risco MÉDIO, a ser confirmado ou mudado pela instituição.", "notice")
    reasons = [
        "As respostas tratam de saúde e podem influir no cuidado: não é uso apenas administrativo, logo não é baixo.",
        "Só mostra ou escreve texto para quem pergunta; não age, não se liga a aparelhos nem a outros sistemas.",
        "Um profissional confere cada resposta; o aviso está sempre na página.",
        f"Um modelo de linguagem inventa, tanto mais quanto menor é: este tem "
        f"{SAY.number(facts.base.parameters / 1e6, 0)} milhões de parâmetros (capítulo 9).",
    ]
    if knowledge:
        reasons.append(MODES.get(facts.proof.mode, facts.proof.mode))
    yield Listing(tuple(reasons))
    yield Paragraph(
        "Torna-se ALTO, e este dossiê não basta, se as respostas forem dadas a pacientes sem profissional, ou "
        "usadas para "
        "dose, triagem ou conduta sem conferência."
    )
    yield Blanks(("Classe confirmada pela instituição:", "Por quê:", "Data da próxima revisão:"))


def _responsible(facts: ReportFacts) -> Iterator[Block]:
    yield Heading("Responsáveis", new_page=True)
    if facts.recipe.dossier.author:
        yield Paragraph(f"Pelo pacote responde: {facts.recipe.dossier.author}")
    else:
        yield Blanks(("Quem fez o pacote (nome, contato):",))
    for role in ("Diretor(a) técnico(a)", "Médico(a) responsável pelo uso", "Encarregado(a) de dados (LGPD)",
                 "Responsável de TI", "Comissão de ética ou de IA"):  # fmt: skip
        yield Heading(role, 2)
        yield Blanks(("Nome e registro:", "Assinatura:", "Data:"))
    yield Paragraph(
        "Quem assina declara que leu este dossiê, que a classe de risco foi confirmada e que sabe como comunicar "
        "um erro."
    )
