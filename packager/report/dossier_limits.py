"""Checks -> what was measured and what is allowed, in Portuguese: "no mínimo 60%", "no máximo 0,3 nats/token".

A check that is not named here shows its limit as a figure alone.
"""

from __future__ import annotations

import math

from packager.artifacts.checks import Check
from packager.report.rounding import per_cent
from packager.report.words import PORTUGUESE as SAY

LEAST = frozenset({
    "quantize.top", "knowledge.found_first", "knowledge.found_three", "knowledge.silent", "knowledge.unclaimed",
    "smoke.language", "smoke.speed", "safety.passed", "safety.kind", "safety.agreement",
})  # fmt: skip
"""Checks whose limit is the least that passes."""
MOST = frozenset({
    "data.no_leak", "data.end_of_turn", "merge.logits", "merge.delta", "merge.base_loss", "merge.tuned_loss",
    "merge.tied_head", "convert.tokenizer", "convert.logits", "convert.special_tokens", "convert.tokens",
    "modelfile.prompt_parity", "modelfile.one_bos", "quantize.kl", "quantize.kv", "quantize.perplexity",
    "knowledge.identifiers", "knowledge.damaged", "knowledge.language", "smoke.non_empty", "smoke.stops",
    "smoke.no_template_leak", "smoke.no_loops", "smoke.expected_words", "smoke.first_token", "smoke.ram",
    "safety.lost",
})  # fmt: skip
"""Those whose limit is the most that passes."""
BELOW = frozenset({"train.heldout_loss", "merge.heldout_loss"})
"""Those that must come out below it."""
EXACT = frozenset({
    "merge.pairs", "convert.parameters", "convert.vocabulary", "convert.types", "convert.end_of_turn",
    "modelfile.parses", "modelfile.stops", "modelfile.generations", "quantize.type", "smoke.loads",
})  # fmt: skip
"""Those that must come out so, and no otherwise."""
BARE = ("", "share", "ratio", "relative", "type", "mode", "template")
"""Units that say nothing beside a figure."""


def measured(check: Check) -> str:
    """What came out, with its unit."""
    return _with_unit(check.measured, check.unit)


def limit(check: Check) -> str:
    """What is allowed, and whether that is the most or the least."""
    value = _with_unit(check.threshold, check.unit)
    if check.threshold in ("none", ""):
        return value
    bounds = ((LEAST, "no mínimo"), (MOST, "no máximo"), (BELOW, "abaixo de"), (EXACT, "exatamente"))
    word = next((word for names, word in bounds if check.id in names), "")
    return "sim" if check.id == "smoke.loads" else f"{word} {value}".strip()


def percent(share: float, digits: int = 1) -> str:
    """`86,1%`, `60%`."""
    return SAY.share(share, digits).replace(f",{'0' * digits}%", "%")


def interval(share: float, asked: int) -> tuple[int, int]:
    """The 95 % interval of a share out of `asked` questions, in whole per cent (Wilson, 1927)."""
    if not asked:
        return 0, 100
    z = 1.96
    middle = (share + z * z / (2 * asked)) / (1 + z * z / asked)
    half = z * math.sqrt(share * (1 - share) / asked + z * z / (4 * asked * asked)) / (1 + z * z / asked)
    return int(per_cent(middle - half)), int(per_cent(middle + half))


def _with_unit(value: float | str, unit: str) -> str:
    if isinstance(value, str):
        return SAY.measured(value)
    if unit == "share":
        return percent(value)
    if unit == "":
        return {0: "não", 1: "sim"}.get(int(value), SAY.measured(value))
    return SAY.measured(value) if unit in BARE else f"{SAY.measured(value)} {SAY.unit(unit, value)}"
