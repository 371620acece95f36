"""The dossier's chapters on what the model was made of: data, base, training, files."""

from __future__ import annotations

from collections.abc import Iterator

from packager.artifacts.knowledge import Knowledge
from packager.package import licence
from packager.report.data_words import reason
from packager.report.document import Blanks, Block, Heading, Listing, Paragraph, Table
from packager.report.dossier_words import IDENTIFIERS, METHODS
from packager.report.facts import ReportFacts
from packager.report.words import PORTUGUESE as SAY

NAMED = (0.3, 0.7)


def data(facts: ReportFacts, knowledge: Knowledge | None) -> Iterator[Block]:
    """Counts, source, gate for identifiers, licence."""
    used, audit, said = facts.data, facts.audit, facts.recipe.dossier
    yield Heading("Dados e sua origem")
    rows = [
        ("Fonte", audit.source + (f", revisão {audit.revision}" if audit.revision else "")),
        ("SHA-256 da fonte", used.source_sha256),
        ("SHA-256 das linhas usadas", used.data_sha256),
        ("Linhas lidas e aproveitadas", f"{SAY.number(audit.rows_read, 0)} lidas, {SAY.number(audit.rows_kept, 0)} "
         "aproveitadas"),
        ("Para o treino", f"{SAY.number(used.train_rows, 0)} perguntas e respostas"),
        ("Reservadas para medir", f"{SAY.number(used.heldout_rows, 0)}, nunca treinadas; {used.leaked} estão também "
         "no treino"),
        ("Reservadas para escolher", f"{SAY.number(used.choosing_rows, 0)}, nunca treinadas: decidem entre modelos, e "
         "nada medido se apoia nelas"),
        ("Temas", SAY.number(used.topics, 0) if used.topics else "não informados"),
        ("Idioma das respostas", ", ".join(f"{name}: {n}" for name, n in audit.languages.items())),
        ("Deixadas de fora", _dropped(facts)),
    ]  # fmt: skip
    yield Table(tuple(rows), widths=NAMED)
    yield Heading("Origem e licença dos dados", 2)
    for text, name, label in (
        (said.data_origin, "Origem", "Quem escreveu os dados, a partir de quê, e quem os revisou:"),
        (said.data_licence, "Licença ou direito de uso", "Licença ou direito de uso dos dados:"),
    ):
        yield Paragraph(f"{name}: {text}") if text else Blanks((label,))
    yield Heading("Há dados de pacientes?", 2)
    found = ", ".join(f"{SAY.number(one.count, 0)} {one.kind}" for one in audit.identifiers) or "nenhum"
    yield Paragraph(
        "Antes do treino, cada texto passa por uma busca automática de CPF, cartão SUS (CNS), telefone, e-mail e nomes "
        f"depois de “paciente”. Nos textos da fonte se achou: {found}. Regra da receita: "
        f"{IDENTIFIERS[facts.recipe.data.identifiers]}. Restaram nas linhas usadas: {used.identifiers}."
    )
    yield Paragraph(
        "A busca acha formas conhecidas; não acha nomes soltos nem histórias que só se reconhecem pelo contexto. "
        "Por isso a "
        "origem dos dados, acima, tem de ser confirmada por pessoas."
    )
    if knowledge:
        yield Heading("Material aprovado", 2)
        yield Paragraph(f"{SAY.number(knowledge.passages, 0)} passagens, destas fontes:")
        yield Listing(knowledge.sources[:40])
        if len(knowledge.sources) > 40:
            yield Paragraph(f"e mais {len(knowledge.sources) - 40}, listadas em manifest.json.")


def model(facts: ReportFacts) -> Iterator[Block]:
    """The base, its licence, the training and the files."""
    base, adapter = facts.base, facts.adapter
    terms = licence.known(base.licence)
    yield Heading("Modelo base, treino e arquivos")
    rows = [
        ("Modelo base", base.source.removeprefix("hf:").removeprefix("pypi:")),
        ("Revisão", base.revision or "fixada pelo nome acima"),
        ("Arquitetura", f"{base.architecture}, {SAY.number(base.parameters / 1e6, 0)} milhões de parâmetros"),
        ("Licença do modelo base", f"{terms.title} ({terms.url})" if terms else base.licence or "desconhecida"),
        ("Treino", METHODS[adapter.method if adapter else "none"]),
    ]
    if facts.recipe.base.sha256:
        rows.insert(2, ("SHA-256 do modelo base", facts.recipe.base.sha256))
    if adapter:
        train = facts.recipe.train
        rows += [
            ("Quanto se treinou", f"{SAY.number(adapter.trainable_parameters / 1e6, 1)} milhões de números novos, "
             f"{SAY.number(adapter.steps, 0)} passos, {SAY.number(train.epochs, 1)} passagens pelos dados, semente "
             f"{train.seed}"),
            ("Perda nas respostas reservadas", _losses(facts)),
        ]  # fmt: skip
    yield Table(tuple(rows), widths=NAMED)
    yield Paragraph(
        "Perda é o quanto o modelo se surpreende com a resposta certa; menor é melhor. Ela não diz se o que ele "
        "escreve é "
        "verdade.",
        "quiet",
    )
    yield from _files(facts)


def _files(facts: ReportFacts) -> Iterator[Block]:
    yield Heading("Arquivos entregues", 2)
    measured = {c.type: c for c in facts.choice.candidates}
    yield Table(
        tuple(
            (
                facts.packed_name(file) + (" (padrão)" if n == 0 else ""),
                SAY.megabytes(file.size),
                f"{SAY.number(measured[file.type].ram_gb, 2)} GB" if file.type in measured else "–",
                SAY.share(file.divergence.same_top, 1) if file.divergence else "não roda",
                file.sha256,
            )
            for n, file in enumerate(facts.files)
        ),
        ("arquivo", "tamanho", "memória", "mesma palavra que antes da compressão", "SHA-256"),
        (0.25, 0.11, 0.11, 0.2, 0.33),
    )
    if facts.recipe.overrides:
        yield Paragraph(f"Campos da receita mudados na linha de comando: {', '.join(facts.recipe.overrides)}.")
    yield Paragraph(
        "A lista de todas as partes, com versões, licenças e SHA-256, está em bom.cdx.json (CycloneDX); toda a "
        "linhagem, "
        "com cada parâmetro, em manifest.json.",
        "quiet",
    )


def _dropped(facts: ReportFacts) -> str:
    parts = [f"{SAY.number(one.rows, 0)} ({reason(one.reason, SAY)})" for one in facts.audit.dropped]
    if facts.data.too_long:
        parts.append(f"{SAY.number(facts.data.too_long, 0)} longas demais")
    return "; ".join(parts) or "nenhuma"


def _losses(facts: ReportFacts) -> str:
    merged, adapter = facts.merged, facts.adapter
    assert adapter is not None
    if merged.heldout_loss_base is None or merged.heldout_loss is None:
        return f"{SAY.number(adapter.heldout_loss_before)} antes, {SAY.number(adapter.heldout_loss_after)} depois"
    return f"{SAY.number(merged.heldout_loss_base)} no modelo base, {SAY.number(merged.heldout_loss)} neste"
