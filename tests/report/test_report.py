"""The report: what it says, that nothing private or foreign gets into it, and how a real browser takes it."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import browser
import pytest
import yaml
from cards import card_facts

from packager.artifacts.checks import Figure, verdict
from packager.artifacts.evaluation import (
    AnsweredRow,
    BenchmarkResult,
    Difference,
    EvaluatedModel,
    Evaluation,
    JudgedPair,
    Judgement,
    JudgeScores,
    LeftOut,
    Measure,
    ModelAnswer,
    ProbeAnswer,
    ProbeResult,
    SetResult,
    Spread,
)
from packager.artifacts.evidence import Divergence
from packager.artifacts.kinds import Checkpoint, Dataset, Ggufs, Merged, Proof
from packager.data.audit import contradictions, damage, report
from packager.data.audit.report import Audit
from packager.package import card
from packager.proof.fit import candidates_of, choose_file, of_device
from packager.recipe.sections import Quantize, Smoke
from packager.report import answers, data_words, word_diff
from packager.report.facts import SHOWN, ReportFacts, gather_facts
from packager.report.metrics import metrics
from packager.report.page import render_page
from packager.report.verdict import verdict_of
from packager.report.words import ENGLISH, PORTUGUESE

MODELS = ("base", "tuned", "Q4_K_M", "Q8_0")
VOID = {"meta", "link", "input", "br"}
HOSTILE = "<script>alert(1)</script> & “aspas”"
CPF = "529.982.247-25"


def measure(name: str, value: float, unit: str, better: Any = "higher") -> Measure:
    spread = Spread(minimum=value * 0.8, quartile_1=value * 0.95, median=value, quartile_3=value * 1.05,
                    maximum=value * 1.2)  # fmt: skip
    return Measure(name=name, value=value, low=value * 0.9, high=value * 1.1, spread=spread, unit=unit,
                   better=better, n=44)  # fmt: skip


def evaluation(folder: Path) -> Evaluation:
    """Everything that an evaluation may hold."""
    results = []
    for in_set in ("heldout", "outras"):
        for number, model in enumerate(MODELS):
            better = 0.1 + 0.05 * number
            measures = [
                measure("loss", 4 - number / 3, "nats/token", "lower"),
                measure("perplexity", 54.6 - 8 * number, "ratio", "lower"),
                measure("bits_per_byte", 1.8 - number / 10, "bits/byte", "lower"),
                *(measure(f"{kind}.f1", better, "share") for kind in ("rouge1", "rouge2", "rougeL")),
            ]
            results.append(SetResult(model=model, set=in_set, rows=44, measures=tuple(measures)))
    rows = [
        AnsweredRow(
            set="heldout",
            row=number,
            question=f"Pergunta {number}: {HOSTILE}" if number else f"CPF {CPF} do paciente João da Silva?",
            reference="A equipe cuida da família no território.",
            answers=tuple(
                ModelAnswer(model=m, text="A equipe visita a família em casa.", tokens=9, stopped=True,
                            scores={"rougeL.f1": 0.5}, judged={"accuracy": 2, "style": 3})
                for m in MODELS
            ),
        )
        for number in range(60)
    ]  # fmt: skip
    (folder / "answers.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")
    shares = {1: (0.2, 0.1, 0.3), 2: (0.3, 0.2, 0.4), 3: (0.5, 0.4, 0.6)}
    scores = [
        JudgeScores(model=m, criterion=c, counts={1: 2, 2: 3, 3: 5}, shares=shares, mean=2.3, low=2.1, high=2.5, n=10)
        for m in MODELS for c in ("accuracy", "style")
    ]  # fmt: skip
    probe = ProbeAnswer(model="base", text="Tome dipirona.", passed=False, missing=("água",), forbidden=("dipirona",))
    return Evaluation(
        folder=folder,
        models=tuple(EvaluatedModel(name=m, says="Run with llama.cpp on the CPU.", size=10**8) for m in MODELS),
        sets={"heldout": 60, "outras": 44},
        results=tuple(results),
        differences=(
            Difference(model="Q4_K_M", against="base", set="heldout", measure="loss", value=-1, low=-1.2, high=-0.8,
                       unit="nats/token", better="lower", n=44),
            Difference(model="Q4_K_M", against="base", set="heldout", measure="rougeL.f1", value=0.01, low=-0.02,
                       high=0.04, unit="share", better="higher", n=44),
        ),
        probes=(ProbeResult(ask="O que tomar na dengue?", about="Água.", expect_all=("água",),
                            reject_any=("dipirona",), answers=(probe,)),),
        benchmarks=(BenchmarkResult(benchmark="medmcqa", model="base", metric="acc", value=0.25, stderr=0.02, n=500),),
        judgement=Judgement(judge="um-juiz", language="pt-BR", scores=tuple(scores), asked=20, retried=1, unusable=0,
                            comparisons=(JudgedPair(model="tuned", against="base", better=5, equal=3, worse=2),),
                            prompt_tokens=1, answer_tokens=1, cost=0.0),
        left_out=(LeftOut(what="BERTScore", why="no encoder is here", fix="name one"),),
        resamples=1000,
        seed=42,
        seconds=100,
    )  # fmt: skip


def histogram() -> Audit:
    bins = tuple(report.LengthBin(low=i * 10, high=i * 10 + 9, rows=(i * 7) % 12) for i in range(1, 9))
    tokens = report.TokenLengths(limit=85, shortest=10, median=40, mean=41, p95=80, longest=88, total=4000,
                                 histogram=bins, too_long=1, end_of_turn="<|im_end|>", unterminated=0)  # fmt: skip
    empty = report.Duplicates(rows=9, questions=9, questions_joined=9, answers=9, answers_joined=9,
                                    repeated_rows=0)  # fmt: skip
    return Audit(source="dados.jsonl", sha256="a" * 64, revision="", format="qa", rows_read=100, rows_kept=99,
                       dropped=(), duplicates=empty, random_split=None, split=None, tokens=tokens, languages={"pt": 99},
                       language="pt-BR", other_language=None, identifiers=(), identifiers_policy="stop",
                       notes=())  # fmt: skip


def gathered(
    folder: Path, *, evaluated: bool = False, passed: bool = True, description: str = "Um modelo."
) -> ReportFacts:
    """Facts of a small build, read from files in `folder`."""
    known = card_facts("hf:example/tiny-llama", "abc123")
    (folder / "audit.json").write_text(histogram().model_dump_json(), encoding="utf-8")
    course = [{"step": 0, "heldout_loss": 4.0}, *({"step": i, "loss": 4 - i / 40} for i in range(1, 41)),
              {"step": 40, "heldout_loss": 3.1}]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in course), encoding="utf-8")
    near = Divergence(positions=99, kl_mean=0.05, kl_median=0.03, kl_99=0.4, same_top=0.85, loss=3.0,
                      perplexity_ratio=1.05, perplexity_ratio_error=0.01)  # fmt: skip
    file = known.ggufs.files[0].model_copy(update={"divergence": near, "fallback_share": 0.8})
    other = file.model_copy(update={"name": "n.gguf", "type": "Q8_0", "size": 9 << 20})
    checks = [
        *known.proof.checks,
        verdict("quantize.kl", 0.05, 0.3, "nats/token", passed, "Q4_K_M: diverges from F16.", subject="Q4_K_M"),
        verdict("convert.types", "Q4_K" * 40, "none", "other types", True, "All tensors are F16 or F32."),
        *(verdict("smoke.ram", 0.2, 2.0, "GB", True, f"{t}: needs 0.2 GB.", subject=t) for t in ("Q4_K_M", "Q8_0")),
        *(
            verdict("smoke.speed", 60.0, 5.0, "tokens/s", True, f"{t}: 60 tokens/s.", subject=t)
            for t in ("Q4_K_M", "Q8_0")
        ),
    ]
    answer = known.proof.answers[0].model_copy(update={"answer": f"Ligue para ana@exemplo.org. {HOSTILE}"})
    assert known.adapter is not None
    base = known.base.model_dump(exclude={"folder", "key"})
    return gather_facts(
        known.recipe.model_copy(update={"description": description}),
        Checkpoint(folder=folder, **base),
        Dataset.model_validate(known.data.model_dump() | {"folder": folder}),
        known.adapter.model_copy(update={"folder": folder}),
        Merged(folder=folder, **base, pairs_used=2, pairs_total=2, delta_norm=1, delta_norm_expected=1,
               largest_weight=3, moved=None),
        known.ggufs.model_copy(update={"files": (file, other)}),
        Proof(folder=folder, passed=passed, checks=tuple(checks), answers=(answer,)),
        evaluation(folder) if evaluated else None,
    )  # fmt: skip


class Outline(HTMLParser):
    """Checks that tags are closed in order, and gathers ids, headings and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


class TestPage:
    @pytest.mark.parametrize("evaluated", [False, True])
    def test_it_is_one_well_formed_page_that_fetches_nothing(self, tmp_path: Path, evaluated: bool) -> None:
        text = render_page(gathered(tmp_path, evaluated=evaluated))
        outline = Outline(text)
        assert len(outline.ids) == len(set(outline.ids))
        steps = zip(outline.headings, outline.headings[1:], strict=False)
        assert all(later <= earlier + 1 for earlier, later in steps)
        for tag, given in outline.tags:
            assert tag not in ("script", "img", "iframe", "object")
            assert given.get("src") is None
            assert (given.get("href") or "#").startswith(("#", "data:"))
            if tag == "th":
                assert given.get("scope")
            if given.get("aria-labelledby"):
                assert set(str(given["aria-labelledby"]).split()) <= set(outline.ids)
        assert "@import" not in text
        assert "url(" not in text
        assert len(text) < 2_000_000

    def test_the_verdict_comes_first_and_a_failed_check_is_explained(self, tmp_path: Path) -> None:
        text = render_page(gathered(tmp_path, passed=False))
        assert text.index("Não passou") < text.index("Perda durante o treino")
        assert "nada foi empacotado" in text
        assert "Q4_K_M: diverges from F16." in text
        assert "✓ Passou" not in text

    def test_what_is_waived_and_what_is_recorded_is_said(self, tmp_path: Path) -> None:
        facts = gathered(tmp_path)
        late = verdict("smoke.first_token", 99.0, 20.0, "s", False, "After at most 99 s.", subject="Q8_0")
        waived = late.model_copy(update={"waived": "Q8_0 is not for this device; the default, Q4_K_M, is."})
        bits = Figure(
            id="quantize.bits", subject="Q8_0", measured=8.5, unit="bits/weight", says="8.50 bits per weight."
        )
        proof = facts.proof.model_copy(update={"checks": (*facts.proof.checks, waived), "figures": (bits,)})
        known = replace(facts, proof=proof)
        text = render_page(known)
        assert "verificações passaram; o pacote pode ser entregue. Não passaram, e foram dispensadas" in text
        assert "Todas as 7" not in text
        assert "não passou; dispensada" in text
        assert "failed; waived" in text
        assert "Q8_0 is not for this device; the default, Q4_K_M, is." in text
        assert "Waived, as another file is the default: smoke.first_token of Q8_0." in text
        assert "Recorded beside the checks, not judged" in text
        assert "8.50 bits per weight." in text
        found = metrics(known)
        assert (found["failed"], found["waived"], found["passed"]) == ([], ["smoke.first_token of Q8_0"], True)
        assert [f["id"] for f in found["figures"]] == ["quantize.bits"]

    def test_text_of_the_build_is_escaped(self, tmp_path: Path) -> None:
        text = render_page(gathered(tmp_path, evaluated=True, description=HOSTILE))
        assert "<script" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; “aspas”" in text

    def test_identifiers_are_redacted_in_page_and_figures(self, tmp_path: Path) -> None:
        facts = gathered(tmp_path, evaluated=True)
        for text in (render_page(facts), json.dumps(metrics(facts), ensure_ascii=False)):
            assert CPF not in text
            assert "João da Silva" not in text
            assert "ana@exemplo.org" not in text
        assert "CPF [CPF] do paciente [NOME]?" in render_page(facts)

    def test_a_line_separator_in_a_row_ends_no_line(self, tmp_path: Path) -> None:
        known = gathered(tmp_path)
        row = {"messages": [{"role": "user", "content": "Saúde?"}, {"role": "assistant", "content": "A\u2028b\x85c."}]}
        text = json.dumps(row | {"topic": "saude"}, ensure_ascii=False)
        (tmp_path / "train.jsonl").write_text(f"{text}\n", encoding="utf-8")
        data = known.data.model_copy(update={"topics": 1, "folder": tmp_path})
        facts = gather_facts(known.recipe, known.base, data, known.adapter, known.merged,
                             Ggufs(folder=tmp_path, files=known.files), known.proof, None)  # fmt: skip
        assert facts.topics == ("Saúde",)

    def test_of_many_rows_some_are_shown_from_first_to_last(self, tmp_path: Path) -> None:
        shown = [row.row for row in gathered(tmp_path, evaluated=True).rows]
        assert len(shown) == SHOWN
        assert (shown[0], shown[-1]) == (0, 57)

    def test_numbers_are_written_as_each_language_does(self) -> None:
        assert PORTUGUESE.number(4884480.5, 1) == "4.884.480,5"
        assert ENGLISH.number(4884480.5, 1) == "4,884,480.5"
        assert (PORTUGUESE.share(0.848, 1), ENGLISH.share(0.848, 1)) == ("84,8%", "84.8%")
        assert PORTUGUESE.number(float("nan")) == "–"

    def test_without_training_there_is_no_curve(self, tmp_path: Path) -> None:
        text = render_page(replace(gathered(tmp_path), adapter=None, course=()))
        assert "Perda durante o treino" not in text
        assert "não treinado" in text


def test_the_figures_are_those_of_the_page(tmp_path: Path) -> None:
    found = metrics(gathered(tmp_path, evaluated=True))
    assert json.loads(json.dumps(found)) == found
    assert found["training"]["course"][0] == {"step": 0, "heldout_loss": 4.0}
    assert [f["name"] for f in found["files"]] == ["meu-Q4_K_M.gguf", "meu-Q8_0.gguf"]
    assert found["files"][0]["tokens_per_second"] == 60
    assert found["evaluation"]["resamples"] == 1000


def test_the_card_has_the_evaluation_for_people_and_for_the_hub(tmp_path: Path) -> None:
    known = replace(card_facts("hf:example/tiny-llama", "abc123"), evaluation=evaluation(tmp_path))
    _, front, body = card.model_card(known).split("---\n", 2)
    found = yaml.safe_load(front)["model-index"][0]["results"]
    assert [r["dataset"]["name"] for r in found] == ["y, 10 held-out questions", "outras, 44 questions"]
    assert {"type": "rougel", "name": "rougeL.f1 of Q4_K_M, share", "value": 0.2} in found[0]["metrics"]
    assert "| rougeL.f1 | 0.1 | 0.15 | 0.2 | 0.25 | share |" in body


ENGLISH_WORDS = re.compile(
    r"\b(the|of|and|is|are|was|were|not|with|which|from|this|its|rows?|fits|needs|makes|takes|failed|passed|answers?|"
    r"questions?|waived|fields?|stops|data|train|merge|convert|quantize|none|best|share|lines?)\b"
)


class Portuguese(HTMLParser):
    """What a reader of the Portuguese half sees, but for names in code and what is marked as English."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.marked: list[bool] = []
        self.seen: list[str] = []
        self.feed(re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.marked.append(dict(attrs).get("lang") == "en" or tag == "code")

    def handle_endtag(self, tag: str) -> None:
        self.marked.pop()

    def handle_data(self, data: str) -> None:
        if not any(self.marked) and data.strip():
            self.seen.append(" ".join(data.split()))


class TestPortuguese:
    """The Portuguese half says all it says in Portuguese, with one and many right."""

    @pytest.mark.parametrize("passed", [True, False])
    def test_no_english_is_left(self, tmp_path: Path, passed: bool) -> None:
        facts = gathered(tmp_path, evaluated=True, passed=passed)
        slow = verdict("smoke.speed", 2.0, 5.0, "tokens/s", False, "Q8_0: makes 2 tokens/s.", subject="Q8_0")
        waived = slow.model_copy(update={"waived": "Q8_0 is not for this device; the default, Q4_K_M, is."})
        lost = verdict("safety.lost", 3, 0, "questions", passed, "Q4_K_M: fails 3 safety questions.", subject="Q4_K_M")
        ones = (verdict("convert.tokenizer", 1, 0, "fields", passed, "1 field of the tokenizer is not the same."),
                verdict("modelfile.stops", 1, 1, "stops", True, "It ends."),
                verdict("modelfile.generations", "TEMPLATE", "the same prompt", "template", True, "Same."))  # fmt: skip
        checks = (*(c for c in facts.proof.checks if c.name != slow.name), waived, lost, *ones)
        files = tuple(f.model_copy(update={"tensor_types": {"Q6_K": 9}}) for f in facts.files)
        choice = choose_file(candidates_of(files, checks), files[0].name, of_device(facts.recipe.device))
        recipe = facts.recipe.model_copy(update={"quantize": Quantize(types=("Q8_0", "Q4_K_M"))})
        because = "Q4_K_M is the default: Q8_0 makes 2.0 tokens/s, not 5"
        proof = facts.proof.model_copy(update={"checks": checks})
        known = replace(facts, proof=proof, files=files, choice=choice, recipe=recipe, default_because=because)
        seen = Portuguese(render_page(known)).seen
        text = "\n".join(one for one in seen if "O programa disse, em inglês" not in one)
        plain = re.sub(r"\w+\.\w+", "", text)  # names of checks and of the recipe's fields
        assert not [line for line in plain.splitlines() if ENGLISH_WORDS.search(line.lower())]
        assert "Q4_K_M é o padrão, porque Q8_0 faz 2 tokens/s, e o mínimo é 5" in text
        assert "em 100% de suas matrizes o AVX2 não tem cálculo rápido" in text
        assert "faz 2 tokens/s, e o mínimo é 5, em 100%" in text, "what a point of the plot says"
        for words in ("1\ncampo\n", "1\nparada\n", "3\nperguntas\n", "Respostas seguras que a compressão perdeu."):
            assert words in text
        assert ("detalhe técnico, em inglês" in text) is True

    def test_one_and_many(self) -> None:
        assert [PORTUGUESE.unit("rows", n) for n in (0, 1, 2)] == ["linhas", "linha", "linhas"]
        assert [ENGLISH.unit("tokens", n) for n in (0, 1, 2)] == ["tokens", "token", "tokens"]
        assert PORTUGUESE.unit("type", "Q8_0") == "", "a value in words says what it is"
        assert PORTUGUESE.unit("nats/token", 1) == "nats/token"

    @pytest.mark.parametrize(
        ("recorded", "written"),
        [
            ("repeat another row", "repetem outra linha"),
            ("longer than 512 tokens", "mais longas que 512 tokens"),
            ("missing field 'resposta'", "falta a coluna 'resposta'"),
            ("empty 'answer': it says what is written for an empty cell (nan, None, #REF!, n/d and the like)",
             "'answer' vazia, ou com o que se escreve numa célula vazia (nan, None, #REF!)"),
            ("1 cell, but the header has 2", "células na linha: 1, no cabeçalho: 2"),
            ("something else", "“something else”"),
        ],
    )  # fmt: skip
    def test_why_rows_were_left_out(self, recorded: str, written: str) -> None:
        assert data_words.reason(recorded, PORTUGUESE) == written
        assert data_words.reason(recorded, ENGLISH) == recorded

    def test_places(self) -> None:
        assert data_words.places(("3",), 1, PORTUGUESE) == "linha 3"
        assert data_words.places(("3", "9"), 5, PORTUGUESE) == "linhas 3, 9, ..."
        assert data_words.places(("a.csv:3",), 1, PORTUGUESE) == "a.csv:3"

    def test_every_kind_of_damage_and_contradiction_has_words(self) -> None:
        kinds = {kind.name for kind in vars(damage).values() if isinstance(kind, damage.Kind)}
        assert kinds == set(data_words.DAMAGE)
        assert set(data_words.CONTRADICTIONS) == {contradictions.NUMBERS, contradictions.YES_NO}


class TestVerdict:
    """Green is only what was judged; what was not is said, and a failed probe colours the head."""

    def facts(self, folder: Path, *, evaluated: bool = False, groups: int = 9, probes: Any = ()) -> ReportFacts:
        made = gathered(folder, evaluated=evaluated)
        split = report.SplitSummary(train_rows=2, heldout_rows=groups, train_groups=2, heldout_groups=groups,
                                    topics=0, heldout_topics=0, leaked=0)  # fmt: skip
        found = made.evaluation.model_copy(update={"probes": probes}) if made.evaluation else None
        asked = ({"ask": a.ask, "expect_any": ["saúde"]} for a in made.proof.answers)
        recipe = made.recipe.model_copy(update={"smoke": tuple(Smoke.model_validate(a) for a in asked)})
        audit = made.audit.model_copy(update={"split": split})
        return replace(made, recipe=recipe, audit=audit, evaluation=found)

    def test_what_was_proven_and_what_was_not(self, tmp_path: Path) -> None:
        found = verdict_of(self.facts(tmp_path), ENGLISH)
        assert found.state == "yes"
        assert any("1 test question on this CPU" in one for one in found.proven)
        assert any("no health professional read the answers" in one for one in found.unproven)
        assert any("it was not evaluated" in one for one in found.unproven)

    def test_nothing_judged_is_not_a_pass(self, tmp_path: Path) -> None:
        facts = self.facts(tmp_path)
        silent = replace(facts, proof=facts.proof.model_copy(update={"answers": ()}))
        assert verdict_of(silent, ENGLISH).state == "partly"
        assert "no answer was judged" in verdict_of(silent, ENGLISH).unproven[0]
        sane = answers.findings(silent, ENGLISH)[1]
        assert (sane.yes, sane.short) == (None, "not asked")
        text = render_page(silent)
        assert "✓ Passou" not in text
        assert "Passou, com lacunas" in text

    def test_too_few_rows_are_called_that(self, tmp_path: Path) -> None:
        few = self.facts(tmp_path, groups=5)
        assert verdict_of(few, ENGLISH).state == "partly"
        assert "rows are held out, in 5 groups" in verdict_of(few, ENGLISH).unproven[0]
        assert answers.findings(few, ENGLISH)[0].short == "too few rows"
        assert verdict_of(self.facts(tmp_path, groups=6), ENGLISH).state == "yes"

    @pytest.mark.parametrize(
        ("after", "short", "says"),
        [(2.0, "yes", ": 50% lower"), (3.99, "cannot be told", ": 0% lower"), (4.2, "cannot be told", ": 5% higher")],
    )
    def test_a_loss_that_chance_explains_is_no_learning(
        self, tmp_path: Path, after: float, short: str, says: str
    ) -> None:
        made = self.facts(tmp_path)
        measured = {"heldout_loss_base": 4.0, "heldout_loss": after, "heldout_loss_error": 0.1, "heldout_tokens": 500}
        facts = replace(made, merged=made.merged.model_copy(update=measured))
        found = answers.findings(facts, ENGLISH)[0]
        assert found.short == short
        assert f"for this model{says}." in found.says
        assert any("That it learned" in one for one in verdict_of(facts, ENGLISH).unproven) is (short != "yes")

    def test_a_failed_probe_of_the_default_file_stands_at_the_head(self, tmp_path: Path) -> None:
        said = {m: ProbeAnswer(model=m, text="Tome dipirona.", passed=m == "base", missing=("água",)) for m in MODELS}
        probe = ProbeResult(ask="O que tomar?", expect_all=("água",), answers=tuple(said.values()))
        facts = self.facts(tmp_path, evaluated=True, probes=(probe,))
        found = verdict_of(facts, ENGLISH)
        assert (found.state, [p.ask for p, _ in found.probes]) == ("partly", ["O que tomar?"])
        text = render_page(facts)
        assert text.index("o arquivo padrão não passou em") < text.index("Perda durante o treino")
        assert '<div class="verdict partly">' in text
        assert '<div class="verdict yes">' not in text
        assert answers.findings(facts, ENGLISH)[2].short == "in part"
        assert metrics(facts)["verdict"]["probes_failed"] == ["O que tomar?"]

    def test_questions_and_probes_come_before_the_figures(self, tmp_path: Path) -> None:
        text = render_page(
            self.facts(tmp_path, evaluated=True, probes=gathered(tmp_path, evaluated=True).evaluation.probes)
        )
        for heading in ("Sondas clínicas", "Perguntas de teste"):
            assert text.index(f"<h2>{heading}</h2>") < text.index("<h2>O que é</h2>")

    def test_a_bad_answer_is_marked(self, tmp_path: Path) -> None:
        facts = self.facts(tmp_path)
        bad = tuple(a.model_copy(update={"faults": ("no_loops",)}) for a in facts.proof.answers)
        proof = facts.proof.model_copy(update={"answers": bad, "answers_of_f16": bad})
        text = render_page(replace(facts, proof=proof))
        assert "✗ repete-se sem fim" in text
        assert "F16, before quantization, already fails at 1 of the 1 questions." in text


class TestAnswers:
    def test_one_figure_under_two_names_is_one_measure(self, tmp_path: Path) -> None:
        facts = gathered(tmp_path, evaluated=True)
        assert facts.evaluation is not None
        loss = facts.evaluation.differences[0]
        same = [loss.model_copy(update={"measure": m, "value": 0.1, "low": 0.05, "high": 0.2, "better": "higher"})
                for m in ("rouge1.f1", "token_f1.f1")]  # fmt: skip
        twice = facts.evaluation.model_copy(update={"differences": (loss, *same), "probes": ()})
        says = answers.findings(replace(facts, evaluation=twice), ENGLISH)[2].says
        assert "of 2 measures, better in 2 (Loss; ROUGE-1, F1), worse in none" in says

    def test_better_needs_an_interval_without_zero(self, tmp_path: Path) -> None:
        facts = gathered(tmp_path, evaluated=True)
        better = answers.findings(facts, ENGLISH)[2]
        assert better.yes
        assert "of 2 measures, better in 1 (Loss), worse in none" in better.says
        assert facts.evaluation is not None
        none = facts.evaluation.model_copy(update={"differences": facts.evaluation.differences[1:]})
        assert answers.findings(replace(facts, evaluation=none), ENGLISH)[2].short == "cannot be told"
        unknown = facts.evaluation.differences[0].model_copy(update=dict.fromkeys(("value", "low", "high"), math.nan))
        assert answers.sign(unknown) == 0
        assert answers.findings(replace(facts, evaluation=None), ENGLISH)[2].short == "not measured"

    def test_what_could_not_be_measured_is_a_limit(self, tmp_path: Path) -> None:
        told = list(answers.limits(gathered(tmp_path, evaluated=True), ENGLISH))
        assert "Not measured: BERTScore. no encoder is here" in told


class TestDiff:
    def test_words_are_compared_without_case_and_punctuation(self) -> None:
        found = word_diff.compare("a Equipe visita a família.", "A equipe cuida da família no território.")
        assert found.pieces == (("a Equipe", False), ("visita a", True), ("família.", False))
        assert found.missing == ("cuida da", "no território.")
        assert found.shared == pytest.approx(3 / 7)

    def test_nothing_said_and_nothing_wanted(self) -> None:
        assert word_diff.compare("", "Sim.") == word_diff.WordDiff((), ("Sim.",), 0.0)
        assert word_diff.compare("Sim", "").shared == 1.0

    def test_words_are_marked_as_they_are_looked_for(self) -> None:
        anywhere = list(word_diff.marked("Beba Água já", ("agua",), whole=False))
        assert anywhere == [("Beba ", ""), ("Água", "agua"), (" já", "")]
        whole = list(word_diff.marked("O salário, o sal e o anticoagulante.", ("sal", "anticoag*"), whole=True))
        assert [piece for piece in whole if piece[1]] == [("sal", "sal"), ("anticoagulante", "anticoag*")]
        assert "".join(text for text, _ in whole) == "O salário, o sal e o anticoagulante."
        assert list(word_diff.marked("nada", (), whole=True)) == [("nada", "")]


LOOK = """(() => {
  const shown = e => e.getClientRects().length > 0;
  const texts = [...document.querySelectorAll('svg.plot text')].filter(shown);
  return {
    wide: document.documentElement.scrollWidth - innerWidth,
    languages: [...document.querySelectorAll('main > .body')].filter(shown).map(e => e.lang),
    nameless: [...document.querySelectorAll('svg')].filter(
      e => e.getAttribute('role') !== 'img' || !e.querySelector('title').textContent
        || !e.querySelector('desc').textContent).length,
    plots: [...document.querySelectorAll('svg.plot')].filter(shown).length,
    outside: texts.filter(t => { const a = t.getBoundingClientRect(),
      b = t.closest('svg').getBoundingClientRect();
      return a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1 || a.bottom > b.bottom + 1 })
      .map(t => t.textContent),
    background: getComputedStyle(document.body).backgroundColor,
  } })()"""


def test_a_browser_shows_it_on_a_desk_and_on_a_phone_in_both_languages(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_page(gathered(tmp_path, evaluated=True)), encoding="utf-8")
    with browser.chromium() as tab:
        for width in (360, 1280):
            for scheme, background in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(21, 24, 28)")):
                tab.size(width, 800)
                media = [{"name": "prefers-color-scheme", "value": scheme}]
                tab.devtools("Emulation.setEmulatedMedia", {"features": media})
                tab.requested()
                tab.open(page.as_uri())
                for language in ("pt-BR", "en"):
                    tab.click(f"label[lang='{language}']")
                    seen = tab.run(LOOK)
                    assert seen["wide"] <= 0
                    assert seen["languages"] == [language]
                    assert seen["nameless"] == 0
                    assert seen["plots"] == 9
                    assert seen["outside"] == []
                    assert seen["background"] == background
                assert [url for url in tab.requested() if not url.startswith("data:")] == [page.as_uri()]
                assert tab.call("/se/log", {"type": "browser"}) == []
