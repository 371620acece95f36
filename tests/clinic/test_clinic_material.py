"""The approved material in the clinic's program: what it says, in which mode, and that it is the build's own search."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import clinic_bundle
import pytest
from clinic_bundle import PASSAGES, TARGET, Started

from packager.knowledge import search
from packager.package.verify import IN_BUNDLE

QUESTIONS = ["oq e dengue", "pq a agua leva hipoclorito", "dipirona qts gotas", "", "quem ganhou o jogo", "coto umbigo"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clinic_bundle.program_of(tmp_path_factory)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programs")


def bundle_of(folder: Path, program: Path, programs: Path, mode: str, approved_by: str = "Ana, COREN 12") -> Path:
    made = clinic_bundle.make(folder, program, {"mode": mode, "approved_by": approved_by})
    return clinic_bundle.with_material(made, programs)


@contextmanager
def served(bundle: Path, *more: str) -> Iterator[Started]:
    with clinic_bundle.started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador", *more]) as running:
        yield running


def asked(running: Started, question: str) -> dict[str, Any]:
    status, body = running.ask("/buscar", {"question": question})
    assert status == 200, body
    return dict(json.loads(body))


def test_approved_answers_without_a_server(tmp_path: Path, program: Path, programs: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle", program, programs, "approved")
    (bundle / "runtime" / TARGET / clinic_bundle.SERVER).unlink()  # nothing of the model is needed
    clinic_bundle.close(bundle)
    with served(bundle) as running:
        assert "só o material aprovado" in running.said
        assert running.ask("/estado")[1] == b'{"state":"free","mode":"approved"}'
        assert running.children() == []
        found = asked(running, "oq e dengue")
        assert (found["mode"], found["verdict"]) == ("approved", "found")
        best, passage = found["passages"][0], PASSAGES[0]
        assert (best["text"], best["source"], best["date"], best["page"]) == (
            passage.text, passage.source, passage.date, passage.page,
        )  # fmt: skip
        assert "prompt" not in found
        near = asked(running, "a agua da enchente")  # about the same, and not answered
        assert (near["verdict"], near["passages"][0]["text"]) == ("near", PASSAGES[1].text)
        assert asked(running, "quem ganhou o jogo de ontem")["passages"] == []
        assert asked(running, "quantas gotas de dipirona para 12 kg")["verdict"] in ("dose", "far")
        assert running.ask("/perguntar", {"messages": []})[0] == 403  # the model is silent
        assert running.ask("/contar", {"messages": []})[0] == 403


def test_assisted_gives_the_model_what_is_shown_and_holds_its_words(
    tmp_path: Path, program: Path, programs: Path
) -> None:
    with served(bundle_of(tmp_path / "bundle", program, programs, "assisted")) as running:
        found = asked(running, "como prepara a agua com hipoclorito")
        shown = "".join(f"{number}. {one['text']}\n" for number, one in enumerate(found["passages"], 1))
        assert found["prompt"].startswith(f"Material aprovado:\n{shown}\nPergunta:")
        assert found["places"] == [one["place"] for one in found["passages"]]
        assert found["prompt"].endswith("\n\nPergunta: como prepara a agua com hipoclorito")
        assert found["places"][0] == 1
        near = asked(running, "a agua da enchente")
        assert near["passages"]
        assert "prompt" not in near  # from what may not be the answer, nothing is written
        answer = "Use 2 gotas para cada litro de água. Use 20 gotas para cada litro de água. Beba chá de boldo."
        status, body = running.ask("/conferir", {"answer": answer, "places": found["places"]})
        sentences = json.loads(body)["sentences"]
        assert status == 200
        assert [(one["text"], bool(one["why"])) for one in sentences] == [
            ("Use 2 gotas para cada litro de água.", False),
            ("Use 20 gotas para cada litro de água.", True),
            ("Beba chá de boldo.", True),
        ]
        assert running.ask("/perguntar", {"messages": [{"role": "user", "content": "Oi"}]})[0] == 200


def test_a_mode_is_only_lowered(tmp_path: Path, program: Path, programs: Path) -> None:
    bundle = bundle_of(tmp_path / "assisted", program, programs, "assisted")
    with served(bundle, "--modo", "aprovado") as running:
        assert asked(running, "oq e dengue")["mode"] == "approved"
        assert running.ask("/perguntar", {"messages": []})[0] == 403
    for mode, said in (("livre", "só pode ser mais restrito"), ("outro", "não existe")):
        code, words = clinic_bundle.run(bundle, "iniciar.sh", "--sem-navegador", "--modo", mode)
        assert (code, said in words) == (2, True), words
    free = clinic_bundle.make(tmp_path / "free", program)
    code, words = clinic_bundle.run(free, "iniciar.sh", "--sem-navegador", "--modo", "aprovado")
    assert (code, "não traz material," in words) == (2, True)


def test_strangers_find_nothing(tmp_path: Path, program: Path, programs: Path) -> None:
    with served(bundle_of(tmp_path / "bundle", program, programs, "approved")) as running:
        for path in ("/buscar", "/conferir"):
            assert running.ask(path, {"question": "dengue"}, X_Chave="errada")[0] == 401
            assert running.ask(path, {"question": "dengue"}, Origin="http://outro.example")[0] == 403
            assert running.ask(path, {"question": "dengue"}, Host="outro.example")[0] == 421
            assert running.ask(path, {"question": "dengue"}, Content_Type="text/plain")[0] == 415
            for body in (b"", b"{", b'{"question": 3}', b'{"answer": null}', b"[" * 5000):
                assert running.ask(path, body)[0] == 400
        places = {"answer": "Dengue é uma doença.", "places": [99999, -1]}
        assert b"nothing:" in running.ask("/conferir", places)[1]
        for many in ("ﷺ".encode() * 600, b"\xef7:" * 600):  # 18 signs each in e5.c, which makes room for 12
            assert running.ask("/buscar", b'{"question": "' + many + b'"}')[0] == 200
        assert asked(running, 'dengue "\\\n\u0007 é')["passages"]


@pytest.mark.parametrize("name", ["pacote/knowledge.bin", "pacote/knowledge.jsonl", "pacote/e5-small-enpt-q4.bin"])
def test_altered_material_is_not_used(tmp_path: Path, program: Path, programs: Path, name: str) -> None:
    bundle = bundle_of(tmp_path / "bundle", program, programs, "approved")
    with (bundle / name).open("r+b") as file:
        file.seek(2000 if not name.endswith(".jsonl") else 100)
        file.write(b"\x00")
    code, words = clinic_bundle.check(bundle)
    assert code == 3
    assert f"{name}: foi alterado" in words
    (bundle / name).unlink()
    clinic_bundle.close(bundle)
    code, words = clinic_bundle.check(bundle)
    assert code == 3
    assert f"{name}: não está em SHA256SUMS" in words


@pytest.mark.parametrize("mode", ["approved", "assisted"])
def test_no_word_says_approved_where_nobody_is_named_who_did(
    tmp_path: Path, program: Path, programs: Path, mode: str
) -> None:
    with served(bundle_of(tmp_path / "bundle", program, programs, mode, approved_by="")) as running:
        assert "o material do pacote" in running.said
        assert "material aprovado" not in running.said


def test_the_self_test_repeats_the_searches(tmp_path: Path, program: Path, programs: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle", program, programs, "approved", approved_by="")
    with search.opened(bundle / IN_BUNDLE, programs) as opened:
        found = [{"ask": question, "ranking": opened.ask(question, 10).ranking} for question in QUESTIONS]
    for searches, code, said in (
        (found, 0, f"Buscas no material do pacote, iguais às da prova: {len(found)} de {len(found)}"),
        ([*found[1:], found[0] | {"ranking": found[1]["ranking"]}], 3, "REPROVADO: a busca"),
        ([], 3, "não tem buscas"),
    ):
        (bundle / "runtime" / "prova.json").write_text(json.dumps(clinic_bundle.PROOF | {"searches": searches}))
        clinic_bundle.close(bundle)
        done, words = clinic_bundle.run(bundle, "autoteste.sh")
        assert (done, said in words) == (code, True), words


def test_the_program_ranks_as_the_build(tmp_path: Path, program: Path, programs: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle", program, programs, "approved")
    command = [program, "procurar", "--pasta", bundle]
    printed = subprocess.run(command, input="\n".join(QUESTIONS), capture_output=True, text=True, check=True).stdout
    with search.opened(bundle / IN_BUNDLE, programs) as opened:
        assert printed.splitlines() == [found.ranking for found in opened.ask_all(QUESTIONS, 10)]
