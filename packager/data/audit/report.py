"""The audit as a value.

`Audit` is what was found out about the data; it is written as `audit.json` and shown in the
terminal (`rendering`). It holds numbers and line numbers, never what a row says.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Dropped(_Value):
    """Rows that were left out for one reason."""

    reason: str
    rows: int
    where: tuple[str, ...]
    """The first of them: a line, or file:line where there are several files."""
    unusable: bool
    """They cannot be read, or lack a question or an answer."""


class IdentifierCount(_Value):
    """Patient identifiers of one kind."""

    kind: str
    count: int
    where: tuple[str, ...]
    """The first rows that hold them, likewise."""


class Share(_Value):
    """What one file of several gave."""

    file: str
    rows: int
    """Usable rows."""
    bad: int
    """Rows that cannot be used."""


class Damage(_Value):
    """Texts that encodings, exports or generators damaged in one way."""

    kind: str
    what: str
    """The same in words."""
    rows: int
    """Rows that have it now."""
    where: tuple[str, ...]
    """The first of them, likewise."""
    mended: int
    """Rows that had it before `data.clean`, and have it no more."""
    mendable: bool
    """`data.clean` can mend it."""


class Contradiction(_Value):
    """Two rows with nearly the same question, whose answers disagree."""

    kind: str
    """In what: numbers, or yes or no."""
    one: str
    other: str


class Duplicates(_Value):
    """How often usable rows repeat."""

    rows: int
    """Usable rows, before any is left out for its length or as a repetition."""
    questions: int
    """Distinct questions, letter for letter."""
    questions_joined: int
    """The same once near-duplicates are joined."""
    answers: int
    answers_joined: int
    repeated_rows: int
    """Rows that repeat another (case, accents and punctuation ignored)."""


class OtherLanguage(_Value):
    """Rows whose answer is in another language than the recipe's."""

    rows: int
    share: float
    """Of the rows kept, from 0 to 1."""
    where: tuple[str, ...]
    """The first of them, likewise."""


class Leak(_Value):
    """What a random split that holds out as many rows would have leaked."""

    heldout_rows: int
    question_in_training: int
    """Held-out rows with an equal or near-duplicate question in training."""
    answer_in_training: int


FEWEST = 6
"""Held-out groups with which anything can be shown: if each of n groups does better than before, chance does that in
2 of 2^n cases, which is 6 % for five and 3 % for six."""


class SplitSummary(_Value):
    """The split that was made."""

    train_rows: int
    heldout_rows: int
    train_groups: int
    heldout_groups: int
    choosing_groups: int = 0
    """Of the held-out groups, those that may choose between models."""
    topics: int
    heldout_topics: int
    leaked: int
    """Held-out rows found in training by a check that knows nothing of the groups (must be 0)."""


class LengthBin(_Value):
    """Rows of `low` to `high` tokens, both included."""

    low: int
    high: int
    rows: int


class TokenLengths(_Value):
    """Lengths in tokens, prompt and answer together."""

    limit: int
    """data.max_tokens."""
    shortest: int
    median: int
    mean: float
    p95: int
    longest: int
    total: int
    histogram: tuple[LengthBin, ...]
    too_long: int
    """Rows over the limit, left out."""
    end_of_turn: str
    unterminated: int
    """Rows whose last trained token is not the end-of-turn token (must be 0)."""


class Audit(_Value):
    source: str
    """The file's or folder's name, or hf:org/name."""
    sha256: str
    revision: str
    """The commit of a data set on the Hub."""
    format: str
    rows_read: int
    rows_kept: int
    """Rows left to train on and to hold out."""
    dropped: tuple[Dropped, ...]
    duplicates: Duplicates
    random_split: Leak | None
    """None where the rows cannot be split."""
    split: SplitSummary | None
    tokens: TokenLengths | None
    """None where no base model was at hand to count with."""
    languages: dict[str, int]
    """Rows whose answer is in which language."""
    language: str
    """The language the recipe wants, '' if unknown."""
    other_language: OtherLanguage | None
    """None where no recipe says which language is wanted. Answers too short to tell are not counted."""
    identifiers: tuple[IdentifierCount, ...]
    identifiers_policy: str
    notes: tuple[str, ...]
    """Advice for this data, in plain words."""
    files: tuple[Share, ...] = ()
    """Where there are several."""
    damage: tuple[Damage, ...] = ()
    """Kinds of damaged text that were found, or mended."""
    contradictions: tuple[Contradiction, ...] = ()
    """The first of them."""
    contradicting: int = 0
    """How many pairs there are."""
