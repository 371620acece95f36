"""A package and the folder that `packager attest` wrote -> the same bytes made again, or what differs.

Base, merge, conversion and quantization are repeated in an empty folder and compared step by step; the first step that
differs is named with its tensors. A bundle's programs are compiled again and compared too. Raises `ProofFailed` for a
difference, `InputError` for a folder that is no attestation, and what the steps raise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from packager import __version__
from packager.artifacts.attestation import ATTESTATION, Attestation
from packager.artifacts.files import sha256_of, write_json
from packager.artifacts.kinds import Checkpoint, Merged
from packager.checkpoint import tensor_hashes
from packager.checkpoint.merge import merge_adapter
from packager.clinic import starter
from packager.clinic.targets import TARGETS
from packager.errors import InputError, ProofFailed
from packager.llamacpp import rounding, vendored
from packager.llamacpp.converter import run_converter
from packager.llamacpp.gguf_file import tensor_shapes
from packager.llamacpp.imatrix import IMATRIX, importance_for
from packager.llamacpp.quantizer import quantize_files
from packager.package.gguf_metadata import described, lineage
from packager.package.verify import MANIFEST, inside
from packager.pipeline import bundling
from packager.process import child, progress
from packager.stages import base as base_stage

NAMED = 8
"""Tensors that an error names."""


@dataclass(frozen=True)
class Rebuilt:
    """What was made again and came out equal."""

    steps: tuple[str, ...]
    """In words, each with what was compared."""
    notes: tuple[str, ...] = ()
    """Where this machine's tools are not those of the build."""


def rebuild(package: Path, kit: Path, scratch: Path, *, base_model: str = "", threads: int = 0) -> Rebuilt:
    """Make the weights of `package`, which may be a bundle, again in the empty folder `scratch`.

    `base_model` is where the base is on this machine, where the attestation knows only the name of a file;
    `threads` is how many quantize (0: the cores of this machine).
    """
    known = read(kit)
    package = inside(package)
    manifest = json.loads((package / MANIFEST).read_text(encoding="utf-8"))
    notes = _tools(known)
    log = scratch / "rebuild.log"
    source = known.source.model_copy(update={"model": base_model} if base_model else {})
    base = child.call(base_stage.base, source, _new(scratch / "base"), log=log, online=True).value
    if base.weights_sha256 != known.base.weights_sha256:
        raise _differs("base", "its weights are not those that the package was made from", notes)
    steps = [f"base: {known.base.source}"]
    merged_folder = _new(scratch / "merged")
    merged = child.call(_merge, known, kit, base, merged_folder, log=log).value
    _refuse("merged", known.merged_tensors, tensor_hashes.of_checkpoint(merged_folder), notes)
    steps.append(f"merged: {len(known.merged_tensors)} tensors")
    f16 = scratch / "model-F16.gguf"
    overrides = scratch / "metadata.json"
    write_json(overrides, described(merged) | lineage(known.recipe, known.language, known.merged, known.data))
    run_converter(merged_folder, f16, overrides)
    _refuse("f16", known.f16_tensors, tensor_hashes.of_gguf(f16), notes)
    if sha256_of(f16) != known.f16:
        raise _differs("f16", "its tensors are equal and its metadata is not", notes)
    steps.append(f"f16: sha256 {known.f16[:12]}…")
    for file in manifest["files"]:
        if file.get("part_of") and f"{file['type']}: " in "".join(steps):
            continue  # one file in several parts was made again as one
        steps.append(_quantized(package, file, known, kit, f16, scratch, threads or child.processors(), notes))
    return Rebuilt(tuple(steps), tuple(notes))


def programs(bundle: Path, folder: Path) -> tuple[str, ...]:
    """Compile the programs of `bundle` into `folder`, where this machine has not compiled the same before, and compare
    each; in words. Nothing for a package, which has none."""
    runtime = bundle / "runtime"
    names = [name for name in TARGETS if (runtime / name).is_dir()]
    if not names:
        return ()
    made = bundling.programs(names, folder)
    steps = []
    for name in names:
        compiled = [folder / path for path in made.binaries[name]] + [starter.built(TARGETS[name], folder)]
        for program in compiled:
            shipped = runtime / name / program.name
            if not shipped.is_file() or sha256_of(shipped) != sha256_of(program):
                raise ProofFailed(
                    f"rebuild.programs: {shipped.relative_to(bundle)} is not what its source compiles to here.",
                    "repeat it with the compiler that the bill of materials names; "
                    "if it differs still, ask who made the bundle",
                )
        steps.append(f"{name}: {', '.join(program.name for program in compiled)}")
    return tuple(steps)


def read(kit: Path) -> Attestation:
    """The attestation in a folder, and the files beside it as it names them."""
    try:
        known = Attestation.model_validate_json((kit / ATTESTATION).read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise InputError(
            f"{kit} holds no attestation that can be read: {str(error).splitlines()[0]}", "packager attest RECIPE"
        ) from error
    for name, sha256 in known.sha256.items():
        if not (kit / name).is_file() or sha256_of(kit / name) != sha256:
            raise ProofFailed(f"{kit / name} is not the file that was attested.", "copy the folder again")
    return known


def _merge(known: Attestation, kit: Path, base: Checkpoint, out: Path) -> Merged:
    """The merge as it was made: with its template, adapter and base. Runs in a child process."""
    data = known.data.model_copy(update={"folder": kit})
    adapter = known.adapter.model_copy(update={"folder": kit}) if known.adapter else None
    return merge_adapter(base, data, adapter, out, nf4=known.merged.rounded_to_nf4)


def _quantized(
    package: Path, file: Mapping[str, Any], known: Attestation, kit: Path, f16: Path, scratch: Path, threads: int,
    notes: Sequence[str],
) -> str:  # fmt: skip
    """One packaged file made again and compared; in words."""
    name, whole = str(file["type"]), file.get("part_of", file)
    made = f16 if name == "F16" else scratch / f"model-{name}.gguf"
    if made is not f16:
        progress.note(f"{name}: quantizing again with {threads} threads")
        child.call(_quantize, known, kit, f16, made, name, threads, log=scratch / "rebuild.log")
    actual = sha256_of(made)
    if actual != whole["sha256"]:
        if whole is file:
            _refuse(f"{name}", tensor_hashes.of_gguf(package / str(file["name"])), tensor_hashes.of_gguf(made), notes)
        raise _differs(name, "its tensors are equal and its metadata is not", notes)
    if name != "F16":
        made.unlink()
    return f"{name}: sha256 {actual[:12]}…"


def _quantize(known: Attestation, kit: Path, f16: Path, out: Path, name: str, threads: int) -> None:
    """Runs in a child process."""
    columns = importance_for(kit / IMATRIX, tensor_shapes(f16)) if known.quantize.imatrix else {}
    quantize_files(f16, {name: out}, threads, on_progress=lambda *_: None, importance=columns,
                  overrides=known.quantize.tensors)  # fmt: skip


def _tools(known: Attestation) -> list[str]:
    """Where this machine's tools are not those that made the package."""
    notes = [
        f"{name} is {metadata.version(name)} here and was {version}"
        for name, version in known.tools.items()
        if metadata.version(name) != version
    ]
    if __version__ != known.packager:
        notes.append(f"packager is {__version__} here and was {known.packager}")
    if vendored.commit() != known.llama_cpp:
        notes.append(f"llama.cpp is {vendored.commit()[:9]} here and was {known.llama_cpp[:9]}")
    if rounding.fingerprint() != known.rounding:
        notes.append("this machine's quantizer rounds otherwise: it was compiled with other flags (make setup)")
    return notes


def _refuse(step: str, expected: Mapping[str, str], actual: Mapping[str, str], notes: Sequence[str]) -> None:
    if names := tensor_hashes.differing(expected, actual):
        some = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
        raise _differs(step, f"{len(names)} of {len(expected)} tensors differ: {some}", notes)


def _differs(step: str, what: str, notes: Sequence[str]) -> ProofFailed:
    why = f"\nThis may be why: {'; '.join(notes)}." if notes else ""
    return ProofFailed(
        f"rebuild.{step}: {what}.{why}",
        "ask who made the package for another copy" if not notes else "repeat it with the tools of the build",
    )


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
