"""The data audit: duplicates, the split and its leaks, identifiers, and what a person is told."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from packager.data.audit import identifiers, preparation
from packager.data.audit.duplicates import (
    Joined,
    answer_clusters,
    lead_in_pairs,
    letters,
    near_pairs,
    normalise,
    question_clusters,
    words,
)
from packager.data.audit.files import audit_file, audit_recipe, describe, write_rows
from packager.data.audit.leak import leaked
from packager.data.audit.lengths import histogram
from packager.data.audit.rendering import render_audit
from packager.data.audit.split import deduplicate, group, split
from packager.data.language import language_of
from packager.data.rows.formats import Row
from packager.data.rows.table import Table, read_rows
from packager.errors import InputError
from packager.recipe.loading import ROOT
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Base, Data, Fields, Split

REAL = Path(os.environ.get("PACKAGER_REAL_DATA", ROOT.parent / "shared" / "data"))
APS = REAL / "aps" / "perguntas_respostas_APS_2000.jsonl"
MEDQUAD = REAL / "medquad" / "All-2479-Answers-retrieved-from-MedQuAD.csv"


def row(question: str, answer: str, line: int = 1, topic: str | None = None) -> Row:
    return Row((("user", question), ("assistant", answer)), topic, "a.jsonl", line)


def table(*listed: Row) -> Table:
    return Table(tuple(replace(r, line=i) for i, r in enumerate(listed, 1)), (), ("a.jsonl",), "0" * 64)


def distinct(count: int, topics: int = 0) -> list[Row]:
    """Rows that have nothing in common."""
    rng = random.Random(7)

    def text(length: int) -> str:
        return " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(length))

    return [row(text(6), text(12), i, f"t{i % topics}" if topics else None) for i in range(1, count + 1)]


def texts(listed: Sequence[Row], indices: Sequence[int]) -> set[str]:
    return {listed[i].question for i in indices}


# Duplicates


def test_case_accents_and_punctuation_do_not_count() -> None:
    assert normalise("  O que é a  ATENÇÃO primária?!") == "o que e a atencao primaria"
    assert normalise("Straße") == normalise("STRASSE")
    assert normalise("?!") == "?!"


@pytest.mark.parametrize("shingler", [letters, words])
def test_all_near_pairs_are_found_and_no_others(shingler: object) -> None:
    rng = random.Random(3)
    vocabulary = ["".join(rng.choices("abcde", k=3)) for _ in range(30)]
    made = {" ".join(rng.choices(vocabulary, k=rng.randint(1, 14))) for _ in range(150)}
    for text in sorted(made)[:100]:  # and variants that differ by a word
        split_words = text.split(" ")
        split_words[rng.randrange(len(split_words))] = rng.choice(vocabulary)
        made.add(" ".join(split_words))
    listed = sorted(made)

    def similarity(a: str, b: str) -> float:
        one, other = shingler(a), shingler(b)  # type: ignore[operator]
        return len(one & other) / len(one | other)

    for threshold in (0.5, 0.8):
        expected = {
            (a, b) for a, b in combinations(range(len(listed)), 2) if similarity(listed[a], listed[b]) >= threshold
        }
        assert expected
        found = list(near_pairs(listed, shingler, threshold))  # type: ignore[arg-type]
        assert {(min(p), max(p)) for p in found} == expected
        assert len(found) == len(expected)


def test_a_lead_in_joins_only_a_question_that_stands_alone_too() -> None:
    listed = ["O que é o SUS?", "Pode detalhar: O que é o SUS?", "Asma: quais os sintomas?", "Gota: quais os sintomas?"]
    assert list(lead_in_pairs(listed)) == [(0, 1)]


def test_equal_and_near_equal_questions_share_a_cluster() -> None:
    long = "Quais são os atributos essenciais da atenção primária à saúde no Brasil"
    found = question_clusters([long + "?", long.upper(), long + " hoje?", "O que é asma?", "O que é gota?"])
    assert found[0] == found[1] == found[2]
    assert len(set(found)) == 3
    assert len(set(answer_clusters(["Sim.", "sim", "Não."]))) == 2


def test_joined_sets_are_the_connected_components() -> None:
    joined = Joined(6)
    joined.join_equal("aabbcd")
    joined.join(1, 2)
    assert sorted(map(sorted, joined.groups())) == [[0, 1, 2, 3], [4], [5]]


# The split


def test_rows_with_an_answer_or_question_in_common_are_never_split() -> None:
    listed = distinct(60)
    listed += [row(f"outra pergunta {i} {r.answer[:9]}", r.answer) for i, r in enumerate(listed[:30])]
    listed += [
        row(r.question.upper() + "?", f"outra resposta {i} {r.question[:9]}") for i, r in enumerate(listed[10:40])
    ]
    for seed in range(20):
        config = Split(fraction=0.2, seed=seed)
        made = split(listed, group(listed, "answer"), config)
        train, heldout = [listed[i] for i in made.train], [listed[i] for i in made.heldout]
        assert sorted((*made.train, *made.heldout)) == list(range(len(listed)))
        assert not {normalise(r.answer) for r in train} & {normalise(r.answer) for r in heldout}
        assert not {normalise(r.question) for r in train} & {normalise(r.question) for r in heldout}
        assert leaked(train, heldout) == []
        assert abs(len(heldout) - 24) <= 3


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_the_file() -> None:
    listed = distinct(80, topics=5)
    listed += [row(f"variante {i}", r.answer, topic=r.topic) for i, r in enumerate(listed[:20])]
    shuffled = random.Random(1).sample(listed, len(listed))

    def heldout(rows_: list[Row], seed: int) -> set[str]:
        return texts(rows_, split(rows_, group(rows_, "answer"), Split(seed=seed)).heldout)

    assert heldout(listed, 42) == heldout(shuffled, 42)
    assert heldout(listed, 42) != heldout(listed, 43)


def test_held_out_rows_are_spread_evenly_over_topics() -> None:
    listed = distinct(100, topics=10)
    made = split(listed, group(listed, "topic"), Split(group_by="topic", fraction=0.2))
    held = [listed[i].topic for i in made.heldout]
    assert {topic: held.count(topic) for topic in set(held)} == {f"t{i}": 2 for i in range(10)}


def test_a_topic_with_one_group_stays_in_training() -> None:
    listed = [*distinct(20), row("única pergunta", "única resposta", topic="raro")]
    for seed in range(30):
        made = split(listed, group(listed, "answer"), Split(seed=seed, fraction=0.3))
        assert "única pergunta" in texts(listed, made.train)


def test_two_groups_are_enough_and_one_is_not() -> None:
    two = [row("a", "x"), row("b", "x"), row("c", "y")]
    made = split(two, group(two, "answer"), Split(fraction=0.01))
    assert made.heldout == (2,)
    one = [row("a", "x"), row("b", "x")]
    with pytest.raises(InputError, match="none can be held out"):
        split(one, group(one, "answer"), Split())


def test_a_group_larger_than_its_share_is_not_held_out() -> None:
    listed = [row(f"pergunta {i} {'abcdefgh'[i % 8] * 9}", "a mesma resposta") for i in range(60)] + distinct(40)
    made = split(listed, group(listed, "answer"), Split(fraction=0.1))
    assert len(made.heldout) == 10
    assert all(listed[i].answer != "a mesma resposta" for i in made.heldout)


def test_where_there_are_groups_enough_some_choose_and_the_others_report() -> None:
    listed = distinct(240)
    made = split(listed, group(listed, "answer"), Split(fraction=0.1))
    assert (made.heldout_groups, made.choosing_groups) == (24, 6)
    assert set(made.choosing) < set(made.heldout)
    few = split(listed[:230], group(listed[:230], "answer"), Split(fraction=0.1))
    assert (few.choosing, few.choosing_groups) == ((), 0)


def test_answers_that_repeat_by_nature_may_be_split_if_the_recipe_says_so() -> None:
    listed = [
        replace(r, messages=(r.messages[0], ("assistant", "Sim." if i % 2 else "Não.")))
        for i, r in enumerate(distinct(40))
    ]
    assert len(group(listed, "answer").rows) == 2
    made = split(listed, group(listed, "question"), Split(group_by="question"))
    assert len(made.heldout) == 4
    prepared = preparation.prepare(Data(source="a.jsonl", split=Split(group_by="question")), table(*listed))
    assert prepared.audit.split is not None
    assert prepared.audit.split.leaked == 0


def test_grouping_by_topic_needs_topics() -> None:
    listed = distinct(10)
    with pytest.raises(InputError, match=r"group_by is topic, but rows have no topic"):
        split(listed, group(listed, "topic"), Split(group_by="topic"))


def test_the_leak_check_finds_what_is_planted() -> None:
    listed = distinct(50)
    train, heldout = listed[:40], listed[40:]
    assert leaked(train, heldout) == []
    words_of = train[5].question.split(" ")
    near = " ".join([*words_of[:-1], words_of[-1][:-1]])
    planted = [
        row(train[3].question.upper() + " ?", "nova"),
        row("nova", train[4].answer + "."),
        row(near, "nova resposta"),
    ]
    assert leaked(train, [*heldout, *planted]) == [10, 11, 12]
    assert leaked(train, [*heldout, *planted], answers=False) == [10, 12]


def test_deduplicating_keeps_one_whatever_the_order() -> None:
    listed = [row("O que é?", "Isto."), row("o que e", "isto"), row("O que é?", "Aquilo.")]
    kept = deduplicate(listed)
    assert {(r.question, r.answer) for r in kept} == {("O que é?", "Isto."), ("O que é?", "Aquilo.")}
    assert {(r.question, r.answer) for r in deduplicate(listed[::-1])} == {(r.question, r.answer) for r in kept}


# Identifiers


def cpf(rng: random.Random, form: str = "{}.{}.{}-{}") -> str:
    """A CPF by the long-hand rule: remainder below 2 gives 0, else 11 minus it."""
    digits = [rng.randrange(10) for _ in range(9)]
    for length in (10, 11):
        remainder = sum(d * w for d, w in zip(digits, range(length, 1, -1), strict=True)) % 11
        digits.append(0 if remainder < 2 else 11 - remainder)
    text = "".join(map(str, digits))
    return form.format(text[:3], text[3:6], text[6:9], text[9:])


def cns(rng: random.Random) -> str:
    """A provisional CNS (begins with 7): 15 digits whose weighted sum is a multiple of 11."""
    while True:
        digits = [7, *(rng.randrange(10) for _ in range(14))]
        if sum(d * w for d, w in zip(digits, range(15, 0, -1), strict=True)) % 11 == 0:
            return "".join(map(str, digits))


def test_every_true_cpf_is_found_and_a_wrong_digit_is_not() -> None:
    rng = random.Random(11)
    for _ in range(200):
        number = cpf(rng)
        assert identifiers.redact(f"atendido, {number}, ontem") == ("atendido, [CPF], ontem", ("CPF",))
        wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
        assert "CPF" not in identifiers.redact(wrong)[1]
        bare = cpf(rng, "{}{}{}{}")
        assert identifiers.redact(f"CPF: {bare}")[1] == ("CPF",)
        assert "CPF" not in identifiers.redact(f"o código {bare}")[1]


def test_every_true_cns_is_found_and_a_wrong_digit_is_not() -> None:
    rng = random.Random(12)
    for _ in range(200):
        number = cns(rng)
        spaced = f"{number[:3]} {number[3:7]} {number[7:11]} {number[11:]}"
        assert identifiers.redact(f"({spaced})") == ("([CNS])", ("CNS",))
        assert identifiers.redact(f"cartão do SUS {number}")[1] == ("CNS",)
        assert identifiers.redact(f"lote {number}")[1] == ()
        wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
        assert identifiers.redact(f"cartão do SUS {wrong}")[1] == ()


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Ligue (21) 98765-4321.", "Ligue [TELEFONE]."),
        ("+55 21 98765-4321", "[TELEFONE]"),
        ("fale em 21 98765-4321", "fale em [TELEFONE]"),
        ("telefone 3111-1000", "telefone [TELEFONE]"),
        ("WhatsApp: 21987654321", "WhatsApp: [TELEFONE]"),
        ("escreva a joana.lima+1@exemplo.com.br.", "escreva a [E-MAIL]."),
        ("A paciente Maria da Silva, 45 anos, hipertensa", "A paciente [NOME], 45 anos, hipertensa"),
        ("Paciente João, 30 anos", "Paciente [NOME], 30 anos"),
        ("PACIENTE MARIA DE LOURDES", "PACIENTE [NOME]"),
        ("paciente maria das dores refere tosse", "paciente [NOME] refere tosse"),
        ("o paciente Kleyton Prado chegou", "o paciente [NOME] chegou"),
        ("a paciente, dona Rosa, voltou", "a paciente, dona [NOME], voltou"),
        ("Nome do paciente: Iracema Potira", "Nome do paciente: [NOME]"),
        ("Paciente: Ana", "Paciente: [NOME]"),
        ("o paciente chamado Pedro mora só", "o paciente chamado [NOME] mora só"),
    ],
)
def test_identifiers_are_found_in_context(text: str, redacted: str) -> None:
    assert identifiers.redact(text)[0] == redacted


@pytest.mark.parametrize(
    "text",
    [
        "Disque 136, 192 ou 0800 644 6645",
        "Lei nº 11.350/2006, art. 3º",
        "de 4500-5000 casos por ano",
        "CNPJ 12.345.678/0001-95",
        "ISBN 978-85-334-1939-1, CEP 20040-020",
        "entre 2019 e 2021, 120 x 80 mmHg",
        "111.111.111-11",
        "O paciente com HIV e o Paciente Idoso",
        "Segurança do Paciente Na Atenção Primária",
        "o paciente Testemunha de Jeová recusa",
        "o paciente Ministério da Saúde orienta",
        "PACIENTE COM TUBERCULOSE",
        "um paciente Diabético",
        "call 1-800-994-9662 or (301) 496-5248",
    ],
)
def test_what_is_no_patient_identifier_is_left_alone(text: str) -> None:
    assert identifiers.redact(text) == (text, ())


def with_identifiers() -> Table:
    rng = random.Random(5)
    listed = distinct(30)
    listed[3] = row("E o paciente João Souza?", f"CPF {cpf(rng)}, telefone (21) 98765-4321", 4)
    listed[8] = row("Contato?", "joana@exemplo.com", 9)
    return table(*listed)


SECRETS = ("João", "98765", "joana@")


def test_identifiers_stop_the_build_and_are_counted_but_never_shown() -> None:
    config = Data(source="dir/a.jsonl")
    prepared = preparation.prepare(config, with_identifiers())
    with pytest.raises(InputError) as caught:
        preparation.refuse(config, prepared)
    said = caught.value.format_message()
    assert "CPF: 1 (line 4)" in said
    assert "E-MAIL: 1 (line 9)" in said
    assert "data.identifiers: redact" in said
    for text in (said, render_audit(prepared.audit), prepared.audit.model_dump_json()):
        assert not any(secret in text for secret in SECRETS)


def test_redacting_replaces_them_in_the_rows() -> None:
    config = Data(source="a.jsonl", identifiers="redact")
    prepared = preparation.prepare(config, with_identifiers())
    preparation.refuse(config, prepared)
    said = str((*prepared.train, *prepared.heldout))
    assert not any(secret in said for secret in SECRETS)
    assert "E o paciente [NOME]?" in said
    assert {f.kind: f.count for f in prepared.audit.identifiers} == {"CPF": 1, "TELEFONE": 1, "E-MAIL": 1, "NOME": 1}
    assert "replaced" in render_audit(prepared.audit)


def test_allowing_leaves_them() -> None:
    config = Data(source="a.jsonl", identifiers="allow")
    prepared = preparation.prepare(config, with_identifiers())
    preparation.refuse(config, prepared)
    assert "joana@" in str((*prepared.train, *prepared.heldout))


# The report


def test_bad_rows_are_reported_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = "".join(json.dumps({"question": r.question, "answer": r.answer}) + "\n" for r in distinct(20))
    path.write_text(good + '{"question": "a"}\n{oops\n' * 2, encoding="utf-8")
    prepared = audit_file(str(path))
    said = render_audit(prepared.audit)
    assert "24 rows read, 20 kept" in said
    assert "missing field 'answer' (lines 21, 23)" in said
    with pytest.raises(InputError, match="4 of 24 rows"):
        preparation.refuse(Data(source=str(path)), prepared)


def test_a_histogram_has_round_steps_and_holds_every_row() -> None:
    rng = random.Random(2)
    for high in (1, 9, 100, 513, 40_000):
        lengths = [rng.randint(1, high) for _ in range(500)]
        bins = histogram(lengths)
        assert sum(b.rows for b in bins) == 500
        assert len(bins) <= 13
        assert all(b.rows == sum(b.low <= n <= b.high for n in lengths) for b in bins)


def test_the_language_of_a_text() -> None:
    assert language_of("Acesso de primeiro contato, longitudinalidade, integralidade e coordenação.") == "pt"
    assert language_of("The disease is caused by a change in one gene.") == "en"
    assert language_of("La enfermedad es causada por los cambios en un gen.") == "es"
    assert language_of("12 34 ???") == "unknown"


def test_another_language_than_the_recipes_is_pointed_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [{"question": r.question, "answer": f"The {r.answer} of the disease"} for r in distinct(20)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    recipe = Recipe(name="x", language="pt-BR", base=Base(model="hf:a/b"), data=Data(source=str(path)))
    prepared = audit_recipe(recipe)
    assert prepared.audit.languages == {"en": 20}
    assert prepared.audit.other_language is not None
    assert (prepared.audit.other_language.rows, prepared.audit.other_language.share) == (20, 1.0)
    assert any("not in pt-BR" in note for note in prepared.audit.notes)


@pytest.mark.parametrize(
    ("columns", "format_", "fields"),
    [
        (("pergunta", "resposta", "tema"), "qa", ("pergunta", "resposta", "tema")),
        (("input", "output"), "qa", ("input", "output", None)),
        (("Question", "Answer"), "qa", ("Question", "Answer", None)),
        (("Resposta_Final", "Pergunta_Final"), "qa", ("Pergunta_Final", "Resposta_Final", None)),
        (("id", "Dúvida", "Orientação", "Área"), "qa", ("Dúvida", "Orientação", "Área")),
        (("prompt", "completion"), "qa", ("prompt", "completion", None)),
        (("conversations",), "sharegpt", None),
        (("instruction", "input", "output"), "alpaca", None),
        (("messages",), "messages", None),
        (("AnswerID", "Answer"), "medquad", None),
    ],
)
def test_columns_are_guessed_by_their_names(
    tmp_path: Path, columns: tuple[str, ...], format_: str, fields: tuple[str, str, str | None] | None
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(dict.fromkeys(columns, "x")) + "\n", encoding="utf-8")
    config = describe(str(path)).data
    assert config.format == format_
    if fields:
        assert (config.fields.question, config.fields.answer, config.fields.topic) == fields


def test_columns_that_say_nothing_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for columns in (("a", "b", "c"), ("id", "texto"), ("frage", "antwort")):
        path.write_text(json.dumps(dict.fromkeys(columns, "x")) + "\n", encoding="utf-8")
        with pytest.raises(InputError, match=f"It has {', '.join(columns)}") as caught:
            describe(str(path))
        assert caught.value.fix == "say so: --question COLUMN --answer COLUMN"


def test_cleaned_rows_are_written_in_order_and_read_back(tmp_path: Path) -> None:
    source, written = tmp_path / "a.csv", tmp_path / "clean.jsonl"
    body = "".join(f'{r.question};" {r.answer} ";t{i % 3}\n' for i, r in enumerate(distinct(20)))
    source.write_text("pergunta;resposta;tema\n" + body + "sem resposta;;t1\n", encoding="utf-8")
    assert write_rows(audit_file(str(source), redact=True), written) == 20
    again = read_rows(Data(source=str(written), fields=Fields(topic="topic")))
    assert [(r.question, r.answer) for r in again.rows] == [(r.question, r.answer) for r in distinct(20)]
    assert not again.bad


@pytest.mark.skipif(not APS.is_file(), reason=f"PACKAGER_REAL_DATA: no {APS}")
def test_the_real_aps_file_is_seen_through() -> None:
    prepared = audit_file(str(APS), language="pt-BR")
    found, said = prepared.audit, render_audit(prepared.audit)
    assert "The 2,000 rows hold only 32 distinct questions and 10 distinct answers" in said
    assert "12 questions once near-duplicates are joined" in said
    assert "data.deduplicate: true keeps one of each, 32 rows" in said
    assert found.random_split is not None
    assert found.random_split.answer_in_training == found.random_split.heldout_rows
    assert found.split is not None
    assert (found.split.leaked, found.split.train_groups, found.split.heldout_groups) == (0, 9, 1)
    assert found.identifiers == ()
    assert found.other_language is not None
    assert found.other_language.rows == 0


@pytest.mark.skipif(not MEDQUAD.is_file(), reason=f"PACKAGER_REAL_DATA: no {MEDQUAD}")
def test_the_real_medquad_file_is_split_without_a_leak() -> None:
    prepared = audit_file(str(MEDQUAD))
    found = prepared.audit
    assert (found.rows_read, found.duplicates.questions, found.duplicates.answers) == (2479, 1805, 1896)
    assert found.random_split is not None
    assert found.random_split.answer_in_training > 0.2 * found.random_split.heldout_rows
    assert found.split is not None
    assert found.split.leaked == 0
    assert abs(found.split.heldout_rows - 248) < 5
    assert not {r.answer for r in prepared.heldout} & {r.answer for r in prepared.train}
    assert any("')'" in note for note in found.notes)
