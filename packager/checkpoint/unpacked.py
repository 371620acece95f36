"""A GGUF base, unpacked once for all recipes: kept in the cache as hard links, which cost no disk of their own.

A GGUF file -> a checkpoint in `out`, dequantized and proven as `unpack` says, or as it was before. It is unpacked
again when the file, transformers or the code changed, or when a kept file is not as it was. Where the cache lies on
another disk, or cannot be written, nothing is kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from importlib import metadata
from pathlib import Path

from packager.artifacts.files import cache_folder, key_of, link_or_copy, sha256_of, write_json
from packager.artifacts.source import source_of
from packager.checkpoint import pretokenizer, sentencepiece_file
from packager.checkpoint.gguf_base import whole_gguf
from packager.checkpoint.unpack import dequantize, prove_tokens, prove_unpacked
from packager.errors import MissingResource
from packager.llamacpp.join import like_named
from packager.process import progress

HASHES = "sha256.json"


def unpack_gguf(gguf: Path, out: Path) -> None:
    """Write the checkpoint of a GGUF file into `out`. Raises as `dequantize`, `prove_tokens` and `prove_unpacked`."""
    versions = [metadata.version(name) for name in ("transformers", "gguf", "torch")]
    try:
        kept = cache_folder(
            "unpacked", key_of([sha256_of(part) for part in like_named(gguf)], versions, source_of(unpack_gguf))[:16]
        )
    except MissingResource:
        kept = None
    if kept and _whole(kept):
        progress.note(f"unpacked before: {gguf.name} is taken from the cache")
        for name in _hashes(kept):
            link_or_copy(kept / name, out / name)
        return
    with whole_gguf(gguf, out) as whole:
        dequantize(whole, out)
    pretokenizer.restore(gguf, out)
    sentencepiece_file.restore(gguf, out)
    prove_tokens(gguf, out)
    prove_unpacked(gguf, out)
    if kept:
        with contextlib.suppress(OSError):  # another disk, a cache that cannot be written
            _keep(out, kept)


def _keep(out: Path, kept: Path) -> None:
    aside = kept.with_name(f"{kept.name}.{os.getpid()}")
    shutil.rmtree(kept, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        names = [path.name for path in sorted(out.iterdir()) if path.is_file() and path.name != "key"]
        for name in names:
            os.link(out / name, aside / name)
        write_json(aside / HASHES, {name: sha256_of(aside / name) for name in names})
        aside.rename(kept)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _whole(kept: Path) -> bool:
    found = _hashes(kept)
    return bool(found) and all((kept / n).is_file() and sha256_of(kept / n) == digest for n, digest in found.items())


def _hashes(kept: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads((kept / HASHES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
