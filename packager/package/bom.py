"""What a package is made of and every file in it -> `bom.cdx.json`, a CycloneDX bill of materials with model cards.

Written with the format's own library. The same contents give the same bytes: the serial number is derived from them,
and there is no clock in it. `faults` compares a bill with the files that are there; it needs no library.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from packager import __version__
from packager.artifacts.files import key_of

BOM = "bom.cdx.json"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:packager:bom")
SPDX = {"apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause", "bitstream-vera": "Bitstream-Vera"}
"""Licences whose SPDX name is spelled otherwise than the Hub spells it; others are given by their name."""
Kind = Literal["model", "data", "library", "program", "file"]


@dataclass(frozen=True)
class Part:
    """Something that the files were made of, or that is in them."""

    ref: str
    """Unique in the bill."""
    kind: Kind
    name: str
    version: str = ""
    licence: str = ""
    sha256: str = ""
    says: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the format has no field for, by name."""
    made_of: tuple[str, ...] = ()
    """References of other parts."""
    card: Mapping[str, Any] | None = None
    """CycloneDX's model card."""
    url: str = ""


def bom_of(name: str, what: str, parts: Sequence[Part], sums: Mapping[str, str]) -> str:
    """The bill of package or bundle `name`; `sums` are the sha256 of its files by their names, but for the bill and
    what is written after it. A part with the ref `file:NAME` stands for that file; the others get a part each.

    Raises `ValueError` if a part for a file has another sha256 than the file.
    """
    told = {part.ref.removeprefix("file:"): part for part in parts if part.ref.startswith("file:")}
    for file, part in told.items():
        if sums.get(file) != part.sha256:
            raise ValueError(f"{file} is not the file that the bill describes")
    files = [Part(f"file:{file}", "file", file, sha256=sha256) for file, sha256 in sorted(sums.items())
             if file not in told]  # fmt: skip
    whole = Part(
        "package", "program" if what == "bundle" else "model", name, made_of=tuple(p.ref for p in told.values())
    )
    return _written(whole, what, [*parts, *files])


def faults(text: str, sums: Mapping[str, str]) -> Iterator[str]:
    """Where a bill and the checksums (without the bill itself) disagree."""
    try:
        found = json.loads(text)["components"]
        listed = {
            str(c["bom-ref"]).removeprefix("file:"): next(h["content"] for h in c["hashes"] if h["alg"] == "SHA-256")
            for c in found
            if str(c["bom-ref"]).startswith("file:")
        }
    except (ValueError, KeyError, TypeError, StopIteration):
        yield f"{BOM}: is no bill of materials with a SHA-256 for every file"
        return
    yield from (f"{name}: stands in {BOM} but is not there" for name in sorted(listed.keys() - sums.keys()))
    yield from (f"{name}: does not stand in {BOM}" for name in sorted(sums.keys() - listed.keys()))
    yield from (
        f"{name}: {BOM} gives it another sha256" for name in sorted(listed.keys() & sums.keys())
        if listed[name] != sums[name]
    )  # fmt: skip


def _written(whole: Part, what: str, parts: Sequence[Part]) -> str:
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    main = _component(whole, what)
    components = {part.ref: _component(part) for part in parts}
    bom = Bom(
        serial_number=uuid.uuid5(NAMESPACE, key_of(whole.name, what, [(p.ref, p.version, p.sha256) for p in parts])),
        components=list(components.values()),
        metadata=BomMetaData(component=main),
    )
    bom.metadata.tools.components.add(Component(name="packager", version=__version__, type=ComponentType.APPLICATION))
    bom.register_dependency(main, list(components.values()))
    for part in parts:
        bom.register_dependency(components[part.ref], [components[ref] for ref in part.made_of if ref in components])
    value = json.loads(JsonV1Dot6(bom).output_as_string())
    value["metadata"].pop("timestamp", None)  # the same contents give the same bytes
    cards = {part.ref: part.card for part in parts if part.card}
    for component in value["components"]:  # the library does not know model cards yet; the schema does
        if component["bom-ref"] in cards:
            component["modelCard"] = cards[component["bom-ref"]]
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _component(part: Part, what: str = "") -> Any:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import DisjunctiveLicense

    kinds = {
        "model": ComponentType.MACHINE_LEARNING_MODEL,
        "data": ComponentType.DATA,
        "library": ComponentType.LIBRARY,
        "program": ComponentType.APPLICATION,
        "file": ComponentType.FILE,
    }
    licence = SPDX.get(part.licence.lower())
    named = DisjunctiveLicense(id=licence) if licence else DisjunctiveLicense(name=part.licence or "unknown")
    facts = {**part.facts, **({"kind": what} if what else {})}
    return Component(
        type=kinds[part.kind],
        bom_ref=part.ref,
        name=part.name,
        version=part.version or None,
        description=part.says or None,
        licenses=[named] if part.licence else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)] if part.sha256 else [],
        properties=[Property(name=f"packager:{name}", value=value) for name, value in facts.items() if value],
        external_references=[ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(part.url))]
        if part.url
        else [],
    )
