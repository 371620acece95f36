"""Token lengths: rows -> tokens each, and whether each ends in a trained end-of-turn token."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packager.data.audit.report import LengthBin, TokenLengths
from packager.data.rows.formats import Row
from packager.data.rows.records import UnusableRow
from packager.prompt import masking
from packager.prompt.frozen import Frozen
from packager.prompt.masking import BoundaryError
from packager.prompt.template import load_tokenizer, special_tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BINS = 12


@dataclass(frozen=True)
class RowTokens:
    """A row in tokens. `terminated`: its last trained token is the end-of-turn token."""

    tokens: int
    terminated: bool
    end_of_turn: str


Measurer = Callable[[Sequence[Row]], tuple[list[Row], dict[int, RowTokens], list[UnusableRow]]]
"""Rows -> those that can be encoded, their lengths by `id`, and those that cannot."""


def measurer(frozen: Frozen, folder: Path, report: Callable[[int, int], None] | None = None) -> Measurer:
    """How rows are measured with the tokenizer in `folder` and the frozen chat template."""
    return measurer_with(frozen, load_tokenizer(folder), report)


def measurer_with(frozen: Frozen, tokenizer: Tokenizer, report: Callable[[int, int], None] | None = None) -> Measurer:
    """The same with a tokenizer that is at hand."""
    specials = special_tokens(tokenizer)
    template, end_of_turn = frozen.template, frozen.roles.end_of_turn
    end_id = tokenizer.token_to_id(end_of_turn)

    def measure(rows: Sequence[Row]) -> tuple[list[Row], dict[int, RowTokens], list[UnusableRow]]:
        kept: list[Row] = []
        lengths: dict[int, RowTokens] = {}
        bad: list[UnusableRow] = []
        for number, row in enumerate(rows, 1):
            inside = next((s for s in specials for _, content in row.messages if s in content), None)
            if inside:
                bad.append(UnusableRow(row.file, row.line, f"the text contains the special token {inside}"))
                continue
            try:
                encoded = masking.encode(template, tokenizer, end_of_turn, row.as_messages())
            except BoundaryError as error:
                bad.append(UnusableRow(row.file, row.line, str(error)))
                continue
            kept.append(row)
            ends = encoded.trained[-1] and encoded.ids[-1] == end_id
            lengths[id(row)] = RowTokens(len(encoded.ids), ends, end_of_turn)
            if report and number % 200 == 0:
                report(number, len(rows))
        return kept, lengths, bad

    return measure


def tokens_of(measured: Sequence[RowTokens], limit: int) -> TokenLengths:
    """The lengths in figures, and as a histogram of equal, round steps."""
    lengths = sorted(one.tokens for one in measured)
    return TokenLengths(
        limit=limit,
        shortest=lengths[0],
        median=round(statistics.median(lengths)),
        mean=round(statistics.fmean(lengths), 1),
        p95=lengths[max(0, -(-len(lengths) * 95 // 100) - 1)],
        longest=lengths[-1],
        total=sum(lengths),
        histogram=histogram(lengths),
        too_long=sum(length > limit for length in lengths),
        end_of_turn=measured[0].end_of_turn,
        unterminated=sum(not one.terminated for one in measured),
    )


def histogram(lengths: Sequence[int]) -> tuple[LengthBin, ...]:
    """At most `BINS` + 1 bins of 1, 2 or 5 times a power of ten tokens, from the shortest to the longest."""
    low, high = min(lengths), max(lengths)
    step = next(s for power in range(12) for s in (10**power, 2 * 10**power, 5 * 10**power) if s * BINS > high - low)
    counts = Counter(length // step for length in lengths)
    return tuple(
        LengthBin(low=i * step, high=(i + 1) * step - 1, rows=counts[i]) for i in range(low // step, high // step + 1)
    )
