"""Every metric against values computed by hand or by its definition."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from packager.artifacts.evaluation import BASE, TUNED
from packager.cli import comparison
from packager.data.letters import occurs
from packager.errors import InputError
from packager.evaluation import (
    benchmarks,
    bertscore,
    bootstrap,
    criteria,
    endpoint,
    items,
    judge,
    measures,
    overlap,
    probes,
)
from packager.prompt.masking import Encoded
from packager.recipe.evaluation import Benchmarks, BertScore, Evaluate, Judge, Probe

HOW = measures.Resampled(resamples=200, seed=1)


def item(row: int, said: str) -> items.ValidationRow:
    return items.ValidationRow(
        set="heldout",
        row=row,
        question="?",
        reference=said,
        said=said,
        prompt=Encoded((1,)),
        encoded=Encoded((1, 2), (False, True)),
        group=row,
    )


def outcome(nll: float, tokens: int, **scores: float) -> measures.Outcome:
    likelihood = {"nll": nll, "entropy": 0.5 * tokens, "correct": 1, "tokens": tokens}
    return measures.Outcome(likelihood, {"text": "sim", "tokens": 1, "stopped": True, "seconds": 0.1}, scores)


def test_accented_words_are_words() -> None:
    assert overlap.words("Saúde e ATENÇÃO, 37,5 °C: pré-natal") == [
        "saúde",
        "e",
        "atenção",
        "37",
        "5",
        "c",
        "pré",
        "natal",
    ]
    assert overlap.words("cafe\u0301") == overlap.words("café")


def test_rouge_by_hand() -> None:
    """Answer: 5 words, reference: 6; 4 shared; 2 shared pairs; longest common subsequence 4."""
    found = overlap.rouge("a equipe cuida da família", "a equipe de saúde cuida família")
    assert found["rouge1.precision"] == pytest.approx(4 / 5, abs=1e-9)
    assert found["rouge1.recall"] == pytest.approx(4 / 6, abs=1e-9)
    assert found["rouge1.f1"] == pytest.approx(8 / 11, abs=1e-9)
    assert found["rouge2.precision"] == pytest.approx(1 / 4, abs=1e-9)
    assert found["rouge2.recall"] == pytest.approx(1 / 5, abs=1e-9)
    assert found["rougeL.f1"] == pytest.approx(8 / 11, abs=1e-9)


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("The nurse visits the family every two weeks", "A nurse of the team visits the family each week"),
        ("O agente visita a casa. O agente visita a casa.", "O agente visita cada casa uma vez por semana"),
        ("nada em comum", "a b c d e"),
    ],
)
def test_rouge_is_what_the_package_computes_where_no_word_has_an_accent(answer: str, reference: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    found = overlap.rouge(answer, reference)
    for kind, theirs in RougeScorer(list(overlap.KINDS)).score(reference, answer).items():
        ours = [found[f"{kind}.{part}"] for part in ("precision", "recall", "f1")]
        assert ours == pytest.approx(list(theirs), abs=1e-9), kind


def test_token_f1_counts_a_word_as_often_as_it_occurs() -> None:
    found = overlap.token_f1("dor dor febre", "dor febre febre tosse")
    assert found["token_f1.precision"] == pytest.approx(2 / 3)
    assert found["token_f1.recall"] == pytest.approx(2 / 4)
    assert found["token_f1.f1"] == pytest.approx(4 / 7)
    assert overlap.token_f1("", "")["token_f1.f1"] == 1
    assert overlap.token_f1("", "dor")["token_f1.f1"] == 0


def test_exact_ignores_case_and_punctuation_only() -> None:
    assert overlap.exact("Sim, na unidade.", "sim na unidade") == 1
    assert overlap.exact("Sim", "não") == 0


def test_bits_and_perplexity_by_hand() -> None:
    """Two rows of 2 and 6 tokens, 4 and 8 nats; 'são' is 3 characters and 4 bytes, 'oi' 2 and 2."""
    rows = [item(0, "são"), item(1, "oi")]
    result = measures.result(TUNED, "heldout", rows, [outcome(4.0, 2), outcome(8.0, 6)], HOW)
    value = {m.name: m.value for m in result.measures}
    assert value["loss"] == pytest.approx(12 / 8)
    assert value["perplexity"] == pytest.approx(math.exp(1.5))
    assert value["bits_per_token"] == pytest.approx(1.5 / math.log(2))
    assert value["perplexity"] == pytest.approx(2 ** value["bits_per_token"])
    assert value["bits_per_character"] == pytest.approx(12 / math.log(2) / 5)
    assert value["bits_per_byte"] == pytest.approx(12 / math.log(2) / 6)
    assert value["token_accuracy"] == pytest.approx(2 / 8)
    assert value["entropy"] == pytest.approx(0.5)


def test_the_bootstrap_draws_rows() -> None:
    same = bootstrap.mean("x", [0.25] * 10, "share", "higher", 100, 0)
    assert (same.value, same.low, same.high) == (0.25, 0.25, 0.25)
    one = bootstrap.mean("x", [0.0] * 50 + [1.0] * 50, "share", "higher", 2000, 3)
    assert one.low is not None
    assert one.high is not None
    deviation = 0.5 / math.sqrt(100)
    assert one.low == pytest.approx(0.5 - 1.96 * deviation, abs=0.02)
    assert one.high == pytest.approx(0.5 + 1.96 * deviation, abs=0.02)
    assert one == bootstrap.mean("x", [0.0] * 50 + [1.0] * 50, "share", "higher", 2000, 3)
    assert bootstrap.draws(7, 20, 5).sum(axis=1).tolist() == [7.0] * 20


def test_a_single_row_has_no_interval() -> None:
    assert bootstrap.mean("x", [0.5], "share", "higher", 100, 0).low is None
    assert bootstrap.mean("x", [0.1, 0.2, 0.3, 0.4, 0.5], "share", "higher", 100, 0).low is None


def test_near_duplicates_are_one_piece_of_evidence() -> None:
    """Ten groups of ten equal rows tell no more than ten rows."""
    values = [float(i % 2) for i in range(10)]
    tenfold = [value for value in values for _ in range(10)]
    groups = [i for i in range(10) for _ in range(10)]
    once = bootstrap.mean("x", values, "share", "higher", 500, 1)
    grouped = bootstrap.mean("x", tenfold, "share", "higher", 500, 1, groups)
    assert (once.low, once.high) == (grouped.low, grouped.high)
    alone = bootstrap.mean("x", tenfold, "share", "higher", 500, 1)
    assert alone.low is not None
    assert grouped.low is not None
    assert alone.low > grouped.low + 0.1
    assert grouped.n == 100
    two = bootstrap.mean("x", tenfold, "share", "higher", 500, 1, [i // 50 for i in range(100)])
    assert two.low is None, "two groups show nothing, however many rows they have"


def test_differences_are_paired() -> None:
    rows = [item(i, "oi") for i in range(8)]
    alike = {"rougeL.f1": 0.5, "rouge1.f1": 0.5, "token_f1.f1": 0.5}
    ours = [outcome(1.0 + i, 2, **alike) for i in range(8)]
    theirs = [outcome(3.0 + i, 2, **{name: 0.25 for name in alike}) for i in range(8)]
    results = {m: measures.result(m, "heldout", rows, o, HOW) for m, o in ((BASE, theirs), (TUNED, ours))}
    gaps = {d.measure: d for d in measures.differences("heldout", rows, results, {BASE: theirs, TUNED: ours}, HOW)}
    assert gaps["loss"].value == pytest.approx(-1.0)
    assert gaps["loss"].low == pytest.approx(gaps["loss"].high), "every row improved alike"
    assert gaps["rougeL.f1"].value == pytest.approx(0.25)
    assert "token_f1.f1" not in gaps, "the same figure as rouge1.f1"
    few = {m: o[:5] for m, o in ((BASE, theirs), (TUNED, ours))}
    assert not list(measures.differences("heldout", rows[:5], results, few, HOW)), "five rows show nothing"


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        ("clots", "Clotting is unlikely", False),
        ("anticoag*", "the ANTICOAGULANT effect", True),
        ("hemorragia", "Hemorragía grave", True),
        ("difficile", "Clostridioides difficile.", True),
        ("oral vancomycin", "oral\nvancomycin", True),
    ],
)
def test_words_of_probes(word: str, text: str, found: bool) -> None:
    assert occurs(word, text) is found


def test_a_probe_wants_and_refuses_words() -> None:
    probe = Probe(ask="?", expect_all=("bleeding",), expect_any=("INR", "warfarin"), reject_any=("clots",))
    judged = probes.judge(probe, {"base": "Blood clots; check the INR.", "tuned": "Bleeding: warfarin acts longer."})
    assert [a.passed for a in judged.answers] == [False, True]
    assert judged.answers[0].missing == ("bleeding",)
    assert judged.answers[0].forbidden == ("clots",)


def test_bertscore_by_hand() -> None:
    """Cosines of the answer's two tokens with the reference's one: 1 and 0."""
    import torch

    answer, reference = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    found = bertscore.greedy(answer, reference)
    assert found["bertscore.precision"] == pytest.approx(0.5)
    assert found["bertscore.recall"] == pytest.approx(1.0)
    assert found["bertscore.f1"] == pytest.approx(2 / 3)


def test_a_judge_that_does_not_answer_in_json_is_not_understood() -> None:
    good = '{"A": {"accuracy": 3, "style": 2}, "B": {"accuracy": 1, "style": 1}}'
    assert criteria.parse(good, 2) == [{"accuracy": 3, "style": 2}, {"accuracy": 1, "style": 1}]
    assert criteria.parse(good.replace("3", "4"), 2) is None
    assert criteria.parse(good, 3) is None
    assert criteria.parse("Both are fine.", 2) is None


def test_the_key_of_an_endpoint_is_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*endpoint.ADDRESS, *endpoint.KEY):
        monkeypatch.delenv(name, raising=False)
    assert endpoint.find(tmp_path / ".env") is None
    (tmp_path / ".env").write_text("PACKAGER_JUDGE_URL=http://127.0.0.1:9/v1\nexport PACKAGER_JUDGE_KEY='geheim'\n")
    found = endpoint.find(tmp_path / ".env")
    assert found is not None
    assert found.key == "geheim"
    assert "geheim" not in repr(found)


def test_a_key_goes_only_to_the_address_beside_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of one prefix and one place; no `.env` of the folder that a command is run in."""
    for name in (*endpoint.ADDRESS, *endpoint.KEY):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "geheim")
    monkeypatch.setenv("PACKAGER_JUDGE_URL", "http://127.0.0.1:9/v1")
    assert endpoint.find(tmp_path / "none") == endpoint.Endpoint("http://127.0.0.1:9/v1")
    monkeypatch.delenv("PACKAGER_JUDGE_URL")
    (tmp_path / ".env").write_text("OPENAI_BASE_URL=http://evil.example/v1\n")
    found = endpoint.find(tmp_path / ".env")
    assert found is not None
    assert found.key == ""
    monkeypatch.chdir(tmp_path)
    assert endpoint.find() is None or endpoint.find() != found
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    found = endpoint.find(tmp_path / ".env")
    assert found is not None
    assert (found.url, found.key) == ("http://127.0.0.1:9/v1", "geheim")


def test_a_missing_judge_is_said_beforehand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in endpoint.ADDRESS:
        monkeypatch.delenv(name, raising=False)
    (left,) = judge.unreachable(Judge(model="x"))
    assert "PACKAGER_JUDGE_URL" in left.fix
    (left,) = bertscore.unreachable(Evaluate(metrics=("bertscore",)))
    assert "encoder" in left.fix


def test_a_recipe_that_was_not_evaluated_says_how(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        comparison.compared([tmp_path / "tiny"], "heldout")
    assert error.value.fix is not None
    assert "packager evaluate tiny" in error.value.fix


def test_what_was_measured_with_is_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The questions of a benchmark, wherever they lie, and the files of BERTScore's encoder."""
    questions, encoder = tmp_path / "medmcqa", tmp_path / "encoder"
    questions.mkdir()
    encoder.mkdir()
    (encoder / "config.json").write_text("{}")
    wanted = Evaluate(metrics=("bertscore",), bertscore=BertScore(encoder=str(encoder), layer=1),
                      benchmarks=Benchmarks(tasks=("medmcqa",)))  # fmt: skip
    monkeypatch.setenv(benchmarks.FOLDER, str(tmp_path))
    seen = []
    for text in ("{}\n", '{"question": 1}\n'):
        (questions / "q.jsonl").write_text(text)
        seen.append(str(benchmarks.fingerprint(wanted.benchmarks)))
    for size in (3, 4):
        (encoder / "model.safetensors").write_bytes(b"x" * size)
        seen.append(str(bertscore.fingerprint(wanted)))
    assert len(set(seen)) == 4
    assert benchmarks.fingerprint(None) == []
    assert bertscore.fingerprint(Evaluate()) == []
