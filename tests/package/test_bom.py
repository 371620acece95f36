"""The bill of materials: of the format's schema, the same each time, every file in it, and a foreign file found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cards import card_facts
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from packager.artifacts.checks import verdict
from packager.artifacts.files import sha256_of
from packager.artifacts.kinds import Divergence, Merged
from packager.artifacts.knowledge import Knowledge
from packager.clinic.parts import programs
from packager.clinic.targets import TARGETS
from packager.errors import ProofFailed
from packager.package.bom import BOM, Part, bom_of, faults
from packager.package.manifest import manifest_of
from packager.package.parts import parts_of
from packager.package.verify import CHECKSUMS, verify
from packager.prompt.ollama.hub_files import hub_files
from packager.prompt.ollama.modelfile import commands_of, write_modelfile
from packager.recipe.dossier import Dossier
from packager.recipe.sections import Serve

TEMPLATE = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
NEAR = Divergence(positions=9, kl_mean=0.05, kl_median=0.03, kl_99=0.4, same_top=0.85, loss=3.0, perplexity_ratio=1.05,
                  perplexity_ratio_error=0.01)  # fmt: skip


def manifest(folder: Path, weights: Path, *, knowledge: Knowledge | None = None) -> dict[str, Any]:
    known = card_facts("hf:example/tiny-llama", "abc123")
    recipe = known.recipe.model_copy(update={"dossier": Dossier(purpose="Ensinar.", users="A equipe.")})
    file = known.ggufs.files[0].model_copy(
        update={"sha256": sha256_of(weights), "size": weights.stat().st_size, "divergence": NEAR}
    )
    base = known.base.model_dump(exclude={"folder", "content"})
    merged = Merged(folder=folder, **base, pairs_used=2, pairs_total=2, delta_norm=1, delta_norm_expected=1,
                    largest_weight=3, moved=None, heldout_loss=3.1)  # fmt: skip
    ggufs = known.ggufs.model_copy(update={"files": (file,)})
    loads = verdict("smoke.loads", "yes", "yes", "", True, "Q4_K_M: loads.", subject="Q4_K_M")
    proof = known.proof.model_copy(update={"checks": (*known.proof.checks, loads)})
    return manifest_of(recipe, known.base, known.data, known.adapter, merged, ggufs, proof, knowledge)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small package with its bill of materials; its weights are none."""
    folder = tmp_path / "package"
    folder.mkdir()
    weights = folder / "meu-Q4_K_M.gguf"
    weights.write_bytes(b"GGUF" + bytes(range(256)) * 40)
    commands = commands_of(TEMPLATE, "Responda.", Serve(), ["<|im_end|>", "<|im_start|>"], weights.name)
    (folder / "Modelfile").write_text(write_modelfile(commands))
    for name, text in hub_files((folder / "Modelfile").read_text()).items():
        (folder / name).write_text(text)
    (folder / "manifest.json").write_text(json.dumps(manifest(folder, weights)))
    (folder / BOM).write_text(bill(folder))
    seal(folder)
    return folder


def bill(folder: Path) -> str:
    found = json.loads((folder / "manifest.json").read_text())
    return bom_of("meu", "package", parts_of(found, "c" * 64, "CC0-1.0"), listed(folder))


def listed(folder: Path) -> dict[str, str]:
    there = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in (BOM, CHECKSUMS))
    return {p.relative_to(folder).as_posix(): sha256_of(p) for p in there}


def seal(folder: Path) -> None:
    sums = listed(folder) | {BOM: sha256_of(folder / BOM)}
    (folder / CHECKSUMS).write_text("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))


def refuse_invalid(text: str) -> None:
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert fault is None, str(fault)


def test_it_is_of_the_schema_and_says_what_the_weights_are_made_of(package: Path) -> None:
    text = (package / BOM).read_text()
    refuse_invalid(text)
    found = json.loads(text)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    by_ref = {c["bom-ref"]: c for c in found["components"]}
    assert (by_ref["base"]["type"], by_ref["base"]["version"]) == ("machine-learning-model", "abc123")
    assert by_ref["base"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert by_ref["data"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert by_ref["data"]["licenses"] == [{"license": {"name": "CC0-1.0"}}]
    assert by_ref["adapter"]["hashes"][0]["content"] == "c" * 64
    assert len(by_ref["llama.cpp"]["version"]) == 40
    weights = by_ref["file:meu-Q4_K_M.gguf"]
    assert weights["modelCard"]["modelParameters"]["datasets"] == [{"ref": "data"}]
    assert weights["modelCard"]["considerations"]["users"] == ["A equipe."]
    depends = {d["ref"]: d.get("dependsOn", []) for d in found["dependencies"]}
    assert set(depends["file:meu-Q4_K_M.gguf"]) == {"base", "adapter", "data", "llama.cpp"}


def test_every_file_stands_in_it_with_its_hash(package: Path) -> None:
    found = json.loads((package / BOM).read_text())
    files = {c["bom-ref"][5:]: c["hashes"][0]["content"] for c in found["components"] if c["bom-ref"][:5] == "file:"}
    assert files == listed(package)
    assert verify(package).name == "meu"


def test_the_same_contents_give_the_same_bytes_and_others_another_number(package: Path) -> None:
    assert bill(package) == (package / BOM).read_text()
    before = json.loads(bill(package))["serialNumber"]
    assert "timestamp" not in json.loads(bill(package))["metadata"]
    (package / "system").write_text("Outro.")
    assert json.loads(bill(package))["serialNumber"] != before


def test_a_planted_file_is_found_though_the_checksums_name_it(package: Path) -> None:
    (package / "extra.txt").write_text("from elsewhere")
    seal(package)
    with pytest.raises(ProofFailed, match=r"extra\.txt: does not stand in bom\.cdx\.json"):
        verify(package)


def test_a_changed_and_a_missing_file_are_found_and_so_is_a_bill_that_is_none(package: Path) -> None:
    (package / "README.md").write_text("another")
    (package / "system").write_text("Receite.")
    seal(package)
    with pytest.raises(ProofFailed, match=r"system: bom\.cdx\.json gives it another sha256"):
        verify(package)
    assert list(faults("{}", {}))
    assert list(faults(bill(package), {})) != []
    (package / BOM).unlink()
    (package / CHECKSUMS).write_text("".join(f"{s}  {n}\n" for n, s in listed(package).items()))
    with pytest.raises(ProofFailed, match="is no bill of materials"):
        verify(package)


def test_a_part_for_a_file_must_have_its_hash() -> None:
    with pytest.raises(ValueError, match="is not the file"):
        bom_of("m", "package", [Part("file:a", "model", "a", sha256="0" * 64)], {"a": "1" * 64})


def test_programs_say_how_they_were_compiled() -> None:
    target = TARGETS["windows-x86_64"]
    sums = {"runtime/windows-x86_64/llama-server-avx.exe": "1" * 64, "runtime/windows-x86_64/clinica.exe": "2" * 64,
            "runtime/pagina/index.html": "3" * 64}  # fmt: skip
    text = bom_of("m", "bundle", list(programs([target], sums)), sums)
    refuse_invalid(text)
    found = {c["bom-ref"]: c for c in json.loads(text)["components"]}
    server = {p["name"]: p["value"] for p in found["file:runtime/windows-x86_64/llama-server-avx.exe"]["properties"]}
    assert server["packager:target"] == "x86_64-windows-gnu"
    assert server["packager:compiler"].startswith("zig")
    options = json.loads(server["packager:cmake"])
    assert (options["GGML_NATIVE"], options["GGML_AVX"], options["GGML_AVX2"]) == ("OFF", "ON", "OFF")
    assert found["file:runtime/windows-x86_64/clinica.exe"]["type"] == "application"
    assert found["file:runtime/pagina/index.html"]["type"] == "file"


def test_an_untrained_package_and_one_with_material_are_of_the_schema(package: Path) -> None:
    material = Knowledge(folder=package, passages=3, sources=("A.pdf",), near=0.4, sure=0.5, asked=1, outside=0,
                         asked_near=0, found_first=1, found_three=1, kept=1, kept_sure=1, silent=None, unclaimed=None,
                         by_people=False, files=())  # fmt: skip
    found = manifest(package, package / "meu-Q4_K_M.gguf", knowledge=material)
    for change in ({}, {"adapter": None}, {"licence": "some-other"}):
        refuse_invalid(bom_of("meu", "package", parts_of(found | change, "", ""), listed(package)))
