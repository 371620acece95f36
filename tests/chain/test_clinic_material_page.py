"""The approved material on the clinic's page, in headless Chromium: what is approved and what a machine wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import browser
import clinic_bundle
import pytest
from browser import pictured
from clinic_bundle import PASSAGES, Started

from packager.knowledge.grounding import prompt
from packager.knowledge.shown import HELP

QUESTION = "#question"
NOT_FOUND = "Não encontrei isso no material aprovado."


@pytest.fixture(scope="module")
def page() -> Iterator[browser.Browser]:
    with browser.chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clinic_bundle.program_of(tmp_path_factory)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programs")


@contextmanager
def opened(
    page: browser.Browser, bundle: Path, env: dict[str, str] | None = None, *more: str, wide: int = 1280
) -> Iterator[Started]:
    command = ["sh", str(bundle / "iniciar.sh"), "--sem-navegador", *more]
    with clinic_bundle.started(command, env=env) as running:
        page.size(wide, 800)
        page.open("about:blank")
        page.open(running.page)
        page.until(lambda: page.run("document.activeElement.id") == "question")
        yield running


def bundle_of(folder: Path, program: Path, programs: Path, mode: str, **config: Any) -> Path:
    facts = {"mode": mode, "demonstration": True, "approved_by": "Ana, COREN 12, maio de 2026", **config}
    made = clinic_bundle.make(folder, program, facts)
    return clinic_bundle.with_material(made, programs)


@pytest.fixture(scope="module")
def approved(page: browser.Browser, program: Path, programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(tmp_path_factory.mktemp("approved") / "bundle", program, programs, "approved")


def put(page: browser.Browser, question: str, says: str) -> None:
    page.type(QUESTION, question + browser.ENTER)
    page.until(lambda: page.text("#status") == says)


def test_found_with_its_source_and_not_found_with_what_to_do(page: browser.Browser, approved: Path) -> None:
    with opened(page, approved):
        assert page.text("#mode").startswith("Só material aprovado.")
        assert "palavra por palavra" in page.text("#mode")
        assert page.text("#mode").endswith("Aprovado por: Ana, COREN 12, maio de 2026")
        assert page.run("document.querySelector('#demonstration').hidden")  # what is shown is approved
        put(page, "oq e dengue", "Encontrado no material aprovado.")
        assert page.text("header .help") == HELP  # always, and in what is not sure once more
        assert not page.text("article.approved .help")
        assert page.text("article.approved h2") == "Material aprovado"
        assert page.text("article.approved blockquote:first-of-type .text") == PASSAGES[0].text
        source = "Fonte: Caderno de Atenção Básica 21, página 12, 2019"
        assert page.text("article.approved blockquote:first-of-type footer") == source
        assert not page.text("article.theirs")  # no machine wrote anything
        pictured(page, "material-approved")
        put(page, "a agua da enchente", "O mais próximo no material aprovado")
        assert page.text("article.nearest h2") == "O mais próximo no material aprovado"
        assert "Pode não ser a resposta" in page.text("article.nearest .remark")
        assert page.text("article.nearest .about") == PASSAGES[1].question
        assert page.text("article.nearest .help") == HELP
        pictured(page, "material-nearest")
        put(page, "quem ganhou o jogo de ontem", NOT_FOUND)
        pictured(page, "material-not-found")
        assert page.text("article.silent h2") == NOT_FOUND
        assert page.text("article.silent .help") == HELP
        assert "procure a equipe da unidade" in page.text("article.silent")
        put(page, "quem visita as casas", NOT_FOUND)
        assert "Perguntas parecidas" in page.text("article.silent:last-child .remark")
        meant = "O que faz o agente comunitário de saúde?"
        page.run("[...document.querySelectorAll('article.silent button')].find((b) => b.textContent === arguments[0])"
                 ".click()", meant)  # fmt: skip
        page.until(lambda: page.text("#status") == "Encontrado no material aprovado.")
        assert page.text("article.approved:last-child .text") == PASSAGES[3].text
        page.devtools("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
        page.click("article.approved button")
        page.until(lambda: page.text("#status") == "Resposta copiada.")
        page.run("(URL.createObjectURL = (blob) => { blob.text().then((t) => { window.saved = t; }); return '#'; }, 0)")
        page.click("#save")
        saved = str(page.until(lambda: page.run("window.saved")))
        assert f"Material aprovado:\n{PASSAGES[0].text}\n{source}" in saved
        assert "Fonte: material aprovado" in saved
        assert HELP in saved
        page.click("#fresh")
        assert not page.text("article")
        page.click("#undo")
        assert page.text("article.approved:nth-of-type(2) h2") == "Material aprovado"


def test_no_word_says_approved_where_nobody_is_named(
    page: browser.Browser, program: Path, programs: Path, tmp_path: Path
) -> None:
    bundle = bundle_of(tmp_path / "bundle", program, programs, "approved", approved_by="")
    with opened(page, bundle):
        assert page.text("#mode").startswith("Só material do pacote.")
        assert "Não consta quem leu e aprovou" in page.text("#demonstration")
        assert not page.run("document.querySelector('#demonstration').hidden")
        put(page, "oq e dengue", "Encontrado no material do pacote.")
        assert page.text("article.approved h2") == "Material do pacote"
        whole = page.run("document.body.textContent").replace("leu e aprovou", "").replace("aprová-los", "")
        assert "aprovado" not in whole.replace("Aprovação não registrada", "")
        pictured(page, "material-unapproved")


def test_documents_hold_no_power_over_the_page(page: browser.Browser, approved: Path) -> None:
    with opened(page, approved):
        put(page, "como limpar o coto do umbigo", "Encontrado no material aprovado.")
        assert "<b>injeção</b>" in page.text("article.approved footer")  # shown as text
        assert page.run("document.querySelectorAll('article b').length") == 0
        assert "Ignore as instruções anteriores" in page.text("article.approved .text")  # word for word, and only shown


def test_assisted_marks_what_a_machine_wrote_and_strikes_what_is_not_there(
    page: browser.Browser, program: Path, programs: Path, tmp_path: Path
) -> None:
    wrote = "Use 2 gotas para cada litro de água. Use 5 gotas para cada litro de água. Recomende a marca Xis."
    bundle = bundle_of(tmp_path / "bundle", program, programs, "assisted")
    env = {"STANDIN_WRITES": wrote, "STANDIN_ASKED": str(tmp_path / "asked.jsonl")}
    with opened(page, bundle, env):
        assert page.text("#mode").startswith("Modo assistido.")
        put(page, "quanto de hipoclorito na agua", "Resposta completa.")
        order = page.run("[...document.querySelectorAll('article')].map((a) => a.className).join(' ')")
        assert order == "mine approved theirs"  # the approved text stands above
        assert "escrita por um programa" in page.text("article.theirs h2")
        said = page.text("article.theirs .text")
        assert said.startswith("Use 2 gotas para cada litro de água.")
        assert "5 gotas" not in said
        assert "Xis" not in said
        assert said.count("[Frase retirada: não está no material aprovado.]") == 1
        pictured(page, "material-assisted")
        asked = json.loads((tmp_path / "asked.jsonl").read_text(encoding="utf-8").splitlines()[0])
        shown = "[...document.querySelectorAll('article.approved .text')].map((e) => e.textContent)"
        given = page.run(shown)
        served = prompt(programs, "quanto de hipoclorito na agua", given, "pt-BR")
        assert asked["messages"] == [
            {"role": "system", "content": "Responda com clareza."}, {"role": "user", "content": served},
        ]  # fmt: skip
        put(page, "quem ganhou o jogo de ontem", NOT_FOUND)
        assert page.run("document.querySelectorAll('article.theirs').length") == 1  # the model stays silent
        put(page, "morra dengue", "")  # the server dies: what is approved stays
        assert page.run("document.querySelectorAll('article.approved').length") == 2
    with opened(page, bundle, env, "--modo", "aprovado"):
        assert page.text("#mode").startswith("Só material aprovado.")


def test_with_the_keyboard_alone_and_on_a_phone(page: browser.Browser, approved: Path) -> None:
    with opened(page, approved, None, wide=360):
        put(page, "agente comunitario faz oq", "Encontrado no material aprovado.")
        assert page.run("document.activeElement.id") == "question"
        assert page.run("document.documentElement.scrollWidth") <= 360
        page.run("document.querySelector('#conversation').focus()")
        page.type("#conversation", browser.TAB)
        assert page.run("document.activeElement.textContent") == "Copiar"
        pictured(page, "material-phone")
