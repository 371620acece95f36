"""The clinic's page in headless Chromium: what a person does with it, and what is said when the server fails."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import browser
import clinic_bundle
import pytest
from clinic_bundle import Started

QUESTION, ANSWER = "#question", "article.theirs .text"


@pytest.fixture(scope="module")
def page() -> Iterator[browser.Browser]:
    with browser.chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clinic_bundle.compiled(tmp_path_factory.mktemp("clinica"))


@pytest.fixture
def served(page: browser.Browser, tmp_path: Path, program: Path) -> Iterator[Started]:
    """The page of a started bundle, open and ready."""
    bundle = clinic_bundle.make(tmp_path / "bundle", program)
    with clinic_bundle.started(["sh", str(bundle / "iniciar.sh"), "--sem-navegador"]) as running:
        page.size(1280, 800)
        page.open(running.url)
        page.until(lambda: page.run("document.title") == "meu_aps")
        yield running


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
    page.click("#fresh")
    assert not page.text("article")
    assert page.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    asked = page.requested()
    assert any(url.endswith("/v1/chat/completions") for url in asked)
    assert all(url.startswith((served.url, "data:", "blob:")) for url in asked), asked


def test_tokens_stream_and_stop(page: browser.Browser, served: Started) -> None:
    page.type(QUESTION, "Fale devagar." + browser.ENTER)
    page.until(lambda: len(page.text(ANSWER).split()) > 3)
    assert page.text("#status") == "Respondendo…"
    assert page.run("document.querySelector('article.theirs').getAttribute('aria-busy')") == "true"
    page.click("#stop")
    page.until(lambda: page.text("#status") == "Resposta interrompida.")
    assert len(page.text(ANSWER).split()) < 150
    assert "Resposta interrompida." in page.text("article.theirs .remark")
    page.type(QUESTION, "Fale devagar." + browser.ENTER)
    page.until(lambda: page.text("#status") == "Respondendo…")
    page.type("body", browser.ESCAPE)
    page.until(lambda: page.text("#status") == "Resposta interrompida.")


def test_the_server_killed_while_it_answers(page: browser.Browser, served: Started) -> None:
    page.type(QUESTION, "Fale devagar." + browser.ENTER)
    page.until(lambda: len(page.text(ANSWER).split()) > 3)
    os.kill(served.children()[0], signal.SIGKILL)
    assert "O programa que responde parou" in error(page)
    assert "A resposta ficou incompleta." in page.text("article.theirs .remark")
    page.type(QUESTION, "E agora?" + browser.ENTER)
    page.until(lambda: page.run("document.querySelector('#question').value") == "E agora?")  # given back
    assert "O programa que responde parou" in error(page)


@pytest.mark.parametrize(
    ("question", "words"),
    [("cheia", "A conversa ficou longa demais"), ("ocupado", "ocupado com outra pergunta"), ("morra", "parou")],
)
def test_a_failure_is_said_in_words(page: browser.Browser, served: Started, question: str, words: str) -> None:
    page.type(QUESTION, question + browser.ENTER)
    assert words in error(page)


def test_an_answer_that_was_cut(page: browser.Browser, served: Started) -> None:
    page.type(QUESTION, "longa" + browser.ENTER)
    page.until(lambda: page.text("#status") == "Resposta completa.")
    assert "chegou ao tamanho máximo" in page.text("article.theirs .remark")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (360, 640)])
def test_it_fits(page: browser.Browser, served: Started, width: int, height: int, scheme: str, tmp_path: Path) -> None:
    page.devtools("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    page.size(width, height)
    page.type(QUESTION, "Uma pergunta com uma palavra-muito-" + "comprida" * 8 + browser.ENTER)
    page.until(lambda: page.text("#status") == "Resposta completa.")
    page.picture(Path(os.environ.get("PAGE_PICTURES", tmp_path)) / f"page-{width}-{scheme}.png")
    assert page.run("document.documentElement.scrollWidth") <= width
    for button in ("#send", "#fresh", "#print", "#save"):
        box = page.run("(({left, right, top, bottom}) => [left, right, top, bottom])"
                       "(document.querySelector(arguments[0]).getBoundingClientRect())", button)  # fmt: skip
        assert box[0] >= 0
        assert box[1] <= width
        assert box[3] <= height
    contrast = page.run(CONTRAST)
    assert min(contrast.values()) >= 4.5, contrast


def test_everything_by_keyboard_and_named(page: browser.Browser, served: Started) -> None:
    reached = []
    page.run("document.activeElement.blur()")
    for _ in range(8):
        page.call("/actions", {"actions": [{"type": "key", "id": "k", "actions": [
            {"type": "keyDown", "value": browser.TAB}, {"type": "keyUp", "value": browser.TAB}]}]})  # fmt: skip
        reached.append(page.run("document.activeElement.id || document.activeElement.className"))
    assert {"skip", "fresh", "conversation", "question", "send"} <= set(reached)
    tree = page.devtools("Accessibility.getFullAXTree", {})["nodes"]
    names = {(n["role"]["value"], n.get("name", {}).get("value", "")) for n in tree if not n["ignored"]}
    assert {("textbox", "Sua pergunta"), ("button", "Perguntar"), ("log", "Conversa"), ("heading", "meu_aps")} <= names


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
