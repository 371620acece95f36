"""A package, servers and the clinic's texts -> the files of a bundle, its bill of materials, and SHA256SUMS over all
of them.

Files too large for a FAT32 stick are split. Fails with `InputError` for a name that Windows does not allow,
`StageCrash` if a text would tell a path of this machine.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from packager.artifacts.files import home_folder, link_or_copy, sha256_of, write_atomically, write_json
from packager.artifacts.kinds import Package, Servers
from packager.clinic import starter, stick
from packager.clinic.cross_compile import LICENCES
from packager.clinic.targets import TARGETS
from packager.errors import StageCrash, all_at_once
from packager.llamacpp.split import split_file
from packager.package.bom import BOM, Part, bom_of
from packager.package.verify import CHECKSUMS, IN_BUNDLE, MANIFEST
from packager.process import progress
from packager.prompt.ollama.modelfile import kv_note, parse_modelfile, with_parts

READ_ME = "LEIA-ME.txt"
BILL = f"{IN_BUNDLE}/{BOM}"
"""Over every file of the bundle."""
ASSETS = Path(__file__).with_name("assets")
TEXTS = (".json", ".bat", ".sh", ".txt", ".md", ".html", ".js", ".css", ".ps1")
STAMP = "%Y%m%d.%H%M"


def next_version(before: Path) -> str:
    """The UTC minute, and after the version of the bundle that is replaced, whatever the clock says."""
    now = datetime.now(UTC).strftime(STAMP)
    try:
        old = str(json.loads((before / "runtime" / "config.json").read_text(encoding="utf-8"))["version"])
        after = (datetime.strptime(old, STAMP) + timedelta(minutes=1)).strftime(STAMP)
    except (OSError, ValueError, KeyError):
        return now
    return max(now, after)


def carry_package(
    package: Package, manifest: dict[str, Any], limit: int, out: Path, *, replaced: Sequence[str]
) -> dict[str, str]:
    """Put the package's files into the folder `out`, too large ones in parts, and none that the bundle has another one
    for (`replaced`, beside its own texts and lists); returns what to load for each GGUF file's name."""
    loads: dict[str, str] = {}
    out.mkdir()
    for name in package.files:
        if name not in (CHECKSUMS, READ_ME, MANIFEST, BOM, *replaced):
            _link_weights_copy_the_rest(package.folder / name, out / name)
    files = []
    for file in manifest["files"]:
        name = file["name"]
        loads[name] = name
        if file["size"] <= limit:
            files.append(file)
            continue
        parts = split_file(out / name, out, limit)
        (out / name).unlink()
        loads[name] = parts[0].name
        files += [_part(file, part, first=part is parts[0]) for part in parts]
        _name_every_part(out, name, [part.name for part in parts])
    write_json(out / MANIFEST, manifest | {"files": files})
    return loads


def carry_programs(servers: Servers, runtime: Path) -> None:
    """The servers and what starts them, for every kind of machine."""
    for name, paths in servers.binaries.items():
        _carry_servers([servers.folder / path for path in paths], runtime / name)
        program = starter.built(TARGETS[name], servers.folder)
        shutil.copy(program, runtime / name / program.name)


def hashed(out: Path) -> dict[str, str]:
    """Check names and texts of all that lies there; returns the sha256 of every file by its name."""
    paths = sorted(p for p in out.rglob("*") if p.is_file() and p not in (out / "key", out / BILL))
    names = [p.relative_to(out).as_posix() for p in paths]
    if faults := stick.refused_names(names):
        raise all_at_once(faults, "Some names cannot be put on a stick for Windows")
    private = [str(folder) for folder in (out.parent.resolve(), home_folder()) if folder and len(folder.parts) > 1]
    for path in paths:
        if path.suffix in TEXTS and any(word in path.read_text(encoding="utf-8") for word in private):
            raise StageCrash(f"{path.name} would name a folder of this machine.", "this is our bug: please report it")
    sums = {}
    for number, (path, name) in enumerate(zip(paths, names, strict=True)):
        sums[name] = sha256_of(path)
        progress.update(number + 1, len(paths), "files hashed")
    return sums


def close(recipe: str, sums: dict[str, str], parts: Sequence[Part], out: Path) -> list[str]:
    """Write the bill of materials and SHA256SUMS over the files of `sums`; returns the name of every file."""
    write_atomically(out / BILL, bom_of(recipe, "bundle", parts, sums))
    sums = sums | {BILL: sha256_of(out / BILL)}
    write_atomically(out / CHECKSUMS, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))
    return [*sorted(sums), CHECKSUMS]


def _part(file: dict[str, Any], part: Path, *, first: bool) -> dict[str, Any]:
    """What the manifest says of one part of a file that was split."""
    own = {"name": part.name, "size": part.stat().st_size, "sha256": sha256_of(part)}
    return file | own | {"default": file["default"] and first, "part_of": {k: file[k] for k in own}}


def _name_every_part(out: Path, whole: str, parts: Sequence[str]) -> None:
    """In the Modelfile that names a file which was split; the package's own is another file and stays."""
    for path in out.glob("Modelfile*"):
        text = path.read_text(encoding="utf-8")
        if parse_modelfile(text)[0].value == f"./{whole}":
            note = kv_note("q8_0") if text.endswith(kv_note("q8_0")) else ""
            write_atomically(path, with_parts(text, parts) + note)


def _carry_servers(binaries: Sequence[Path], folder: Path) -> None:
    """A target's servers and the licences of what is in them."""
    folder.mkdir(parents=True)
    for binary in binaries:
        shutil.copyfile(binary, folder / binary.name)
        (folder / binary.name).chmod(0o755)
    shutil.copyfile(binaries[0].with_name(LICENCES), folder / LICENCES)


def _link_weights_copy_the_rest(source: Path, target: Path) -> None:
    """Weights are linked, which costs no disk, where the file system can; the rest is small and copied."""
    (link_or_copy if source.suffix == ".gguf" else shutil.copyfile)(source, target)
