"""Folders side by side, of every kind: only what may be started is, and the rest is named with its reason."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import clinic_bundle
import pytest
from clinic_bundle import CONFIG, check, run, started

from packager.package import signing
from packager.package.verify import IN_BUNDLE

needs_ssh_keygen = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="no ssh-keygen here")
OLD, NEW = "20261125.2155", "20261126.0900"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clinic_bundle.program_of(tmp_path_factory)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "other"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "Editora X", "-f", folder / name], check=True
        )
    return {name: folder / name for name in ("ours", "other")}


def signed(folder: Path, program: Path, key: Path, version: str = OLD, **config: Any) -> Path:
    """A bundle that states `key` and is signed with it."""
    stated = {"version": version, "signed": True, "signer": signing.public_key(key)}
    clinic_bundle.make(folder, program, stated | config)
    signing.sign(folder, key)
    return folder


def numbers(key: Path) -> str:
    return signing.numbers(signing.public_key(key))


def test_the_newest_version_that_is_whole(tmp_path: Path, program: Path) -> None:
    old = clinic_bundle.make(tmp_path / "a", program, {"version": OLD})
    new = clinic_bundle.make(tmp_path / "b", program, {"version": NEW})
    clinic_bundle.make(tmp_path / "c", program, {"version": "20270101.0000", "recipe": "outro"})
    code, said = check(old)
    assert code == 0
    assert f"Versão {NEW} ({new})" in said
    assert OLD not in said
    (new / "LEIA-ME.txt").write_text("x")
    code, said = check(new)  # rollback, whichever of them was started
    assert code == 0
    assert "LEIA-ME.txt: foi alterado" in said
    assert "Tentando a anterior" in said
    assert f"Versão {OLD} ({old})" in said
    (old / "LEIA-ME.txt").unlink()
    assert check(new)[0] == 3


@needs_ssh_keygen
def test_a_newer_one_by_the_same_key_is_started(tmp_path: Path, program: Path, keys: dict[str, Path]) -> None:
    old = signed(tmp_path / "old", program, keys["ours"])
    signed(tmp_path / "new", program, keys["ours"], NEW, title="A nova")
    with started(["sh", str(old / "iniciar.sh"), "--sem-navegador"]) as running:
        assert f"A nova, versão {NEW}" in running.said
        assert f"Números da chave: {numbers(keys['ours'])}" in running.said


def unsigned(folder: Path, program: Path, keys: dict[str, Path]) -> None:
    clinic_bundle.make(folder, program, {"version": NEW, "title": "FALSO"})


def by_another(folder: Path, program: Path, keys: dict[str, Path]) -> None:
    signed(folder, program, keys["other"], NEW, title="FALSO")


def stating_our_key(folder: Path, program: Path, keys: dict[str, Path]) -> None:
    """Signed by the other one, and says of itself that it is ours."""
    stated = {"version": NEW, "title": "FALSO", "signed": True, "signer": signing.public_key(keys["ours"])}
    clinic_bundle.make(folder, program, stated)
    signing.sign(folder, keys["other"])


def with_our_signature(folder: Path, program: Path, keys: dict[str, Path]) -> None:
    """The signature of a real one beside other files."""
    signed(folder, program, keys["ours"], NEW)
    (folder / "LEIA-ME.txt").write_text("FALSO")
    clinic_bundle.close(folder)


def altered(folder: Path, program: Path, keys: dict[str, Path]) -> None:
    signed(folder, program, keys["ours"], NEW)
    (folder / IN_BUNDLE / CONFIG["model"]).write_text("FALSO")


def half_copied(folder: Path, program: Path, keys: dict[str, Path]) -> None:
    """As far as `packager bundle --to` came: SHA256SUMS goes last."""
    signed(folder, program, keys["ours"], NEW)
    (folder / "SHA256SUMS").unlink()


def half_copied_by_hand(folder: Path, program: Path, keys: dict[str, Path]) -> None:
    signed(folder, program, keys["ours"], NEW)
    (folder / IN_BUNDLE / CONFIG["model"]).unlink()


def without_its_signature(folder: Path, program: Path, keys: dict[str, Path]) -> None:
    signed(folder, program, keys["ours"], NEW)
    (folder / signing.SIGNATURE).unlink()


def of_another_generation(folder: Path, program: Path, keys: dict[str, Path]) -> None:
    signed(folder, program, keys["ours"], NEW, format=3)


@needs_ssh_keygen
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (unsigned, "Não está assinada, e só uma assinada pela mesma chave é aceita."),
        (by_another, "Está assinada por outra chave."),
        (stating_our_key, "Está assinada por outra chave."),
        (with_our_signature, "A assinatura não confere"),
        (altered, f"{CONFIG['model']}: foi alterado"),
        (half_copied, "a cópia desta pasta não foi até o fim"),
        (half_copied_by_hand, f"{CONFIG['model']}: está faltando"),
        (without_its_signature, "a assinatura foi retirada"),
        (of_another_generation, "abra o iniciar que está na pasta dela"),
    ],
)
@pytest.mark.parametrize("from_the_top", [False, True])
def test_a_newer_one_that_may_not_be_started(
    tmp_path: Path, program: Path, keys: dict[str, Path], kind: Any, words: str, from_the_top: bool
) -> None:
    old = signed(tmp_path / f"meu_aps-{OLD}", program, keys["ours"])
    kind(tmp_path / f"meu_aps-{NEW}", program, keys)
    shutil.copy(old / "iniciar.sh", tmp_path)
    opened = tmp_path if from_the_top else old
    with started(["sh", str(opened / "iniciar.sh"), "--sem-navegador"]) as running:
        assert words in running.said
        assert "Esta versão fica de fora" in running.said
        assert f"Perguntas sobre a APS, versão {OLD}" in running.said
        if words.startswith("Está assinada por outra"):
            assert f"Números desta:      {numbers(keys['other'])}" in running.said
            assert f"Números esperados:  {numbers(keys['ours'])}" in running.said


@needs_ssh_keygen
def test_an_altered_one_falls_back_to_none_but_its_own(tmp_path: Path, program: Path, keys: dict[str, Path]) -> None:
    new = signed(tmp_path / "new", program, keys["ours"], NEW)
    old = clinic_bundle.make(tmp_path / "old", program, {"version": OLD})
    (new / IN_BUNDLE / CONFIG["model"]).write_text("x")
    code, said = run(new, "iniciar.sh", "--sem-navegador")
    assert code == 3
    assert "Não está assinada" in said
    shutil.rmtree(old)
    signed(old, program, keys["ours"])
    with started(["sh", str(new / "iniciar.sh"), "--sem-navegador"]) as running:
        assert f"versão {OLD}" in running.said


@needs_ssh_keygen
def test_a_program_on_the_stick_or_in_the_path_is_not_asked(
    tmp_path: Path, program: Path, keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = signed(tmp_path / "old", program, keys["ours"])
    with_our_signature(tmp_path / "new", program, keys)
    asked = tmp_path / "asked"
    for folder in (tmp_path, old, tmp_path / "new"):
        for name in ("ssh-keygen", "ssh-keygen.exe"):
            (folder / name).write_text(f"#!/bin/sh\ntouch {asked}\nexit 0\n")
            (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f".:{tmp_path}", prepend=os.pathsep)
    monkeypatch.chdir(tmp_path / "new")
    said = subprocess.run([program, "conferir", "--pasta", old], capture_output=True, text=True).stderr
    assert "A assinatura não confere" in said
    assert not asked.exists()


@needs_ssh_keygen
def test_a_key_that_was_given(tmp_path: Path, program: Path, keys: dict[str, Path]) -> None:
    bundle = clinic_bundle.make(tmp_path / "b", program)
    public = ("--chave", f"{keys['ours']}.pub")
    code, said = check(bundle, *public)
    assert code == 3
    assert "Não está assinada" in said
    shutil.rmtree(bundle)
    signed(bundle, program, keys["ours"])
    assert "Assinatura conferida" in check(bundle, *public)[1]
    assert numbers(keys["ours"]) in check(bundle)[1]
    code, said = check(bundle, "--chave", f"{keys['other']}.pub")
    assert code == 3
    assert "a assinatura não confere com a chave dada" in said
    (bundle / "LEIA-ME.txt").write_text("x")
    clinic_bundle.close(bundle)  # whoever alters a file can write its checksum, not the signature
    assert check(bundle)[0] == 3
    assert check(bundle, *public)[0] == 3


@needs_ssh_keygen
def test_one_that_is_not_listed_is_checked_too(tmp_path: Path, program: Path, keys: dict[str, Path]) -> None:
    """Its name begins with a point; on top of a drive, or in a folder that cannot be listed, it is the same."""
    public = ("--chave", f"{keys['ours']}.pub")
    bundle = signed(tmp_path / ".oculto", program, keys["ours"])
    for given in ((), public):
        code, said = check(bundle, *given)
        assert code == 0, said
        assert "Assinatura conferida" in said
    (bundle / "LEIA-ME.txt").write_text("FALSO")
    clinic_bundle.close(bundle)
    for given in ((), public):
        code, said = check(bundle, *given)
        assert code == 3
        assert "A assinatura não confere" in said
    with_our_signature(tmp_path / "new", program, keys)
    signed(tmp_path / "old", program, keys["ours"], "20261124.0000")
    code, said = check(bundle)  # those beside it are still looked at
    assert code == 0
    assert f"({tmp_path / 'old'})" in said


@needs_ssh_keygen
@pytest.mark.skipif(os.getuid() == 0, reason="root lists every folder")
def test_one_in_a_folder_that_cannot_be_listed(tmp_path: Path, program: Path, keys: dict[str, Path]) -> None:
    parent = tmp_path / "parent"
    bundle = signed(parent / "b", program, keys["ours"])
    (bundle / "LEIA-ME.txt").write_text("FALSO")
    clinic_bundle.close(bundle)
    parent.chmod(0o311)
    try:
        code, said = check(bundle)
    finally:
        parent.chmod(0o755)
    assert code == 3
    assert "A assinatura não confere" in said


@needs_ssh_keygen
def test_a_key_file_that_is_none(tmp_path: Path, program: Path, keys: dict[str, Path]) -> None:
    bundle = signed(tmp_path / "b", program, keys["ours"])
    for given, words in (("nada.pub", "Não há um arquivo de chave em"), (keys["ours"], "não é uma chave pública")):
        code, said = check(bundle, "--chave", str(given))
        assert code == 2
        assert words in said
        assert "assinatura" not in said


def test_a_signature_that_was_taken_away(tmp_path: Path, program: Path) -> None:
    code, said = check(clinic_bundle.make(tmp_path / "b", program, {"signed": True}))
    assert code == 3
    assert "a assinatura foi retirada" in said
