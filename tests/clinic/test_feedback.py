"""Notes on wrong answers: kept in the page without identifiers, exported, and turned into rows to review."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import browser
import pytest
from click.testing import CliRunner

from packager.__main__ import main
from packager.clinic.contents import ASSETS
from packager.data.audit import identifiers

PAGE = ASSETS / "runtime" / "pagina"
TEXTS = (
    "CPF 529.982.247-25", "52998224725", "o cpf dela é 52998224725", "529.982.247-26 não vale", "111.111.111-11",
    "cartão sus 898001160660761", "CNS 898 0011 6066 0761", "898001160660761",
    "ligue (11) 98765-4321", "11 98765-4321", "telefone 987654321", "3333-4444", "+55 11 987654321", "0800 61 1997",
    "zap 11987654321", "192 e 188", "a@b.org", "josé.álvares@exemplo.com.br", "x@y", "nota 12,5 e 3.444",
    "paciente João da Silva", "a paciente maria da silva de souza disse", "Paciente Em Observação", "PACIENTE "
    "JOSÉ LIMA",
    "Nome: Ana Paula Souza", "nome completo: Zenóbia Quadros", "paciente Zenóbia Quadros, 45 anos", "usuária Ana",
    "paciente testemunha de Jeová", "gestante Dona Rita", "pcte. Sr. Carlos d'Ávila", "paciente dona Zefa do Brejo",
    "Paciente: Ítalo Brandão; Paciente: Caio", "os pacientes Pedro e Ana", "nome: fulano", "",
    "a@b.org,c@d.org", "x52998224725", "1 52998224725 cpf",
    "cpf:52998224725", "-52998224725 cpf", "😀a@b.org", "é@b.org", "a@b.org@c.org", "tel (11)98765-4321(11)98765-4321",
    "outpaciente João da Silva", "paciente João, paciente Ana", "recadocel 987654321", "ação 😀 paciente "
    "Éder Lima",
)  # fmt: skip


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_the_page_s_gate_is_that_of_the_data() -> None:
    asked = f"""
        const gate = require({json.dumps(str(PAGE / "identificadores.js"))});
        console.log(JSON.stringify({json.dumps(TEXTS)}.map((text) => gate.redact(text))));
    """
    done = subprocess.run(["node", "-e", asked], capture_output=True, text=True, check=True)
    found = [(one["text"], tuple(one["kinds"])) for one in json.loads(done.stdout)]
    assert found == [identifiers.redact(text) for text in TEXTS]
    assert sum(bool(kinds) for _, kinds in found) > 15


def test_a_browser_of_some_years_ago_can_read_the_page() -> None:
    """Safari before 16.4 refuses a whole file for one lookbehind, in a literal or made of text."""
    for script in PAGE.glob("*.js"):
        assert not re.search(r"\(\?<[=!]", script.read_text(encoding="utf-8")), script.name


def test_the_lists_of_names_are_those_of_the_data() -> None:
    text = (PAGE / "identificadores.js").read_text(encoding="utf-8")
    lists = [set(found.split()) for found in re.findall(r"set\(`([^`]*)`\)", text)]
    assert lists == [set(identifiers._GIVEN), set(identifiers._SURNAMES), set(identifiers._NO_NAMES)]


def site(feedback: bool, rules: str = "") -> str:
    """A page with the two scripts, and an answer in it as pagina.js tells of one."""
    texts = [rules or (PAGE / "identificadores.js").read_text("utf-8"), (PAGE / "retorno.js").read_text("utf-8")]
    scripts = "".join(f"<script>{text}</script>" for text in texts)
    config = json.dumps({"feedback": feedback, "recipe": "meu", "version": "1", "model": "m.gguf", "language": "pt-BR"})
    answer = json.dumps(
        {
            "question": "A paciente Maria da Silva pode?",
            "answer": "Pode. CPF 529.982.247-25.",
            "mode": "assisted",
            "passage": "Guia, p. 3",
        }
    )
    return f"""<!doctype html><meta charset="utf-8"><div class="actions"></div><article id="a"></article>{scripts}
    <script>
        document.dispatchEvent(new CustomEvent("configured", {{ detail: {config} }}));
        const article = document.getElementById("a");
        document.dispatchEvent(new CustomEvent("answered", {{ detail: {{ ...{answer}, article }} }}));
    </script>"""


def test_a_note_is_kept_without_identifiers_until_it_is_erased() -> None:
    with browser.pages({"/": site(True)}) as address, browser.chromium() as tab:
        tab.open(address)
        assert tab.run("document.getElementById('take').hidden")
        tab.click(".wrong")
        tab.type("article textarea", "Não pode; ligue (11) 98765-4321.")
        tab.click("article form button")
        assert "Guardado neste computador." in tab.text("article")
        assert "NOME, CPF, TELEFONE" in tab.text("article")
        kept = json.loads(str(tab.run("localStorage.getItem('retorno-meu')")))
        assert kept == [
            {
                "format": 1, "question": "A paciente [NOME] pode?", "answer": "Pode. CPF [CPF].",
                "comment": "Não pode; ligue [TELEFONE].",
                "mode": "assisted", "passage": "Guia, p. 3", "recipe": "meu", "version": "1",
                "model": "m.gguf",
            }
        ]  # fmt: skip
        tab.open(address)  # it is there after the page was closed
        assert tab.text("#take") == "Exportar retornos (1)"
        assert [url for url in tab.requested() if not url.startswith((address, "data:"))] == []


@pytest.mark.parametrize("shown", [site(False), site(True, "const identifiers = /(?<nonsense/;")])
def test_where_it_is_not_allowed_or_nothing_can_be_taken_out_there_is_no_button(shown: str) -> None:
    """A browser that cannot read the rules would keep what they are to keep out, or do nothing at a click."""
    with browser.pages({"/": shown}) as address, browser.chromium() as tab:
        tab.open(address)
        assert tab.run("document.querySelectorAll('button').length") == 0


class TestRows:
    def export(self, folder: Path, *notes: dict[str, object]) -> Path:
        path = folder / "retorno-meu.jsonl"
        path.write_text("".join(json.dumps(note, ensure_ascii=False) + "\n" for note in notes), encoding="utf-8")
        return path

    def test_notes_become_rows_without_answers_and_are_looked_through_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        note = {"format": 1, "question": "CPF 529.982.247-25 pode?", "answer": "Pode.", "comment": "Não pode.",
                "recipe": "meu", "version": "1", "model": "m.gguf"}  # fmt: skip
        path = self.export(tmp_path, note, note)
        monkeypatch.chdir(tmp_path)
        done = CliRunner().invoke(main, ["new", "revisar", "--feedback", str(path)])
        assert done.exit_code == 0, done.output
        assert "1 rows to review" in done.output
        (row,) = map(json.loads, (tmp_path / "revisar.jsonl").read_text("utf-8").splitlines())
        assert row == {"question": "CPF [CPF] pode?", "answer": "", "said": "Pode.", "comment": "Não pode.", "mode": "",
                       "passage": "", "from": "meu 1 m.gguf"}  # fmt: skip
        again = CliRunner().invoke(main, ["new", "revisar", "--feedback", str(path)])
        assert again.exit_code == 2
        assert "is there already" in again.output

    def test_another_file_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        path = self.export(tmp_path, {"question": "E?", "answer": "Sim."})
        done = CliRunner().invoke(main, ["new", "revisar", "--feedback", str(path)])
        assert done.exit_code == 2
        assert "retorno-meu.jsonl:1 is no note" in done.output
        assert CliRunner().invoke(main, ["new", "revisar"]).exit_code == 2
