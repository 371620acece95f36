"""The dossier's annexes: every check with its figures, technical data, and the sources of approved material."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packager.artifacts.checks import Check
from packager.artifacts.kinds import Adapter
from packager.artifacts.knowledge import Knowledge
from packager.report.document import Block, Heading, Listing, Paragraph, Table
from packager.report.dossier_chapters import ALL_CHECKS, GLOSSARY, SOURCES, TECHNICAL, WEAKNESSES, see
from packager.report.dossier_figures import seen
from packager.report.dossier_limits import limit, measured
from packager.report.dossier_sources import amount, by_document, source_groups
from packager.report.dossier_terms import of_text
from packager.report.dossier_words import CHECKED, STAGES, WHY
from packager.report.facts import ReportFacts
from packager.report.words import PORTUGUESE as SAY

NAMED = (0.3, 0.7)


def all_checks(facts: ReportFacts) -> Iterator[Block]:
    """Every check, what it means, and its figures."""
    made = facts.proof.checks
    yield Heading(ALL_CHECKS, new_page=True, annex=True)
    yield Paragraph(
        "Uma linha pode valer para vários arquivos. Nats por token: o quanto o modelo se surpreende com o texto certo; "
        "menor é melhor. Token: uma palavra ou um pedaço dela. F16: o modelo antes da compressão.",
        "quiet",
    )
    for stage in dict.fromkeys(c.stage for c in made):
        yield Heading(STAGES.get(stage, stage), 2)
        names = dict.fromkeys(c.id for c in made if c.stage == stage)
        yield Table(
            tuple(_row(name, [c for c in made if c.id == name]) for name in names),
            ("verificação", "por que importa", "medido", "limite", "resultado"),
            (0.28, 0.28, 0.16, 0.17, 0.11),
        )
        if stage == "merge" and facts.adapter:
            yield Paragraph(_of_which_rows(facts), "quiet")
        if stage == "smoke":
            yield Paragraph(
                "São as perguntas de teste da receita (smoke): olham a forma da resposta e algumas palavras. As "
                f"perguntas de conteúdo, que o modelo pode errar sem que nada pare, são outras: {see(WEAKNESSES)}. "
                "Memória: a do modelo sozinho, ao responder; o limite é toda a do computador que a receita supõe.",
                "quiet",
            )


def _of_which_rows(facts: ReportFacts) -> str:
    """Which rows and precisions the losses of this stage compare."""
    assert facts.adapter
    trained = facts.adapter.as_trained
    rounded = "comprimido em 4 bits, como no treino" if facts.adapter.on_nf4 else "sem compressão"
    said = (
        f"A perda em respostas reservadas compara, em {SAY.number(facts.merged.heldout_tokens, 0)} tokens delas, o "
        f"modelo que segue com o modelo base sem compressão (números do {see(TECHNICAL)}, B.2)."
    )
    if trained:
        rows = SAY.counted(trained.rows, ("linha", "linhas"), ("row", "rows"))
        said += f" “A conferência vê a mesma perda que o treino”: {rows}, o modelo base {rounded}, nas duas contas."
    return said


def _row(name: str, those: Sequence[Check]) -> tuple[str, ...]:
    """One check, of every file that it was made of."""

    def of_each(values: Sequence[str]) -> str:
        if len(set(values)) == 1:
            return values[0]
        return "\n".join(f"{c.subject}: {value}" for c, value in zip(those, values, strict=True))

    return (
        CHECKED.get(name) or SAY.check(name, those[0].says),
        WHY.get(name, "–"),
        of_each([measured(c) for c in those]),
        of_each([limit(c) for c in those]),
        of_each(["passou" if c.passed else "dispensada" if c.waived else "NÃO passou" for c in those]),
    )


def technical(facts: ReportFacts) -> Iterator[Block]:
    """Hashes, revisions, training and files, for who has to compare them."""
    yield Heading(TECHNICAL, annex=True)
    yield Heading("Dados", 2)
    yield Table(
        (
            ("SHA-256 da fonte", facts.data.source_sha256),
            ("SHA-256 das linhas usadas", facts.data.data_sha256),
            ("Idioma das respostas", ", ".join(f"{name}: {n}" for name, n in facts.audit.languages.items())),
        ),
        widths=NAMED,
    )
    yield Heading("Modelo base e treino", 2)
    yield Table(tuple(_base(facts)), widths=NAMED)
    yield Heading("Arquivos", 2)
    ram = {c.type: c.ram_gb for c in facts.choice.candidates}
    yield Table(
        tuple(
            (
                facts.packed_name(file),
                f"{file.bits_per_weight:.2f}".replace(".", ","),
                f"{SAY.number(ram[file.type], 2)} GB" if file.type in ram else "–",
                SAY.share(file.fallback_share),
                file.sha256,
            )
            for file in facts.files
        ),
        ("arquivo", "bits por peso", "memória", "pesos em outro tipo", "SHA-256"),
        (0.25, 0.12, 0.12, 0.14, 0.37),
    )
    yield Paragraph(
        "Pesos em outro tipo: os que não se dividem em blocos de 256 e por isso ocupam mais do que o nome do arquivo "
        f"sugere. Memória no contexto de {facts.recipe.serve.context} tokens, na máquina que fez o pacote.",
        "quiet",
    )
    if facts.recipe.overrides:
        yield Paragraph(f"Campos da receita mudados na linha de comando: {', '.join(facts.recipe.overrides)}.")


def _base(facts: ReportFacts) -> Iterator[tuple[str, str]]:
    base, adapter, train = facts.base, facts.adapter, facts.recipe.train
    yield "Modelo base", base.source
    yield "Revisão", base.revision or "fixada pelo nome acima"
    if facts.recipe.base.sha256:
        yield "SHA-256 do modelo base", facts.recipe.base.sha256
    yield "Arquitetura", f"{base.architecture}, {SAY.number(base.parameters, 0)} parâmetros"
    if adapter:
        yield (
            "Quanto se treinou",
            f"{SAY.number(adapter.trainable_parameters / 1e6, 1)} milhões de números novos, "
            f"{SAY.number(adapter.steps, 0)} passos de {train.batch.examples_per_step} exemplos; "
            f"{SAY.number(facts.data.train_rows, 0)} perguntas e respostas: {seen(facts)}; semente {train.seed}",
        )
        yield from _losses(facts, adapter)


def _losses(facts: ReportFacts, adapter: Adapter) -> Iterator[tuple[str, str]]:
    """The same quantity measured twice, and why the two differ."""
    rounded = " comprimido em 4 bits, como no treino" if adapter.method == "qlora" else ""
    yield (
        "Perda, medida no treino (anexo A.2)",
        f"{SAY.number(adapter.heldout_loss_before)} no modelo base{rounded}, {SAY.number(adapter.heldout_loss_after)} "
        "depois do treino; em todas as respostas reservadas para medir",
    )
    merged = facts.merged
    if merged.heldout_loss_base is not None and merged.heldout_loss is not None:
        yield (
            "Perda, medida depois da junção (anexo A.3)",
            f"{SAY.number(merged.heldout_loss_base)} no modelo base sem compressão, {SAY.number(merged.heldout_loss)} "
            f"neste; em {SAY.number(merged.heldout_tokens, 0)} tokens das mesmas respostas. A grandeza é a mesma; "
            "mudam a precisão dos números e quantas respostas se contam, por isso os valores não são iguais.",
        )


def sources(knowledge: Knowledge | None) -> Iterator[Block]:
    """All that the approved material rests on."""
    if knowledge:
        yield Heading(SOURCES, annex=True)
        for name, those in source_groups(knowledge.sources):
            yield Heading(f"{name}: {amount(those)}", 2)
            yield Listing(tuple(by_document(those)), small=True)


def glossary(text: str) -> Iterator[Block]:
    """The words of the trade that `text`, all the rest of the document, cannot do without."""
    yield Heading(GLOSSARY, annex=True)
    yield Table(of_text(text), ("palavra", "o que quer dizer aqui"), (0.24, 0.76))
