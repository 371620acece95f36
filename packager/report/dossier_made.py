"""The dossier's chapters on what the model was made of: data, approved material, base, training, files."""

from __future__ import annotations

from collections.abc import Iterator

from packager.artifacts.knowledge import Knowledge
from packager.package import licence
from packager.report.data_words import reason
from packager.report.document import Blanks, Block, Heading, Listing, Paragraph, Table
from packager.report.dossier_chapters import DATA, MODEL, SOURCES, TECHNICAL, see
from packager.report.dossier_figures import seen
from packager.report.dossier_sources import amount, source_groups
from packager.report.dossier_words import IDENTIFIERS, METHODS
from packager.report.facts import ReportFacts
from packager.report.words import PORTUGUESE as SAY

NAMED = (0.3, 0.7)
TOPICS_SHOWN = 40


def data(facts: ReportFacts, knowledge: Knowledge | None) -> Iterator[Block]:
    """Counts, source, gate for identifiers, licence, and who approved what is shown."""
    used, audit, said = facts.data, facts.audit, facts.recipe.dossier
    yield Heading(DATA)
    rows = [
        ("Fonte", audit.source + (f", revisão {audit.revision}" if audit.revision else "")),
        ("Linhas lidas e aproveitadas", f"{SAY.number(audit.rows_read, 0)} lidas, {SAY.number(audit.rows_kept, 0)} "
         "aproveitadas"),
        ("Para o treino", f"{SAY.number(used.train_rows, 0)} perguntas e respostas"
         + (f"; {seen(facts)}" if facts.adapter else "")),
        ("Reservadas para medir", f"{SAY.number(used.heldout_rows, 0)}, nunca treinadas; {used.leaked} estão também "
         "no treino"),
        ("Reservadas para escolher", f"{SAY.number(used.choosing_rows, 0)}, nunca treinadas: decidem entre modelos, e "
         "nada medido se apoia nelas"),
        ("Temas", topics(facts)),
        ("Deixadas de fora", dropped(facts)),
    ]  # fmt: skip
    yield Table(tuple(rows), widths=NAMED)
    yield Paragraph(f"As somas (SHA-256) que fixam a fonte e as linhas usadas: {see(TECHNICAL)}.", "quiet")
    yield Heading("Origem e licença dos dados", 2)
    for text, name, label in (
        (said.data_origin, "Origem", "Quem escreveu os dados, a partir de quê, e quem os revisou:"),
        (said.data_licence, "Licença ou direito de uso", "Licença ou direito de uso dos dados:"),
    ):
        yield Paragraph(f"{name}: {text}") if text else Blanks((label,))
        if text and text == said.data_origin:
            yield Blanks(("Quem escreveu os textos (nome, profissão, ou programa):",))
    yield from _patients(facts)
    if knowledge:
        yield from _material(facts, knowledge)


def _patients(facts: ReportFacts) -> Iterator[Block]:
    yield Heading("Há dados de pacientes?", 2)
    found = ", ".join(f"{SAY.number(one.count, 0)} {one.kind}" for one in facts.audit.identifiers) or "nenhum"
    yield Paragraph(
        "Antes do treino, cada texto passa por uma busca automática de CPF, cartão SUS (CNS), telefone, e-mail e nomes "
        f"depois de “paciente”. Achados nos textos da fonte: {found}. Regra da receita: "
        f"{IDENTIFIERS[facts.recipe.data.identifiers]}. Restaram nas linhas usadas: {facts.data.identifiers}."
    )
    yield Paragraph(
        "A busca acha formas conhecidas; não acha nomes soltos nem histórias que só se reconhecem pelo contexto. Por "
        "isso a origem dos dados, acima, tem de ser confirmada por pessoas."
    )


def _material(facts: ReportFacts, knowledge: Knowledge) -> Iterator[Block]:
    """What the page shows, from what, and who approved it."""
    yield Heading("Material do pacote: o que é e quem o aprovou", 2)
    sources = len(knowledge.sources)
    yield Paragraph(
        f"{SAY.number(knowledge.passages, 0)} passagens, que dizem apoiar-se em {sources} "
        f"{'fonte' if sources == 1 else 'fontes'}. Cada uma traz a sua; o programa não confere se a fonte diz o mesmo."
        f"{_same_rows(facts)}"
    )
    grouped = source_groups(knowledge.sources)
    yield Listing(tuple(f"{name}: {amount(those)}" for name, those in grouped))
    yield Paragraph(f"Todas, pelo nome: {see(SOURCES)}.")
    pairs = len(knowledge.contradictions)
    yield Paragraph(
        f"Passagens repetidas: {len(knowledge.duplicates)}. Pares que respondem de modo diferente a perguntas quase "
        f"iguais: {pairs}{' (' + '; '.join(knowledge.contradictions[:5]) + ')' if pairs else ''}."
    )
    if facts.recipe.dossier.approval:
        yield Paragraph(f"Aprovado por: {facts.recipe.dossier.approval}")
        return
    yield Paragraph(
        "A receita não diz quem aprovou estas passagens, nem quando, e a página avisa. Só devem ser "
        "usadas depois de alguém da área tê-las lido e assinado aqui.",
        "notice",
    )
    yield Blanks(("Quem leu e aprovou as passagens (nome, registro):", "Todas, ou quais:", "Data da aprovação:",
                  "Assinatura:"))  # fmt: skip


def model(facts: ReportFacts, knowledge: Knowledge | None = None) -> Iterator[Block]:
    """The base, its licence, the training and the files, in plain words."""
    base, adapter = facts.base, facts.adapter
    terms = licence.known(base.licence)
    yield Heading(MODEL)
    rows = [
        ("Modelo base", base.source.removeprefix("hf:").removeprefix("pypi:")),
        ("Tamanho", f"{SAY.number(base.parameters / 1e6, 0)} milhões de parâmetros (números que o modelo aprendeu)"),
        ("Licença do modelo base", f"{terms.title} ({terms.url})" if terms else base.licence or "desconhecida"),
        (
            "Com que foi treinado o modelo base",
            facts.recipe.dossier.base_origin
            or (
                "Não consta da receita nem do que o pacote registra; só quem o publicou sabe. Pode haver nele textos "
                "que identificam pessoas."
            ),
        ),
        ("Treino", METHODS[adapter.method if adapter else "none"]),
    ]
    yield Table(tuple(rows), widths=NAMED)
    if knowledge:
        yield Paragraph(
            "Para achar as passagens, o pacote traz um segundo modelo, o e5 (multilingual-e5-small): ele compara "
            "sentidos e não escreve nada. Licença do e5: MIT, com o texto em LICENSE-e5.txt. Ela deixa usar, copiar e "
            "mudar, também com fim comercial, se o aviso de autoria vai junto."
        )
    yield Heading("Arquivos entregues", 2)
    yield Table(
        tuple(
            (
                facts.packed_name(file) + (" (o que se usa)" if n == 0 else ""),
                SAY.megabytes(file.size),
                SAY.share(file.divergence.same_top) if file.divergence else "não roda",
            )
            for n, file in enumerate(facts.files)
        ),
        ("arquivo", "tamanho", "palavras seguintes iguais às de antes da compressão"),
        (0.42, 0.18, 0.4),
    )
    judged = any(check.id == "quantize.top" for check in facts.proof.checks)
    limited = "; quantas, tem limite" if judged else ""
    yield Paragraph(
        f"Comprimir encolhe o arquivo e troca algumas palavras{limited}. O resto é do modelo como foi treinado."
    )
    yield Paragraph(
        f"Revisão, somas e números do treino: {see(TECHNICAL)}. A lista de todas as partes, com versões e "
        "licenças, está "
        "em bom.cdx.json (CycloneDX); toda a linhagem, com cada parâmetro, em manifest.json.",
        "quiet",
    )


def _same_rows(facts: ReportFacts) -> str:
    """Whether the passages are the data's own questions and answers."""
    section = facts.recipe.knowledge
    if section is None or not section.rows:
        return ""
    more = " Outras vêm dos documentos que a receita nomeia." if section.folder else ""
    return f" As passagens são as mesmas perguntas e respostas dos dados acima, treinadas e reservadas.{more}"


def topics(facts: ReportFacts) -> str:
    """How many, and the first of them by name."""
    if not facts.data.topics:
        return "não informados"
    named = ", ".join(facts.topics[:TOPICS_SHOWN])
    more = " …" if len(facts.topics) > TOPICS_SHOWN else ""
    return SAY.number(facts.data.topics, 0) + (f": {named}{more}" if named else "")


def dropped(facts: ReportFacts) -> str:
    """Rows that were left out, and why."""
    parts = [f"{SAY.number(one.rows, 0)} ({reason(one.reason, SAY)})" for one in facts.audit.dropped]
    if facts.data.too_long:
        parts.append(f"{SAY.number(facts.data.too_long, 0)} longas demais")
    return "; ".join(parts) or "nenhuma"
