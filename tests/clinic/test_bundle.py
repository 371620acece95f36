"""The folder for the clinic: what scripts are told, names a stick can hold, the copy, the signature, split files."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from packager.__main__ import main
from packager.artifacts.checks import verdict
from packager.artifacts.files import sha256_of
from packager.artifacts.kinds import Answer, Proof
from packager.artifacts.knowledge import Searched
from packager.clinic import config, stick
from packager.clinic import contents as bundle_contents
from packager.clinic.config import ClinicFacts, proof_of, settings_of, write_config
from packager.clinic.targets import TARGETS
from packager.errors import InputError, MissingResource, ProofFailed
from packager.package import signing
from packager.package.verify import IN_BUNDLE, inside, verify
from packager.prompt.ollama.hub_files import hub_files
from packager.prompt.ollama.modelfile import commands_of, parse_modelfile, write_modelfile
from packager.recipe.recipe import Recipe
from packager.recipe.sections import Serve

TEMPLATE = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
RECIPE = Recipe.model_validate(
    {
        "name": "tiny",
        "description": 'Perguntas & "respostas" 100 %',
        "base": {"model": "hf:org/base"},
        "data": {"source": "x.jsonl"},
        "serve": {"context": 256, "max_answer_tokens": 60, "temperature": 0.5},
        "smoke": [{"ask": "O que é vacina?", "expect_any": ["saúde", "equipe"]}, {"ask": "E dengue?"}],
        "device": {"ram_gb": 2, "min_tokens_per_second": 2.5},
    }
)


def answer(ask: str, speed: float, file: str = "model-Q4_K_M.gguf") -> Answer:
    return Answer(file=file, ask=ask, answer="É um cuidado.\nSim.", tokens=9, stopped=True, begins="É um",
                  seconds_to_first_token=0.25, tokens_per_second=speed)  # fmt: skip


PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8Ls5Gtmn4Nu4/u2c3RsnbdxQf3I7M8yAEd1v2o0mVd"


def facts(**changes: object) -> ClinicFacts:
    proof = Proof(
        folder=Path(),
        passed=True,
        checks=(
            verdict("smoke.ram", 0.244, 2, "GB", True, "Needs 0.24 GB of memory at 256 tokens.", subject="Q4_K_M"),
            verdict("smoke.ram", 0.9, 2, "GB", True, "Needs 0.90 GB of memory at 256 tokens.", subject="Q8_0"),
        ),
        answers=(
            answer("O que é vacina?", 60), answer("E dengue?", 64), answer("E dengue?", 1, "model-Q8_0.gguf")
        ),
    )  # fmt: skip
    known = {
        "recipe": RECIPE, "version": "20261125.2155", "licence": "apache-2.0", "model": "tiny-Q4_K_M.gguf",
        "in_parts": False, "model_type": "Q4_K_M", "model_bytes": 105_000_001,
        "system": "Responda 'bem'.\nEm português.",
        "stops": ("<|im_end|>",), "proof": proof, "proven_as": "model-Q4_K_M.gguf",
        "likely": ({7: -0.25, 5: -1.5}, {9: -0.1}),
        "targets": (TARGETS["windows-x86_64"], TARGETS["linux-arm64"]), "signer": "",
        "material_bytes": 0, "searches": (),
    }  # fmt: skip
    return ClinicFacts(**(known | changes))  # type: ignore[arg-type]


def test_the_facts_that_program_and_page_need(tmp_path: Path) -> None:
    write_config(facts(), tmp_path)
    told = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    numbers = "model_mb needed_ram_mb context"
    assert [told[n] for n in numbers.split()] == [106, 269, 256]
    assert (told["model"], told["signed"]) == ("tiny-Q4_K_M.gguf", False)
    assert told["system"] == "Responda 'bem'.\nEm português."
    assert told["targets"]["windows-x86_64"] == [
        {"program": "llama-server-avx2.exe", "cpu_features": ["sse4_2", "avx", "avx2", "fma", "f16c", "bmi2"]},
        {"program": "llama-server-avx.exe", "cpu_features": ["sse4_2", "avx"]},
        {"program": "llama-server-sse42.exe", "cpu_features": ["sse4_2"]},
    ]
    assert (tmp_path / "pagina" / "config.json").read_bytes() == (tmp_path / "config.json").read_bytes()
    assert told["title"] == "Assistente de perguntas e respostas"
    assert (told["examples"], told["demonstration"]) == (["O que é vacina?", "E dengue?"], False)
    assert config.fill_in("$recipe: $model ($$)", told) == "tiny: tiny-Q4_K_M.gguf ($)"


def test_every_key_is_in_the_documentation() -> None:
    described = (Path(__file__).parents[2] / "docs" / "bundle.md").read_text(encoding="utf-8")
    lacking = [key for key in settings_of(facts()) if f"`{key}`" not in described]
    assert not lacking


def test_the_questions_as_they_were_proven(tmp_path: Path) -> None:
    write_config(facts(), tmp_path)
    first, second = json.loads((tmp_path / "prova.json").read_text(encoding="utf-8"))["questions"]
    assert first["request"] == {
        "messages": [
            {"role": "system", "content": "Responda 'bem'.\nEm português."},
            {"role": "user", "content": "O que é vacina?"},
        ],
        "temperature": 0.0, "top_k": 40, "top_p": 0.9, "min_p": 0.0, "repeat_penalty": 1.0, "repeat_last_n": 64,
        "max_tokens": 32, "seed": 42, "cache_prompt": False, "stream": False, "logprobs": True, "top_logprobs": 64,
    }  # fmt: skip
    assert first["likely"] == [{"id": 7, "logprob": -0.25}, {"id": 5, "logprob": -1.5}]
    assert json.loads((tmp_path / "prova.json").read_text(encoding="utf-8"))["most_apart_nats"] == 0.5
    assert (first["begins"], second["ask"]) == ("É um", "E dengue?")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("aux.v1-Q4.gguf", "keeps the name 'aux'"),
        ("runtime/NUL", "keeps the name 'NUL'"),
        ("a:b.txt", "cannot be the name"),
        ("ends.", "cannot be the name"),
        ("runtime/two /x", "cannot be the name"),
        ("x" * 121, "cannot be the name"),
        ("a/" * 120 + "b", "longer than"),
    ],
)
def test_names_that_a_stick_or_windows_cannot_hold(name: str, why: str) -> None:
    (fault,) = stick.refused_names([name])
    assert why in fault


def test_names_that_differ_in_letters_only() -> None:
    assert stick.refused_names(["Modelfile", "runtime/a.txt", "smollm2_aps-Q4_K_M.gguf"]) == []
    assert "the same as Modelfile" in stick.refused_names(["Modelfile", "modelfile"])[0]


def test_a_version_is_later_than_the_one_it_replaces(tmp_path: Path) -> None:
    first = bundle_contents.next_version(tmp_path)
    assert len(first) == len("20261125.2155")
    (tmp_path / "runtime").mkdir()
    for old, new in (("20991231.2359", "21000101.0000"), ("20000101.0000", first)):
        (tmp_path / "runtime" / "config.json").write_text(json.dumps({"version": old}))
        assert bundle_contents.next_version(tmp_path) >= new > old


def seal(folder: Path) -> None:
    """The bill of materials and the checksums of what lies there."""
    bundle_contents.close("tiny", bundle_contents.hashed(folder), [], folder)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle of the right structure; its weights and programs are none."""
    folder = tmp_path / "bundle"
    write_config(facts(), folder / "runtime")
    inner = folder / IN_BUNDLE
    inner.mkdir()
    (inner / "tiny-Q4_K_M.gguf").write_bytes(b"GGUF" + bytes(range(256)) * 40_000)
    commands = commands_of(TEMPLATE, "Responda.", Serve(), ["<|im_end|>"], "tiny-Q4_K_M.gguf")
    (inner / "Modelfile").write_text(write_modelfile(commands))
    for name, text in hub_files((inner / "Modelfile").read_text()).items():
        (inner / name).write_text(text)
    for name in stick.LAUNCHERS:
        (folder / name).write_text(f"start {name} FIRST=.\n")
        (folder / name).chmod(0o755)
    weights = inner / "tiny-Q4_K_M.gguf"
    entry = {"name": weights.name, "size": weights.stat().st_size, "sha256": sha256_of(weights)}
    proof = {"passed": True, "failed": [], "checks": [{"id": "smoke.stops", "passed": True}]}
    (inner / "manifest.json").write_text(
        json.dumps({"name": "tiny", "files": [entry], "proof": proof, "bom": "bom.cdx.json"})
    )
    seal(folder)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "stick").mkdir()
    return tmp_path / "stick"


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_copy_is_whole_and_begins_with_the_version(bundle: Path, target: Path) -> None:
    copied = stick.copy(bundle, target)
    assert copied == target / "tiny-20261125.2155"
    assert contents(copied) == contents(bundle)
    assert (copied / "iniciar.sh").stat().st_mode & 0o777 == 0o755
    assert (target / "iniciar.bat").read_text() == "start iniciar.bat FIRST=tiny-20261125.2155\n"
    assert verify(copied).name == "tiny"
    assert inside(copied) == copied / IN_BUNDLE
    assert inside(inside(copied)) == copied / IN_BUNDLE  # a package itself


@pytest.mark.parametrize("at", ["in the middle", "altered", "last file"])
def test_a_copy_goes_on_where_it_stopped(bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    class Pulled(Exception):
        pass

    written: list[str] = []
    copy_file = stick._copy_file

    def pulled(source: Path, to: Path):  # type: ignore[no-untyped-def]
        for count in copy_file(source, to):
            written.append(to.name)
            yield count
            if to.name == ("SHA256SUMS" if at == "last file" else "tiny-Q4_K_M.gguf") and len(written) > 1:
                raise Pulled

    monkeypatch.setattr(stick, "CHUNK", 1 << 20)
    monkeypatch.setattr(stick, "_copy_file", pulled)
    with pytest.raises(Pulled):
        stick.copy(bundle, target)
    half = target / "tiny-20261125.2155"
    assert not (half / "SHA256SUMS").exists()
    if at != "last file":
        partial = half / IN_BUNDLE / "tiny-Q4_K_M.gguf.partial"
        assert partial.stat().st_size
        if at == "altered":
            partial.write_bytes(b"GGUF" + b"\1" + partial.read_bytes()[5:])
    with pytest.raises(ProofFailed):
        verify(half)
    monkeypatch.setattr(stick, "_copy_file", copy_file)
    whole = [p for p in half.rglob("*") if p.is_file() and p.suffix != ".partial"]
    before = {p: p.stat().st_mtime_ns for p in whole}
    assert contents(stick.copy(bundle, target)) == contents(bundle)
    assert all(p.stat().st_mtime_ns == time for p, time in before.items())


def test_a_damaged_file_on_the_stick_is_written_again(bundle: Path, target: Path) -> None:
    copied = stick.copy(bundle, target)
    (copied / "runtime" / "config.json").write_text("{}")
    stick.copy(bundle, target)
    assert contents(copied) == contents(bundle)


def test_a_stick_that_does_not_keep_what_is_written_is_named(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_of = stick.sha256_of
    monkeypatch.setattr(stick, "sha256_of", lambda p: "0" * 64 if target in p.parents else hash_of(p))
    with pytest.raises(ProofFailed, match="does not read back as it was written"):
        stick.copy(bundle, target)


def test_the_last_of_the_tries_counts_too(bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_files = stick._copy_files
    tries = []

    def spoilt(source: Path, to: Path, names: list[str]) -> None:
        tries.append(names)
        copy_files(source, to, names)
        if len(tries) < stick.TRIES:
            (to / IN_BUNDLE / "Modelfile").write_text("x")

    monkeypatch.setattr(stick, "_copy_files", spoilt)
    assert contents(stick.copy(bundle, target)) == contents(bundle)
    assert len(tries) == stick.TRIES


def test_strange_files_and_missing_room_stop_the_copy(
    bundle: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(target)
    monkeypatch.setattr(stick.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(MissingResource, match="MB more"):
        stick.copy(bundle, target)
    monkeypatch.undo()
    copied = stick.copy(bundle, target)
    (copied / "foto.jpg").write_bytes(b"1")
    stick.copy(bundle, target)  # no program: it may lie there
    (copied / "foto.exe").write_bytes(b"1")
    with pytest.raises(InputError, match=r"foto\.exe does not belong"):
        stick.copy(bundle, target)


def test_an_older_version_beside_keeps_the_newer_start_scripts(bundle: Path, target: Path) -> None:
    newer = target / "tiny-20270101.0000" / "runtime"
    newer.mkdir(parents=True)
    (newer / "config.json").write_text('{"version": "20270101.0000"}')
    (newer.parent / "SHA256SUMS").touch()
    (target / "iniciar.sh").write_text("newer\n")
    stick.copy(bundle, target)
    assert (target / "iniciar.sh").read_text() == "newer\n"


@pytest.mark.parametrize("damaged", [b"", b"\xff\xfe", b"[]", b"{}", b'{"version": '])
def test_a_damaged_folder_beside_does_not_stop_the_copy(bundle: Path, target: Path, damaged: bytes) -> None:
    other = target / "outro-20270101.0000" / "runtime"
    other.mkdir(parents=True)
    (other / "config.json").write_bytes(damaged)
    (other.parent / "SHA256SUMS").touch()
    stick.copy(bundle, target)
    assert (target / "iniciar.sh").read_text().startswith("start iniciar.sh FIRST=tiny-")


needs_ssh_keygen = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed")


def make_key(folder: Path, name: str, kind: str = "ed25519") -> Path:
    command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "editora", "-f", str(folder / name)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return folder / name


@needs_ssh_keygen
def test_a_signature_is_by_one_key_over_these_bytes(bundle: Path, tmp_path: Path) -> None:
    key, other = make_key(tmp_path, "key"), make_key(tmp_path, "other")
    by = signing.sign(bundle, key)
    shown = subprocess.run(["ssh-keygen", "-lf", f"{key}.pub"], capture_output=True, text=True, check=True)
    assert by in shown.stdout
    found = verify(bundle, Path(f"{key}.pub"))
    assert (found.signed, found.checked) == (by, True)
    assert (verify(bundle).signed, verify(bundle).checked) == (by, False)
    with pytest.raises(ProofFailed, match="is not what the owner"):
        verify(bundle, Path(f"{other}.pub"))
    sums = bundle / "SHA256SUMS"  # everything consistent again, but for the signature
    (bundle / "runtime" / "config.json").write_text("{}")
    sums.unlink()
    (bundle / signing.SIGNATURE).rename(tmp_path / "kept")
    seal(bundle)
    (tmp_path / "kept").rename(bundle / signing.SIGNATURE)
    with pytest.raises(ProofFailed, match="is not a signature of this SHA256SUMS"):
        verify(bundle)
    with pytest.raises(ProofFailed, match="is not what the owner"):
        verify(bundle, Path(f"{key}.pub"))


def test_a_signature_that_was_taken_away_is_missed(bundle: Path) -> None:
    write_config(facts(signer=PUBLIC), bundle / "runtime")
    (bundle / "SHA256SUMS").unlink()
    seal(bundle)
    with pytest.raises(ProofFailed, match=r"SHA256SUMS\.sig: is missing"):
        verify(bundle)


@needs_ssh_keygen
def test_a_clinic_can_check_the_signature_with_its_own_tool(bundle: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path, "key")
    signing.sign(bundle, key)
    (tmp_path / "allowed").write_text("packager " + Path(f"{key}.pub").read_text())
    command = ["ssh-keygen", "-Y", "verify", "-f", tmp_path / "allowed", "-I", "packager", "-n", "packager", "-s",
               bundle / "SHA256SUMS.sig"]  # fmt: skip
    with (bundle / "SHA256SUMS").open("rb") as sums:
        done = subprocess.run(command, stdin=sums, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@needs_ssh_keygen
def test_what_cannot_sign_or_be_checked_is_said(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not an ed25519 key"):
        signing.sign(bundle, make_key(tmp_path, "rsa", "rsa"))
    assert not (bundle / signing.SIGNATURE).exists()
    (tmp_path / "none").write_text("no key")
    with pytest.raises(InputError, match="could not sign") as failed:
        signing.sign(bundle, tmp_path / "none")
    assert failed.value.fix == signing.MAKE_A_KEY
    with pytest.raises(ProofFailed, match="is not signed"):
        verify(bundle, tmp_path / "none")
    signing.sign(bundle, make_key(tmp_path, "key"))
    with pytest.raises(InputError, match="is not a public key"):
        verify(bundle, bundle / "iniciar.sh")
    (bundle / signing.SIGNATURE).write_text("-----BEGIN SSH SIGNATURE-----\n")
    with pytest.raises(ProofFailed, match="is damaged"):
        verify(bundle)


@needs_ssh_keygen
def test_every_file_altered_removed_or_added_is_named(bundle: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path, "key")
    signing.sign(bundle, key)
    for name in sorted(contents(bundle)):
        path, kept = bundle / name, (bundle / name).read_bytes()
        names = (name, "SHA256SUMS") if name.startswith("SHA256SUMS") else (name,)
        if kept:
            path.write_bytes(kept[:-2] + bytes([kept[-2] ^ 1]) + kept[-1:] if len(kept) > 1 else b"x")
            _refused(bundle, key, names)
        path.unlink()
        _refused(bundle, key, names)
        path.write_bytes(kept)
        if name.startswith("SHA256SUMS"):
            continue
        added = path.with_name(path.name + ".extra")
        added.write_bytes(b"")
        if name.startswith("runtime/"):
            _refused(bundle, key, (added.name,))
        else:  # nothing of it is ever read
            assert added.relative_to(bundle).as_posix() in verify(bundle, Path(f"{key}.pub")).ignored
        added.unlink()
    assert verify(bundle, Path(f"{key}.pub")).checked


def _refused(folder: Path, key: Path, names: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, ["verify", str(folder), "--key", f"{key}.pub"])
    assert done.exit_code == 3, (names, done.output)
    assert any(name in done.output for name in names), (names, done.output)


def test_a_split_file_has_its_parts_in_manifest_and_modelfile(bundle: Path, tmp_path: Path) -> None:
    entry = json.loads((bundle / IN_BUNDLE / "manifest.json").read_text())["files"][0] | {"default": True}
    parts = [bundle / IN_BUNDLE / f"tiny-Q4_K_M-0000{n}-of-00002.gguf" for n in (1, 2)]
    for part in parts:
        part.write_bytes(part.name.encode())
    recorded = [bundle_contents._part(entry, part, first=part is parts[0]) for part in parts]
    assert [(f["name"], f["size"], f["default"]) for f in recorded] == [
        (p.name, len(p.name), p is parts[0]) for p in parts
    ]
    assert recorded[1]["part_of"] == {"name": entry["name"], "size": entry["size"], "sha256": entry["sha256"]}
    bundle_contents._name_every_part(bundle / IN_BUNDLE, entry["name"], [part.name for part in parts])
    commands = parse_modelfile((bundle / IN_BUNDLE / "Modelfile").read_text())
    assert [c.value for c in commands if c.name == "model"] == [f"./{part.name}" for part in parts]
    assert [c.value for c in commands if c.name == "requires"] == ["0.30.0"]


def test_weights_are_linked_and_the_rest_copied(tmp_path: Path) -> None:
    for name in ("m.gguf", "Modelfile"):
        (tmp_path / name).write_text(name)
        bundle_contents._link_weights_copy_the_rest(tmp_path / name, tmp_path / f"{name}.copy")
    assert (tmp_path / "m.gguf.copy").samefile(tmp_path / "m.gguf")
    assert not (tmp_path / "Modelfile.copy").samefile(tmp_path / "Modelfile")


def test_with_approved_material_the_page_begins_with_its_questions_and_is_no_demonstration() -> None:
    shown = RECIPE.model_copy(update={"clinic": RECIPE.clinic.model_copy(update={"demonstration": True})})
    proof = facts().proof.model_copy(update={"mode": "approved"})
    searched = (Searched(ask="oq e", ranking="{}"),)
    known = facts(
        recipe=shown, proof=proof, material_bytes=24_000_000, searches=searched, examples=("O que é dengue?",)
    )
    told = settings_of(known)
    assert (told["mode"], told["demonstration"], told["examples"]) == ("approved", False, ["O que é dengue?"])
    assert told["material_ram_mb"] == 36
    assert "palavra por palavra" in told["banner"]
    assert "aprovado" not in (told["banner"] + told["ollama_note"]).replace("lê-los e aprová-los", "")
    assert "não consta quem leu e aprovou" in told["banner"]
    by = shown.model_copy(update={"dossier": shown.dossier.model_copy(update={"approval": "Ana, COREN 12"})})
    approved = settings_of(facts(recipe=by, proof=proof, searches=searched))
    assert approved["approved_by"] == "Ana, COREN 12"
    assert approved["banner"].endswith("Aprovado por: Ana, COREN 12\n")
    assert "texto aprovado" in approved["banner"]
    assert "no Ollama o modelo responde sozinho" in told["ollama_note"]
    assert proof_of(known)["searches"] == [{"ask": "oq e", "ranking": "{}"}]
    free = settings_of(facts(recipe=shown))
    assert (free["mode"], free["demonstration"], free["ollama_note"]) == ("free", True, "")
