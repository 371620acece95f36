"""Facts of a build -> the dossier for an ethics committee, a technical director and an IT team, in Portuguese.

It says what recipe, artifacts, proof and evaluation say, and nothing else; what only people know and the recipe does
not hold is left as a blank to be filled in by hand. In Portuguese for packages of every language, as those who have
to allow a model in Brazil read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from packager.artifacts.files import write_atomically
from packager.artifacts.knowledge import Knowledge
from packager.report import (
    dossier_alone,
    dossier_annex,
    dossier_first,
    dossier_install,
    dossier_made,
    dossier_page,
    dossier_proven,
    dossier_risk,
    dossier_safety,
    dossier_signed,
    dossier_use,
    dossier_wrong,
)
from packager.report.delivery import Delivery
from packager.report.document import Blanks, Block, Document, Heading, Listing, Paragraph, Table, texts_of
from packager.report.document_html import page_of
from packager.report.document_pdf import pdf_of
from packager.report.dossier_chapters import (
    DATA,
    INCIDENT,
    NORMS,
    OPINION,
    PAGE,
    PRIVACY,
    PURPOSE,
    RESPONSIBLE,
    RISK,
    UPDATING,
    USERS,
    WEAKNESSES,
    see,
)
from packager.report.dossier_words import MODES, TELEPHONES
from packager.report.facts import ReportFacts
from packager.report.words import PORTUGUESE as SAY

DOSSIER, DOSSIER_PDF = "dossie.html", "dossie.pdf"
LANGUAGES = {"pt-BR": "português do Brasil", "en": "inglês"}
LAWYER = (
    "Este documento resume o que se sabe publicamente da Resolução CFM nº 2.454/2026 e da Lei Geral de Proteção de "
    "Dados Pessoais (LGPD, Lei nº 13.709/2018). Ele não é parecer jurídico e não substitui o texto original: um "
    "advogado da instituição deve ler a resolução e a lei antes do uso e confirmar cada ponto deste dossiê."
)
ASKED_FOR = (
    ("Classificar o risco antes do uso", f"Proposta no {see(RISK)}; a instituição confirma."),
    ("Registrar o uso no prontuário", f"O programa não registra nada; quem o usa registra ({see(USERS)})."),
    (
        "Auditar e acompanhar",
        f"{{again}}; erros vão para a ficha ({see(INCIDENT)}). Quando rever, a instituição marca ({see(RISK)}).",
    ),
    ("Informar o paciente", f"Quem usa informa ({see(USERS)})."),
    ("Ter responsáveis e, em certos hospitais, comissão própria", f"A preencher: {see(RESPONSIBLE, OPINION)}."),
    ("LGPD: que dados foram tratados", f"{see(DATA, PRIVACY).capitalize()}."),
)
"""What the resolution and the law ask of an institution, as public summaries have it; `again` is how the proof is
repeated."""


def write_dossier(facts: ReportFacts, knowledge: Knowledge | None, out: Path, delivery: Delivery | None = None) -> None:
    """`dossie.html` and `dossie.pdf` in the folder `out`."""
    document = dossier_of(facts, knowledge, delivery)
    write_atomically(out / DOSSIER, page_of(document))
    (out / DOSSIER_PDF).write_bytes(pdf_of(document))


def dossier_of(facts: ReportFacts, knowledge: Knowledge | None = None, delivery: Delivery | None = None) -> Document:
    """The whole document; `delivery` is the bundle that it goes into, None for the package alone."""
    blocks = [
        *dossier_first.beginning(facts, knowledge, delivery),
        *_purpose(facts, knowledge),
        *_users(facts),
        *dossier_page.page(facts, knowledge),
        *dossier_risk.risk(facts, knowledge, delivery),
        *dossier_made.data(facts, knowledge),
        *dossier_made.model(facts, knowledge),
        *dossier_use.privacy(facts),
        *dossier_proven.checks(facts, knowledge),
        *dossier_safety.safety(facts),
        *dossier_wrong.weaknesses(facts, knowledge),
        *dossier_install.installation(facts, knowledge, delivery),
        *dossier_install.updating(facts, knowledge, delivery),
        *_norms(delivery),
        *dossier_use.incident(facts, delivery),
        *dossier_signed.responsible(facts),
        *dossier_signed.opinion(),
        *dossier_annex.all_checks(facts),
        *dossier_annex.technical(facts),
    ]
    blocks = [*blocks, *dossier_annex.glossary("\n".join(texts_of(blocks))), *dossier_annex.sources(knowledge)]
    if delivery is None:
        blocks = list(dossier_alone.marked(blocks))
    return Document("pt-BR", f"Dossiê: {dossier_first.title(facts)}", dossier_first.subtitle(), tuple(blocks))


def _purpose(facts: ReportFacts, knowledge: Knowledge | None) -> Iterator[Block]:
    recipe = facts.recipe
    yield Heading(PURPOSE)
    if recipe.dossier.purpose:
        yield Paragraph(recipe.dossier.purpose)
    else:
        yield Blanks(("Finalidade, nas palavras da instituição:",), box=True)
    counted = SAY.counted(facts.data.topics, ("tema", "temas"), ("topic", "topics"))
    topics = f", em {counted}" if facts.data.topics else ""
    what = "O pacote traz" if facts.proof.mode == "approved" else "É"
    answers = f"{what} um modelo de linguagem que responde por escrito, em {LANGUAGES[recipe.language]}"
    rows = SAY.number(facts.data.train_rows, 0)
    learned = (
        f", a perguntas como as {rows} dos dados de treino{topics}."
        if facts.adapter
        else ". Não foi treinado aqui: é o modelo base, empacotado."
    )
    yield Paragraph(f"{answers}{learned} Roda em um computador comum, sem internet.")
    if knowledge:
        sources = SAY.counted(len(knowledge.sources), ("fonte", "fontes"), ("source", "sources"))
        passages = SAY.counted(knowledge.passages, ("passagem", "passagens"), ("passage", "passages"))
        yield Paragraph(
            f"O pacote traz também material: {passages} de {sources}. "
            f"{MODES.get(facts.proof.mode, facts.proof.mode)} O que se vê na página: {see(PAGE)}."
        )
    if facts.proof.mode == "approved":
        yield Paragraph(
            "O modelo vem na pasta, mas neste modo a página não o usa. Ele serve a quem o abre com outro programa."
        )
    if recipe.smoke:
        yield Paragraph(f"Perguntas típicas: {' · '.join(q.ask for q in recipe.smoke[:6])}")
    yield Heading("Não serve para", 2)
    beyond = "assuntos fora dos dados com que foi treinado: ali o modelo responde do mesmo jeito, e inventa mais."
    if facts.proof.mode == "approved":
        beyond = "assuntos fora do material: ali a página deve dizer que não encontrou, e às vezes erra nisso."
    yield Listing(
        (
            "fazer diagnóstico, prognóstico ou triagem, prescrever, calcular dose, dar atestado;",
            f"emergências. Nelas se liga: {TELEPHONES};",
            "falar com pacientes sem um profissional no meio;",
            "decidir sozinho o que quer que seja, ou ser ligado a um sistema que age por conta própria;",
            "perguntas com dados que identifiquem pacientes;",
            beyond,
        )
    )


def _users(facts: ReportFacts) -> Iterator[Block]:
    yield Heading(USERS)
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
            f"Antes do primeiro uso, cada usuário lê os {see(PURPOSE, PAGE, WEAKNESSES, INCIDENT)}.",
        )
    )


def _norms(delivery: Delivery | None) -> Iterator[Block]:
    yield Heading(NORMS)
    yield Paragraph(LAWYER, "notice")
    yield Listing(
        (
            "Resolução CFM nº 2.454/2026: publicada em 27 de fevereiro de 2026, em vigor 180 dias depois.",
            "LGPD, Lei nº 13.709/2018: dados de saúde são dados pessoais sensíveis.",
            "Normas da Anvisa sobre software como dispositivo médico: a instituição confirma se se aplicam ao uso.",
        )
    )
    yield Heading("O que se pede, segundo resumos públicos, e onde está", 2)
    again = f"O autoteste repete a prova em cada computador ({see(UPDATING)})"
    if delivery is None:
        again = f"packager verify confere o pacote ({see(UPDATING)}); o autoteste vem com a pasta para a clínica"
    yield Table(
        tuple((asked, where.replace("{again}", again)) for asked, where in ASKED_FOR),
        ("o que se pede", "onde está, ou quem o faz"),
        (0.36, 0.64),
    )
