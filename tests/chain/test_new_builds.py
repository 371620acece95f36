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

SUBJECTS = ("vacina", "dengue", "diabetes", "tabaco", "parto", "febre")
MORE = (
    ("Onde ler sobre {}?", "Há folhetos sobre {} na sala de espera da unidade de saúde."),
    ("Quem já sabe de {}?", "Muitas famílias já conversaram sobre {} com a equipe."),
    ("Vale a pena falar de {}?", "Vale: conversar sobre {} ajuda a família a cuidar da saúde."),
)
Pairs = list[tuple[str, str]]
Make = Callable[[Path, Pairs], Path]


@pytest.fixture
def pairs(taught_data: Path) -> Pairs:
    """Fifty questions and answers: those of the taught model's data, and some more."""
    rows = [json.loads(line) for line in taught_data.read_text(encoding="utf-8").splitlines()]
    more = [(question.format(subject), answer.format(subject)) for question, answer in MORE for subject in SUBJECTS]
    return [*((row["question"], row["answer"]) for row in rows), *more][:50]


def _xlsx(folder: Path, pairs: Pairs) -> Path:
    pytest.importorskip("python_calamine", reason="python-calamine is not installed: pip install -e .")
    return write_xlsx(folder / "planilha.xlsx", {"Perguntas": [["Pergunta", "Resposta"], *map(list, pairs)]})


def _sharegpt(folder: Path, pairs: Pairs) -> Path:
    rows = [{"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]} for q, a in pairs]
    (folder / "sharegpt.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder / "sharegpt.jsonl"


def _saved(folder: Path, pairs: Pairs) -> Path:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list([{"pergunta": q, "resposta": a} for q, a in pairs]).save_to_disk(str(folder / "salvo"))
    return folder / "salvo"


def _parquet(folder: Path, pairs: Pairs) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"id": list(range(50)), "question": [q for q, _ in pairs], "answer": [a for _, a in pairs]}
    parquet.write_table(pyarrow.table(columns), folder / "dados.parquet")
    return folder / "dados.parquet"


def _windows_csv(folder: Path, pairs: Pairs) -> Path:
    text = "Dúvida;Orientação\r\n" + "".join(f"{q};{a}\r\n" for q, a in pairs)
    (folder / "excel.csv").write_bytes(text.encode("cp1252"))
    return folder / "excel.csv"


@pytest.mark.skipif(not VENDOR.joinpath("llama.cpp").is_dir(), reason="vendor is not fetched: make setup")
@pytest.mark.parametrize("make", [_xlsx, _sharegpt, _saved, _parquet, _windows_csv])
def test_a_file_becomes_a_recipe_that_builds(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spm_base: Checkpoint, pairs: Pairs
) -> None:
    monkeypatch.chdir(tmp_path)
    drafted = CliRunner().invoke(
        main, ["new", "meu", "--data", make(tmp_path, pairs).name, "--base", str(spm_base.folder)]
    )
    assert drafted.exit_code == 0, drafted.output
    built = CliRunner().invoke(main, ["build", "meu", "--until", "data"])
    assert built.exit_code == 0, built.output
    train, heldout = (
        (tmp_path / "build/meu/data" / name).read_text("utf-8") for name in ("train.jsonl", "heldout.jsonl")
    )
    assert train.count("\n") + heldout.count("\n") == 50


@pytest.mark.slow
@pytest.mark.skipif(not VENDOR.joinpath("llama.cpp").is_dir(), reason="vendor is not fetched: make setup")
@pytest.mark.parametrize("make", [_xlsx, _sharegpt, _saved, _parquet, _windows_csv])
def test_a_file_becomes_a_package(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taught_base: Path, pairs: Pairs
) -> None:
    """No flag is typed by hand but the base, which has to be one that is on this machine."""
    monkeypatch.chdir(tmp_path)
    drafted = CliRunner().invoke(main, ["new", "meu", "--data", make(tmp_path, pairs).name, "--base", str(taught_base)])
    assert drafted.exit_code == 0, drafted.output
    built = CliRunner().invoke(main, ["build", "meu"])
    assert built.exit_code == 0, built.output
    assert (tmp_path / "build/meu/package/manifest.json").is_file()
