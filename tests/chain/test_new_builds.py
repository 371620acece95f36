"""From a file as people have it to a data stage that is done: `packager new`, then `build`, no flag typed by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from sheets import write_xlsx

from packager.__main__ import main
from packager.artifacts.kinds import Checkpoint
from packager.llamacpp.vendored import VENDOR

SUBJECTS = ("vacina", "dengue", "diabetes", "tabaco", "parto", "febre", "asma", "tosse", "dor", "gestação")
ASKED = ("O que é {}?", "Quem cuida de {}?", "Onde pergunto sobre {}?", "Quando procurar por {}?", "Como registrar {}?")
SAID = (
    "A palavra {} é um tema que a equipe explica para a família.",
    "Quem cuida do tema {} é a equipe da unidade básica.",
    "Para saber mais sobre {}, vá à unidade mais perto.",
    "Procure por {} assim que tiver uma dúvida sem resposta.",
    "O registro de {} fica no prontuário da pessoa atendida.",
)
PAIRS = [(q.format(s), a.format(s)) for s in SUBJECTS for q, a in zip(ASKED, SAID, strict=True)]


def _xlsx(folder: Path) -> Path:
    pytest.importorskip("python_calamine", reason="python-calamine is not installed: pip install -e .")
    return write_xlsx(folder / "planilha.xlsx", {"Perguntas": [["Pergunta", "Resposta"], *map(list, PAIRS)]})


def _sharegpt(folder: Path) -> Path:
    rows = [{"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]} for q, a in PAIRS]
    (folder / "sharegpt.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder / "sharegpt.jsonl"


def _saved(folder: Path) -> Path:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list([{"pergunta": q, "resposta": a} for q, a in PAIRS]).save_to_disk(str(folder / "salvo"))
    return folder / "salvo"


def _parquet(folder: Path) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"id": list(range(50)), "question": [q for q, _ in PAIRS], "answer": [a for _, a in PAIRS]}
    parquet.write_table(pyarrow.table(columns), folder / "dados.parquet")
    return folder / "dados.parquet"


def _windows_csv(folder: Path) -> Path:
    text = "Dúvida;Orientação\r\n" + "".join(f"{q};{a}\r\n" for q, a in PAIRS)
    (folder / "excel.csv").write_bytes(text.encode("cp1252"))
    return folder / "excel.csv"


@pytest.mark.skipif(not VENDOR.joinpath("llama.cpp").is_dir(), reason="vendor is not fetched: make setup")
@pytest.mark.parametrize("make", [_xlsx, _sharegpt, _saved, _parquet, _windows_csv])
def test_a_file_becomes_a_recipe_that_builds(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spm_base: Checkpoint
) -> None:
    monkeypatch.chdir(tmp_path)
    drafted = CliRunner().invoke(main, ["new", "meu", "--data", make(tmp_path).name, "--base", str(spm_base.folder)])
    assert drafted.exit_code == 0, drafted.output
    built = CliRunner().invoke(main, ["build", "meu", "--until", "data"])
    assert built.exit_code == 0, built.output
    train, heldout = (
        (tmp_path / "build/meu/data" / name).read_text("utf-8") for name in ("train.jsonl", "heldout.jsonl")
    )
    assert train.count("\n") + heldout.count("\n") == 50
