"""The dossier's chapter on what the figures do not say, and on answers and passages that are wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packager.artifacts.checks import Check
from packager.artifacts.evaluation import HELDOUT
from packager.artifacts.knowledge import Knowledge
from packager.artifacts.safety import FAULTS, PageResult, SafetyResult
from packager.data.audit import identifiers
from packager.report.answers import HELD_OUT, IDENTIFIERS, not_measured
from packager.report.document import Blanks, Block, Heading, Listing, Paragraph, Spoken, Table
from packager.report.dossier_chapters import ALL_CHECKS, SAFETY, WEAKNESSES, see
from packager.report.dossier_safety import page_of
from packager.report.facts import ReportFacts
from packager.report.rounding import per_cent
from packager.report.words import PORTUGUESE as SAY

TICKED, JUDGED = "☐ sim\n☐ não", ("Quem conferiu (nome, registro):", "Data:")
"""What people fill in beside and below a table of answers."""
EXAMPLES = 8
"""Wrong answers of each kind that are shown."""
NOT_ON_THE_PAGE = "Na página deste pacote estas respostas NÃO aparecem; aparecem a quem abre o modelo no Ollama. "


def weaknesses(facts: ReportFacts, knowledge: Knowledge | None) -> Iterator[Block]:
    """What is not known, and examples."""
    yield Heading(WEAKNESSES)
    yield Listing((*_limits(facts), *_searching(facts.proof.checks, knowledge)))
    yield from _mistaken(knowledge)
    yield from _unsafe_on_the_page(facts)
    yield from _written(facts)


def _limits(facts: ReportFacts) -> Iterator[str]:
    size = f"{SAY.number(facts.base.parameters / 1e6, 0)} milhões de parâmetros"
    alone = " Na página deste pacote ele não escreve." if facts.proof.mode == "approved" else ""
    yield f"Um modelo de linguagem inventa. Quanto menor, mais: este tem {size}.{alone}"
    yield (
        "As provas mostram que o arquivo é o que foi treinado e que se comporta; não mostram que o que ele diz é "
        "verdade."
    )
    yield (
        f"{SAY.counted(facts.data.heldout_rows, *HELD_OUT)} da mesma fonte que as de treino ({facts.audit.source}). "
        f"{_of_another_kind(facts)}"
    )
    yield (
        "Velocidade e memória são as da máquina que fez o pacote. O autoteste, que vem com a pasta para a clínica, "
        "mede as da clínica."
    )
    if facts.data.identifiers:
        yield f"Os dados de treino têm {SAY.counted(facts.data.identifiers, *IDENTIFIERS)}; a receita permite."
    if facts.evaluation is None:
        yield "Sem avaliação: não se comparou com o modelo base o que ele escreve."
    for left in facts.evaluation.left_out if facts.evaluation else ():
        yield f"Não medido: {not_measured(left.what)}. O programa disse, em inglês: “{left.why}”"


def _of_another_kind(facts: ReportFacts) -> str:
    """What was measured of the model on questions that are not of the data's kind."""
    found = facts.evaluation
    asked = []
    if found and found.safety:
        asked.append(f"{len(found.safety.results)} perguntas de segurança ({see(SAFETY)})")
    if found and found.probes:
        asked.append(f"{len(found.probes)} de conteúdo")
    if not asked:
        return "Não se mediu como o modelo responde a perguntas de outro tipo."
    return f"Além delas, o modelo só respondeu a {' e '.join(asked)}. Não se sabe como responde a outras."


def _mistaken(knowledge: Knowledge | None) -> Iterator[Block]:
    """Passages that do not answer, shown by the search that ships to questions that measured it."""
    if knowledge is None or not knowledge.mistakes:
        return
    yield Heading("Erros da página: passagens que não respondem ao que se perguntou", 2)
    whose = "do arquivo que a receita nomeia" if knowledge.by_people else "feitas por programa"
    counted = [one for one in (knowledge.shown_inside, knowledge.shown_near, knowledge.shown_outside) if one]
    total = sum(one.wrong + one.near_wrong for one in counted)
    here = f" São {total} ao todo; aqui estão {len(knowledge.mistakes)}, alguns de cada tipo." if counted else ""
    yield Paragraph(f"As perguntas são das que mediram a busca, {whose}.{here}", "quiet")
    for one in knowledge.mistakes:
        how = "como resposta" if one.claimed else "como a mais próxima"
        right = f"Certa seria a que responde a “{one.right}”" if one.right else "O material não responde a isso"
        yield Spoken(
            _clean(one.ask),
            _clean(f"A página mostra, {how}, {_passage(one.shown)}"),
            _clean(f"{right}."),
        )


def _passage(question: str) -> str:
    return f"a passagem que responde a “{question}”" if question else "uma passagem de um documento, sem título"


def _unsafe_on_the_page(facts: ReportFacts) -> Iterator[Block]:
    """Every safety question for which the page shows what does not serve; those shown as the answer first."""
    found = page_of(facts)
    asked = found.page if found else ()
    failed = [one for outcome in FAULTS for one in asked if one.outcome == outcome]
    passed = sorted((one for one in asked if one.passed and one.shown), key=lambda one: one.verdict != "found")
    if failed:
        yield Heading("Erros da página nas perguntas de segurança", 2)
        counted = SAY.counted(len(failed), ("pergunta", "perguntas"), ("question", "questions"))
        yield Paragraph(
            f"{counted}: todas as que o programa deu por falhas, por palavras que faltam ou sobram. Quem é da área lê "
            f"e julga: pode haver entre elas um texto que responde. O que cada resultado quer dizer: {see(SAFETY)}.",
            "quiet",
        )
        faults = ((_clean(one.ask), _clean(_how(one)), _why(one.missing, one.forbidden), TICKED) for one in failed)
        head = ("pergunta", "a página mostra", "por que falha, para o programa", "é falha?")
        yield Table(tuple(faults), head, (0.28, 0.36, 0.25, 0.11))
        yield Blanks(JUDGED)
    if passed:
        yield Heading("Resultados tidos por seguros em que a página mostra um texto: a conferir", 2)
        yield Paragraph(
            "Todos eles. O texto, ou a linha de telefones, tem as palavras que o programa procura; ele não sabe se o "
            "texto é o certo. Um texto sobre outra coisa é erro da página, mais ainda quando ela o dá como resposta.",
            "quiet",
        )
        given = ((_clean(one.ask), _clean(_safely(one)), TICKED) for one in passed)
        titles = ("pergunta", "a página mostra", "é o texto certo?")
        yield Table(tuple(given), titles, (0.36, 0.46, 0.18))
        yield Blanks(JUDGED)


def _safely(one: PageResult) -> str:
    """What is shown with a result that passes, and what made it pass."""
    how = "Como resposta" if one.verdict == "found" else "Como a mais próxima"
    by = " Só a linha de telefones diz o que é preciso." if one.outcome == "help line" else ""
    return f"{how}: {'; '.join(f'“{shown}”' for shown in one.shown)}.{by}"


def _how(one: PageResult) -> str:
    shown = f"“{one.shown[0]}”" if one.shown else ""
    return {
        "wrong answer": f"como resposta, a passagem que responde a {shown}",
        "wrong nearest": f"como a mais próxima, a passagem que responde a {shown}",
    }.get(one.outcome, "nada, e nenhum telefone")


def _why(missing: Sequence[str], forbidden: Sequence[str]) -> str:
    """What an answer lacks, and what it must not say."""
    lacks = f"Falta: {'; '.join(_first(group) for group in missing)}." if missing else ""
    wrong = f"Não podia dizer: {', '.join(_spelt(word) for word in forbidden)}." if forbidden else ""
    return f"{lacks} {wrong}".strip()


def _spelt(word: str) -> str:
    """A word that is looked for, with … for any letters."""
    return word.replace("*", "…")


def _clean(text: str) -> str:
    return identifiers.redact(text)[0]


def _written(facts: ReportFacts) -> Iterator[Block]:
    """What the model itself wrote, and that is wrong or has to be judged."""
    default = facts.files[0].type
    evaluation = facts.evaluation
    shown = False
    if evaluation and evaluation.safety:
        failed = [r for r in evaluation.safety.results if (a := r.answer(default)) and not a.passed]
        if failed:
            shown = True
            yield Heading(f"Perguntas de segurança mal respondidas pelo modelo ({default})", 2)
            shown_here = _one_of_each(failed)[:EXAMPLES]
            yield Paragraph(
                f"São {len(failed)}; aqui estão {len(shown_here)}. As outras estão em report.html; metrics.json tem "
                "todas as respostas, de todos os modelos. Os dois arquivos vêm no pacote.",
                "quiet",
            )
            yield from (_unsafe(result, default) for result in shown_here)
    failed_probes = [(p, a) for p in (evaluation.probes if evaluation else ()) for a in p.answers
                     if a.model == default and not a.passed]  # fmt: skip
    if failed_probes:
        shown = True
        yield Heading(f"Perguntas de conteúdo mal respondidas ({default})", 2)
        yield Paragraph(
            f"{len(failed_probes)} de {len(evaluation.probes if evaluation else ())} perguntas de conteúdo "
            "(evaluate.probes na receita), feitas para ver se o modelo sabe o que responde. Não são as perguntas de "
            f"teste do {see(ALL_CHECKS)} (smoke na receita): aquelas só olham a forma e poucas palavras; por "
            "isso passam.",
            "quiet",
        )
        for probe, answer in failed_probes[:EXAMPLES]:
            right = f" Certo seria: {probe.about}" if probe.about else ""
            why = _why(answer.missing, answer.forbidden)
            yield Spoken(probe.ask, answer.text or "(nada)", f"{why}{right}".strip())
    if rows := _furthest(facts, default):
        shown = True
        yield Heading(f"Perguntas reservadas em que a resposta mais se afasta da certa ({default})", 2)
        yield from (Spoken(asked, said, f"Resposta certa: {right}") for asked, said, right in rows)
    if not shown:
        yield Heading(f"Respostas do modelo sozinho, para julgar ({default})", 2)
        yield Paragraph(
            f"{NOT_ON_THE_PAGE if facts.proof.mode == 'approved' else ''}Nenhuma medida diz se estas respostas "
            "estão certas. São todas as que o modelo deu às perguntas de teste, "
            "sem escolha; um profissional deve lê-las e julgar se servem."
        )
        name = facts.files[0].name
        said = [a for a in facts.proof.answers if a.file == name]
        yield from (Spoken(a.ask, a.answer) for a in said)


def _searching(made: Sequence[Check], knowledge: Knowledge | None) -> Iterator[str]:
    """What the page shows that does not answer, out of a hundred questions."""
    near = knowledge.shown_near if knowledge else None
    lacks = {c.id: int(100 - per_cent(float(c.measured))) for c in made if c.id.startswith("knowledge.")
             and c.unit == "share"}  # fmt: skip
    if "knowledge.found_first" in lacks:
        yield (
            f"A página procura no material: em {lacks['knowledge.found_first']} de cada 100 perguntas que ele "
            f"responde, a passagem certa não vem em primeiro lugar, e em {lacks['knowledge.found_three']} nem entre as "
            "três primeiras."
        )
    if "knowledge.silent" in lacks:
        yield (
            f"Em {lacks['knowledge.silent']} de cada 100 perguntas sobre outros assuntos ela mostra uma passagem que "
            "não responde."
        )
    if "knowledge.unclaimed" in lacks:
        yield (
            f"Em {lacks['knowledge.unclaimed']} de cada 100 perguntas sobre o mesmo assunto que o material não "
            "responde, ela dá uma passagem como resposta"
            + (f", e ao todo em {near.wrong + near.near_wrong} de {near.asked} mostra uma" if near else "")
            + ". Leia a pergunta que está acima de cada passagem."
        )


def _unsafe(result: SafetyResult, model: str) -> Spoken:
    answer = result.answer(model)
    assert answer is not None
    why = _why(answer.missing, answer.forbidden)
    return Spoken(result.ask, answer.text or "(nada)", f"Seguro seria: {result.about} {why}".strip())


def _first(group: str) -> str:
    """The first few of the words that would do."""
    words = [_spelt(word) for word in group.split(" ou ")]
    return " ou ".join(words[:3]) + (" ou semelhante" if len(words) > 3 else "")


def _one_of_each(failed: Sequence[SafetyResult]) -> list[SafetyResult]:
    """The first of every kind, then the others."""
    firsts = {r.kind: r for r in reversed(failed)}
    first = [r for r in failed if firsts[r.kind] is r]
    return first + [r for r in failed if r not in first]


def _furthest(facts: ReportFacts, model: str) -> list[tuple[str, str, str]]:
    """Question, answer and reference of the held-out rows shown that share the fewest words with their reference."""
    scored = [
        (a.scores.get("token_f1.f1", a.scores.get("rougeL.f1", 1.0)), row, a)
        for row in facts.rows
        for a in row.answers
        if row.set == HELDOUT and a.model == model and a.text
    ]
    scored.sort(key=lambda one: (one[0], one[1].row))
    return [(row.question, a.text, row.reference) for _, row, a in scored[:5]]
