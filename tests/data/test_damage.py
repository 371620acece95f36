"""Damaged text and contradictions: each kind is found where it is, and not where it is not."""

from __future__ import annotations

import pytest

from packager.data.audit.contradictions import contradictions
from packager.data.audit.damage import damaged
from packager.data.audit.duplicates import question_clusters
from packager.data.rows.formats import Row
from packager.data.rows.mending import mended

GOOD = "A equipe da unidade explica para a família e registra no prontuário, sem pressa."


def row(question: str, answer: str, line: int = 1) -> Row:
    return Row((("user", question), ("assistant", answer)), None, "a.jsonl", line)


def kinds(*rows: Row) -> set[str]:
    return {kind.name for kind, _ in damaged(rows)}


@pytest.mark.parametrize(
    ("kind", "question", "answer"),
    [
        ("mojibake", "O que Ã© a vacina?", GOOD),
        ("mojibake", "O que é?", "Ela disse â€œsimâ€\x9d ao agente."),
        ("mojibake", "O que é?", "A vacina├º├úo ├® direito de todos."),
        ("mojibake", "O que é?", "A press√£o alta tem tratamento."),
        ("escape", "O que é?", "A orienta\\u00e7\\u00e3o da equipe."),
        ("escape", "O que é?", "Primeiro, meça.\\nDepois, anote."),
        ("escape", "O que é?", "A vacina%C3%A7%C3%A3o protege."),
        ("escape", "O que é?", "A vacina=C3=A7=C3=A3o protege."),
        ("placeholder", "O que é?", "Procure %(nome)s na unidade."),
        ("placeholder", "O que é?", "Procure ${nome} na unidade."),
        ("html", "O que é?", "<p>A equipe explica.</p>"),
        ("html", "O que é?", "A orienta&ccedil;&atilde;o &eacute; esta."),
        ("lost", "O que é?", "A orienta\ufffd\ufffdo é esta."),
        ("lost", "O que é?", "A orienta??o é procurar a unidade."),
        ("excel", "O que é?", "Meça._x000D_\nAnote."),
        ("control", "O que é?", "A equipe\x0b explica."),
        ("control", "O que é?", "A equipe\u200b explica."),
        ("cut", "O que é?", "A equipe da unidade explica para a família e também para"),
        ("cut", "O que é?", "A equipe da unidade explica o que fazer em cada caso: medir,"),
        ("pasted", "Você é um assistente da UBS. O que é vacina?", GOOD),
        ("pasted", "[INST] O que é vacina? [/INST]", GOOD),
        ("echo", "O que é a vacina da gripe?", "O que é a vacina da gripe? É um cuidado."),
        ("placeholder", "O que é?", "Procure {nome} na unidade."),
        ("placeholder", "O que é?", "Procure [inserir telefone] na unidade."),
        ("phrase", "O que é?", "Claro! Aqui está a resposta: é um cuidado."),
        ("phrase", "O que é?", "Como um modelo de linguagem, não posso dizer."),
    ],
)
def test_damage_is_found(kind: str, question: str, answer: str) -> None:
    if kind == "mojibake":
        pytest.importorskip("ftfy", reason="ftfy is not installed: pip install -e .")
    assert kinds(row(question, answer)) == {kind}


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        "Se o valor for <5 mg/dL ou >10, repita; A&B e P&D são siglas.",
        "NÃO dê o remédio: a MAÇÃ é uma fruta. São Paulo, à noite, 37,5 °C.",
        "Veja https://saude.gov.br/busca?q=vacina&lang=pt para saber mais.",
        "O código é f(x) = {x: 1}; a chave vazia {} não é nada.",
        "Sim.",
        "Leia em https://saude.gov.br/vacina%C3%A7%C3%A3o hoje mesmo.",
        "A raiz é √2 e a pasta é C:\\notas.",
        "Dúvidas?Procure a unidade.",
        "Lista:\n- medir\n- anotar",
        "Criança 👩🏽‍⚕️ atendida.",
    ],
)
def test_good_text_is_not_damage(answer: str) -> None:
    assert kinds(row("O que é a vacina?", answer)) == set()


def test_a_long_beginning_that_most_questions_share_is_a_pasted_prompt() -> None:
    head = "Responda com clareza e em poucas palavras, como quem fala com a família: "
    rows = [row(f"{head}tema número {i}?", GOOD, i) for i in range(10)]
    assert "pasted" in kinds(*rows)
    assert "pasted" not in kinds(*(row(f"Sobre pré-natal: tema {i}?", GOOD, i) for i in range(10)))


def test_an_answer_without_an_end_is_cut_where_all_others_have_one() -> None:
    rows = [row(f"O que é {i}?", GOOD, i) for i in range(20)]
    assert kinds(*rows, row("E?", "A equipe da unidade explica para a família e registra no pron", 21)) == {"cut"}


@pytest.mark.parametrize(
    ("given", "kinds", "wanted"),
    [
        ("pÃºblico", ("mojibake",), "público"),
        ("pÃºblico", ("html",), "pÃºblico"),
        ("vacina├º├úo ├® direito", ("mojibake",), "vacinação é direito"),
        ("press√£o", ("mojibake",), "pressão"),
        ("<p>um</p><p>dois<br>três</p><ul><li>a</li><li>b</li></ul>", ("html",), "um\ndois\ntrês\n- a\n- b"),
        ("a &lt; 5&nbsp;mg", ("html",), "a < 5 mg"),
        ("um_x000D_\ndois", ("excel",), "um\ndois"),
        ("um\x0b\u200bdois", ("control",), "umdois"),
    ],
)
def test_only_what_is_named_is_mended(given: str, kinds: tuple[str, ...], wanted: str) -> None:
    if "Ã" in given:
        pytest.importorskip("ftfy", reason="ftfy is not installed: pip install -e .")
    assert mended(given, kinds) == wanted


DOSE = "Qual é a dose de dipirona para adultos?"
LONGER = "Qual é a dose de dipirona recomendada pela equipe da unidade para adultos com febre e dor?"


@pytest.mark.parametrize(
    ("questions", "answers", "kind"),
    [
        ((DOSE, DOSE), ("São 500 mg de 6 em 6 horas.", "São 750 mg de 6 em 6 horas."), "numbers"),
        ((LONGER, LONGER.replace("adultos", "os adultos")), ("São 500 mg.", "São 1 g."), "numbers"),
        ((DOSE, "Explique: " + DOSE), ("São duas doses.", "São três doses."), "numbers"),
        (("Pode dar mel ao bebê?",) * 2, ("Sim, pode.", "Não, antes de um ano não."), "yes or no"),
        (("Pode dar mel ao bebê?",) * 2, ("Ele pode tomar mel.", "Ele não pode tomar mel."), "yes or no"),
        ((DOSE, DOSE), ("São 1000 mg.", "É 1 g."), None),
        ((DOSE, DOSE), ("São 500 mg.", "São 500 mg, até 4 vezes ao dia."), None),
        (("O que fazer no caso 3?", "O que fazer no caso 4?"), ("Tome 3 doses.", "Tome 4 doses."), None),
        ((DOSE, "Quem cuida da sala de vacina?"), ("São 500 mg.", "São 3 pessoas."), None),
    ],
)
def test_answers_that_disagree_are_listed(
    questions: tuple[str, str], answers: tuple[str, str], kind: str | None
) -> None:
    rows = [row(q, a, line) for line, (q, a) in enumerate(zip(questions, answers, strict=True), 1)]
    found = list(contradictions(rows, question_clusters(list(questions))))
    assert [one.kind for one in found] == ([kind] if kind else [])
    if found:
        assert (found[0].one.line, found[0].other.line) == (1, 2)
