"""The clinic's page in headless Chromium: what a person does with it, and what is said when the server fails."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import browser
import clinic_bundle
import pytest
from browser import pictured
from clinic_bundle import Started

QUESTION, ANSWER = "#question", "article.theirs .text"


@pytest.fixture(scope="module")
def page() -> Iterator[browser.Browser]:
    with browser.chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clinic_bundle.program_of(tmp_path_factory)


@contextmanager
def opened(
    page: browser.Browser, folder: Path, program: Path, env: dict[str, str] | None = None, **config: Any
) -> Iterator[Started]:
    """The page of a started bundle, open and ready."""
    bundle = clinic_bundle.make(folder, program, config)
    with clinic_bundle.started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"], env=env) as running:
        page.size(1280, 800)
        page.open("about:blank")  # the address differs in its key alone
        page.open(running.page)
        page.until(lambda: page.run("document.title") == config.get("title", "Perguntas sobre a APS"))
        page.until(lambda: page.run("document.activeElement.id") == "question")
        yield running


@pytest.fixture
def served(page: browser.Browser, tmp_path: Path, program: Path) -> Iterator[Started]:
    env = {"STANDIN_ASKED": str(tmp_path / "asked.jsonl")}
    with opened(page, tmp_path / "bundle", program, env, description="") as running:
        yield running


def asked(tmp_path: Path) -> list[dict[str, Any]]:
    """What the server was asked to compute."""
    return [json.loads(line) for line in (tmp_path / "asked.jsonl").read_text(encoding="utf-8").splitlines()]


def put(page: browser.Browser, question: str, says: str = "Resposta completa.") -> None:
    page.type(QUESTION, question + browser.ENTER)
    page.until(lambda: page.text("#status") == says)


def error(page: browser.Browser) -> str:
    return str(page.until(lambda: page.text("#error")))


def test_ask_copy_print_save_and_start_anew(page: browser.Browser, served: Started) -> None:
    page.requested()
    assert page.run("document.activeElement.id") == "question"
    page.type(QUESTION, "O que é a APS?" + browser.ENTER)
    page.until(lambda: page.text("#status") == "Resposta completa.")
    assert page.text("article.mine .text") == "O que é a APS?"
    assert page.text(ANSWER).strip() == "A atenção primária é a porta de entrada do SUS."
    assert page.run("document.activeElement.id") == "question"
    page.devtools("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    page.click("article.theirs button")
    page.until(lambda: page.text("#status") == "Resposta copiada.")
    page.run("(window.print = () => { window.printed = true; })")
    page.click("#print")
    assert page.run("window.printed")
    page.run("(URL.createObjectURL = (blob) => { blob.text().then((t) => { window.saved = t; }); return '#'; }, 0)")
    page.click("#save")
    saved = str(page.until(lambda: page.run("window.saved")))
    assert "Pergunta:\nO que é a APS?" in saved
    assert "não faz diagnóstico" in saved
    assert "Perguntas sobre a APS, versão 20261125.2155, " in saved
    assert "Fonte: texto escrito pelo modelo meu_aps-Q4_K_M.gguf." in saved
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    assert "versão 20261125.2155" in page.run("document.querySelector('#printed').textContent")
    page.type(QUESTION, "meia pergunta")
    page.click("#fresh")
    assert not page.text("article")
    assert page.run("document.querySelector('#question').value") == "meia pergunta"
    page.click("#undo")
    assert page.text("article.mine .text") == "O que é a APS?"
    assert page.text("#status") == "A conversa anterior voltou."
    assert page.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    requested = page.requested()
    assert any(url.endswith("/perguntar") for url in requested)
    assert all(url.startswith((served.url, "data:", "blob:")) for url in requested), requested
    assert not any(served.key in url for url in requested)  # it stays in the browser


def test_tokens_stream_and_stop(page: browser.Browser, served: Started) -> None:
    page.type(QUESTION, "Fale sem parar." + browser.ENTER)
    page.until(lambda: len(page.text(ANSWER).split()) > 3)
    assert page.text("#status") == "Respondendo…"
    assert page.run("document.querySelector('article.theirs').getAttribute('aria-busy')") == "true"
    page.click("#stop")
    page.until(lambda: page.text("#status") == "Resposta interrompida.")
    assert "Resposta interrompida." in page.text("article.theirs .remark")
    page.type(QUESTION, "Fale sem parar." + browser.ENTER)
    page.until(lambda: page.text("#status") == "Respondendo…")
    page.type("body", browser.ESCAPE)
    page.until(lambda: page.text("#status") == "Resposta interrompida.")


def test_the_server_killed_while_it_answers(page: browser.Browser, served: Started) -> None:
    page.type(QUESTION, "Fale sem parar." + browser.ENTER)
    page.until(lambda: len(page.text(ANSWER).split()) > 3)
    os.kill(served.children()[0], signal.SIGKILL)
    assert "O programa que responde parou" in error(page)
    assert "A resposta ficou incompleta." in page.text("article.theirs .remark")
    page.until(lambda: page.text("#status") == "O programa responde de novo.")  # it was started again
    assert not page.text("#error")
    put(page, "E agora?")
    assert page.text("article.mine .text") == "Fale sem parar.\nE agora?"  # and the conversation is still there


def test_a_question_while_the_server_starts_again(page: browser.Browser, served: Started) -> None:
    gone = served.children()
    os.kill(gone[0], signal.SIGKILL)
    page.until(lambda: served.ask("/estado")[1] == b'{"state":"loading"}' or served.children() != gone)
    put(page, "E agora?")  # it waits


def test_the_program_closed(page: browser.Browser, served: Started) -> None:
    with clinic_bundle.ports(fcntl.LOCK_EX):  # else another test's program might answer there
        served.stop()
        page.type(QUESTION, "E agora?" + browser.ENTER)
        assert "O programa que responde parou" in error(page)
    page.until(lambda: page.run("document.querySelector('#question').value") == "E agora?")  # given back


@pytest.mark.parametrize(
    ("question", "words"),
    [("cheia", "A pergunta é longa demais"), ("ocupado", "Não foi possível responder"), ("morra", "parou")],
)
def test_a_failure_is_said_in_words(page: browser.Browser, served: Started, question: str, words: str) -> None:
    page.type(QUESTION, question + browser.ENTER)
    assert words in error(page)


def test_an_answer_that_was_cut_goes_on(page: browser.Browser, served: Started, tmp_path: Path) -> None:
    put(page, "longa")
    assert "chegou ao tamanho máximo" in page.text("article.theirs .remark")
    first = page.text(ANSWER).strip()
    page.run("[...document.querySelectorAll('article button')].find((b) => b.textContent === 'Continuar').click()")
    page.until(lambda: len(page.text(ANSWER)) > len(first) + 20 and page.text("#status") == "Resposta completa.")
    assert [m["role"] for m in asked(tmp_path)[-1]["messages"]] == ["system", "user", "assistant"]
    assert asked(tmp_path)[-1]["messages"][-1]["content"].strip() == first
    assert page.text(ANSWER).startswith(first)
    put(page, "Outra?")  # the conversation goes on from the whole answer
    assert [m["role"] for m in asked(tmp_path)[-1]["messages"]] == ["system", "user", "assistant", "user"]


def test_asked_as_it_was_proven(page: browser.Browser, served: Started, tmp_path: Path) -> None:
    for _ in range(2):
        put(page, "O que é a APS?")
        page.click("#fresh")
    first, second = asked(tmp_path)
    assert first == second
    config = clinic_bundle.CONFIG
    assert (first["seed"], first["stop"], first["max_tokens"]) == (42, config["stops"], config["max_answer_tokens"])
    assert first["messages"][0] == {"role": "system", "content": config["system"]}


def test_old_questions_make_room_for_the_answer(page: browser.Browser, program: Path, tmp_path: Path) -> None:
    """The stand-in's token is a word: 3 of the system message, 10 an answer; 60 of the 120 are kept for an answer."""
    env = {"STANDIN_ASKED": str(tmp_path / "asked.jsonl")}
    with opened(page, tmp_path / "bundle", program, env, context=120, max_answer_tokens=60):
        for number in range(4):
            put(page, f"Pergunta {number} " + "palavra " * 10)
        assert "as perguntas mais antigas não foram levadas em conta" in page.text("article.theirs:last-child .remark")
        sent = asked(tmp_path)[-1]["messages"]
        assert [m["role"] for m in sent] == ["system", *["user", "assistant"] * 2, "user"]
        assert sent[1]["content"].startswith("Pergunta 1")
        page.requested()
        put(page, "Pergunta 4 " + "palavra " * 10)  # what was left out stays so: one more question goes
        assert counted(page) == 2
        assert asked(tmp_path)[-1]["messages"][1]["content"].startswith("Pergunta 2")
        page.type(QUESTION, "palavra " * 58 + browser.ENTER)
        assert "A pergunta é longa demais" in error(page)
        assert len(asked(tmp_path)) == 5


def counted(page: browser.Browser) -> int:
    """How often the page asked for the length of a conversation since `requested` was called last."""
    return sum(url.endswith("/contar") for url in page.requested())


@pytest.mark.parametrize("words", [20, 1300])
def test_a_long_day_takes_few_requests(page: browser.Browser, served: Started, tmp_path: Path, words: int) -> None:
    """Of 200 answers, with long ones more than the 1 MB that the program takes at once, as many stay as have room."""
    page.run(
        """((words) => { for (let i = 0; i < 200; i++) turns.push({ role: "user", content: `Pergunta ${i}` },
            { role: "assistant", content: "palavra ".repeat(words) }); })(arguments[0])""",
        words,
    )
    page.requested()
    put(page, "E agora?")
    assert counted(page) <= 18  # two for each doubling
    sent = asked(tmp_path)[-1]["messages"]
    room = clinic_bundle.CONFIG["context"] - clinic_bundle.CONFIG["max_answer_tokens"]
    most = (room - 3 - 2) // (words + 2)  # without the system message and the question
    assert [m["role"] for m in sent] == ["system", *["user", "assistant"] * most, "user"]
    assert sent[1]["content"] == f"Pergunta {200 - most}"
    assert "as perguntas mais antigas não foram levadas em conta" in page.text("article.theirs:last-child .remark")
    put(page, "E depois?")
    assert counted(page) <= 4


SAID = """(window.said = [], new MutationObserver((seen) => {
  for (const one of seen) for (const node of one.addedNodes) window.said.push(node.data);
}).observe(document.querySelector(".line"), { childList: true, subtree: true }), 0)"""
"""Keeps every text that the line of the page's state shows, however shortly."""


def test_the_wait_is_shown(page: browser.Browser, served: Started) -> None:
    page.run(SAID)
    put(page, "lendo")
    said = page.run("window.said")
    assert "Lendo a pergunta… 50 %" in said
    assert any(re.fullmatch(r"\d+ s", text) for text in said)
    assert not page.text("#clock")


def test_another_question_is_being_answered(page: browser.Browser, served: Started) -> None:
    other = threading.Thread(target=lambda: served.ask("/perguntar", {
        "messages": [{"role": "user", "content": "devagar"}], "stream": True}))  # fmt: skip
    other.start()
    page.until(lambda: served.ask("/estado")[1] == b'{"state":"busy"}')
    page.type(QUESTION, "O que é a APS?" + browser.ENTER)
    page.until(lambda: "está respondendo a outra pergunta" in page.text("#status"))
    page.until(lambda: page.text("#status") == "Resposta completa.")  # by itself
    other.join()


def test_a_question_to_begin_with(page: browser.Browser, served: Started) -> None:
    assert page.text("#examples button") == "O que é a APS?"
    page.click("#examples button")
    page.until(lambda: page.text("#status") == "Resposta completa.")
    assert page.text("article.mine .text") == "O que é a APS?"


def test_without_the_key_the_page_asks_for_it(page: browser.Browser, served: Started) -> None:
    page.open(served.url + "/#errada")
    assert "A chave não é esta" in error(page)
    assert not page.run("document.querySelector('#form').offsetHeight")
    page.type("#key", served.key.upper() + browser.ENTER)  # phones begin with a capital letter
    page.until(lambda: page.run("document.querySelector('#form').offsetHeight"))
    put(page, "O que é a APS?")


def test_a_demonstration_says_so(page: browser.Browser, program: Path, tmp_path: Path) -> None:
    with opened(page, tmp_path / "bundle", program, demonstration=True):
        assert "Não use as respostas com pacientes." in page.text("#demonstration")
        pictured(page, "demonstration")


def test_a_wrong_answer_is_noted_where_the_package_allows_it(
    page: browser.Browser, program: Path, tmp_path: Path
) -> None:
    with opened(page, tmp_path / "bundle", program, feedback=True):
        page.run("localStorage.clear()")  # another test's, if it had the same port
        put(page, "A paciente Maria da Silva pode?")
        page.click("article .wrong")
        page.type("article form textarea", "Não é isso.")
        page.click("article form button")
        assert "Guardado neste computador." in page.text("article form ~ p, article .remark")
        (kept,) = json.loads(str(page.run("localStorage.getItem('retorno-meu_aps')")))
        assert (kept["question"], kept["comment"], kept["mode"]) == ("A paciente [NOME] pode?", "Não é isso.", "free")
        assert page.text("#take") == "Exportar retornos (1)"
        pictured(page, "wrong")


def test_a_note_that_is_open_stays_when_the_answer_goes_on(
    page: browser.Browser, program: Path, tmp_path: Path
) -> None:
    with opened(page, tmp_path / "bundle", program, feedback=True):
        page.run("localStorage.clear()")  # another test's, if it had the same port
        put(page, "longa")
        first = page.text(ANSWER).strip()
        page.click("article .wrong")
        page.type("article form textarea", "Não é isso.")
        page.run("[...document.querySelectorAll('article button')].find((b) => b.textContent === 'Continuar').click()")
        page.until(lambda: len(page.text(ANSWER)) > len(first) + 20 and page.text("#status") == "Resposta completa.")
        assert page.run("document.querySelector('article form textarea').value") == "Não é isso."
        assert not page.run("document.querySelector('article .wrong').offsetHeight")
        page.run("document.querySelector('article form button').click()")
        (kept,) = json.loads(str(page.run("localStorage.getItem('retorno-meu_aps')")))
        assert (kept["question"], kept["comment"]) == ("longa", "Não é isso.")
        assert len(kept["answer"]) > len(first) + 20  # the whole one


def test_an_english_package_has_an_english_page(page: browser.Browser, program: Path, tmp_path: Path) -> None:
    config = {"language": "en", "title": "Questions and answers", "examples": ["What is primary care?"]}
    with opened(page, tmp_path / "bundle", program, **config):
        put(page, "What is it?", "Answer complete.")
        assert page.run("document.documentElement.lang") == "en"
        shown = page.text("body")
        assert "It informs, it does not diagnose." in shown
        assert not {"Você", "Salvar", "Imprimir", "Perguntar"} & set(shown.split())


def test_both_languages_have_the_same_words() -> None:
    text = (clinic_bundle.ASSETS / "runtime" / "pagina" / "palavras.js").read_text(encoding="utf-8")
    portuguese, english = (set(re.findall(r"\b(\w+): \"", part)) for part in text.split("  en: {"))
    assert portuguese == english
    page = clinic_bundle.ASSETS / "runtime" / "pagina"
    used = [name for script in page.glob("*.js") for name in re.findall(r"\bsay\.(\w+)", script.read_text())]
    used += re.findall(r'data-(?:say|label)="(\w+)"', (page / "index.html").read_text())
    assert set(used) <= portuguese | {"modes", "modeTexts", "next"}


def test_where_the_script_cannot_run_a_word_says_so(page: browser.Browser, served: Started) -> None:
    page.devtools("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.open("about:blank")
        page.open(served.page)
        # One call: chromedriver's own between two would make the numbers of the nodes void.
        taken = page.devtools("DOMSnapshot.captureSnapshot", {"computedStyles": []})
        laid_out = (n for document in taken["documents"] for n in document["layout"]["text"])
        assert any("antigo demais" in taken["strings"][n] for n in laid_out if n >= 0)
    finally:
        page.devtools("Emulation.setScriptExecutionDisabled", {"value": False})


def test_an_old_browser_has_a_height_too() -> None:
    """Chrome before 108 and Firefox before 101 know no dvh, and take the line before."""
    style = (clinic_bundle.ASSETS / "runtime" / "pagina" / "estilo.css").read_text()
    assert "height: 100vh; height: 100dvh;" in style


def test_letters_and_colours_are_chosen(page: browser.Browser, served: Started) -> None:
    size = "parseFloat(getComputedStyle(document.querySelector('#question')).fontSize)"
    before = page.run(size)
    page.click("#larger")
    assert page.run(size) > before
    for _ in range(9):
        page.click("#smaller")
    assert page.run(size) == 16
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.run(colour)
    page.click("#theme")
    assert page.run(colour) != light
    assert page.text("#theme") == "Fundo claro"
    page.click("#theme")
    assert page.run(colour) == light


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1366, 768), (683, 384), (390, 844), (360, 640)])
def test_it_fits(page: browser.Browser, served: Started, width: int, height: int, scheme: str) -> None:
    page.devtools("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    page.size(width, height)  # 683 by 384 is 1366 by 768 at 200 %
    pictured(page, f"welcome-{width}-{scheme}")
    assert page.run("document.querySelector('#conversation').scrollTop") == 0  # it is read from its beginning
    page.type(QUESTION, "Uma pergunta com uma palavra-muito-" + "comprida" * 8 + browser.ENTER)
    page.until(lambda: page.text("#status") == "Resposta completa.")
    pictured(page, f"page-{width}-{scheme}")
    assert page.run("document.documentElement.scrollWidth") <= width
    for button in ("#send", "#fresh", "#print", "#save"):
        box = page.run("(({left, right, top, bottom}) => [left, right, top, bottom])"
                       "(document.querySelector(arguments[0]).getBoundingClientRect())", button)  # fmt: skip
        assert box[0] >= 0
        assert box[1] <= width
        assert box[3] <= height or height < 480  # where it is that low the whole page scrolls
    contrast = page.run(CONTRAST)
    assert min(contrast.values()) >= 4.5, contrast


def test_everything_by_keyboard_and_named(page: browser.Browser, served: Started) -> None:
    reached = []
    page.run("document.activeElement.blur()")
    for _ in range(12):
        page.call("/actions", {"actions": [{"type": "key", "id": "k", "actions": [
            {"type": "keyDown", "value": browser.TAB}, {"type": "keyUp", "value": browser.TAB}]}]})  # fmt: skip
        reached.append(page.run("document.activeElement.id || document.activeElement.className"))
    assert {"skip", "smaller", "larger", "theme", "fresh", "conversation", "question", "send"} <= set(reached)
    tree = page.devtools("Accessibility.getFullAXTree", {})["nodes"]
    names = {(n["role"]["value"], n.get("name", {}).get("value", "")) for n in tree if not n["ignored"]}
    assert {
        ("textbox", "Sua pergunta"),
        ("button", "Perguntar"),
        ("log", "Conversa"),
        ("heading", "Perguntas sobre a APS"),
        ("button", "Letras maiores"),
    } <= names


CONTRAST = """Object.fromEntries([...document.querySelectorAll(
  "h1, .notice, article.mine .text, article.theirs .text, article h2, #status, label, #send, #fresh, #hint")]
  .filter((e) => e.offsetParent).map((e) => {
    const bright = (colour) => {
      const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
      return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    let behind = e;
    while (/, 0\\)$/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
    const [a, b] = [getComputedStyle(e).color, getComputedStyle(behind).backgroundColor].map(bright);
    return [e.id || e.className || e.tagName, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  }))"""
"""WCAG 2's contrast ratio of every kind of text, by its element."""
