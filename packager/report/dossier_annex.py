"""The dossier's annexes: every check with its figures, technical data, and the sources of approved material."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packager.artifacts.checks import Check
from packager.artifacts.kinds import Adapter
from packager.artifacts.knowledge import Knowledge
from packager.report.document import Block, Heading, Listing, Paragraph, Table
from packager.report.dossier_chapters import ALL_CHECKS, SOURCES, TECHNICAL
from packager.report.dossier_limits import limit, measured
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
            f"{SAY.number(adapter.steps, 0)} passos, {SAY.number(train.epochs, 1)} passagens pelos dados, semente "
            f"{train.seed}",
        )
        yield "Perda nas respostas reservadas", _losses(facts, adapter)


def _losses(facts: ReportFacts, adapter: Adapter) -> str:
    merged = facts.merged
    if merged.heldout_loss_base is None or merged.heldout_loss is None:
        return f"{SAY.number(adapter.heldout_loss_before)} antes, {SAY.number(adapter.heldout_loss_after)} depois"
    return f"{SAY.number(merged.heldout_loss_base)} no modelo base, {SAY.number(merged.heldout_loss)} neste"


def sources(knowledge: Knowledge | None) -> Iterator[Block]:
    """All that the approved material rests on."""
    if knowledge:
        yield Heading(SOURCES, annex=True)
        yield Listing(knowledge.sources)
