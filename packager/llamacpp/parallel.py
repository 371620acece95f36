"""Generate answers to many prompts at once: each step reads the weights once for all of them.

Opened with `sequences`, a model keeps so many conversations apart. An answer is the same whatever
runs beside it, but for the rounding of sums. Raises as `GgufModel` does.

llama.cpp computes only neighbours together: of a batch's sequences those whose numbers follow each other,
in that order (`split_equal` in src/llama-batch.cpp). So the lowest places are taken first and go first.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from packager.errors import ProofFailed
from packager.llamacpp.model import GgufModel
from packager.llamacpp.sampling import sampling_chain

if TYPE_CHECKING:
    from packager.recipe.sections import Serve


@dataclass(frozen=True)
class Generated:
    """The answer to one prompt; `stopped`: it ended by itself."""

    number: int
    """Of the prompt, from 0."""
    text: str
    tokens: int
    stopped: bool


@dataclass
class _Running:
    number: int
    sampler: Any
    past: int
    room: int
    ids: list[int] = field(default_factory=list)


class ParallelModel(GgufModel):
    """A loaded GGUF file that answers several prompts at once."""

    def generate_many(
        self, prompts: Sequence[Sequence[int]], sampling: Serve, seed: int, *, max_tokens: int, stop: frozenset[int]
    ) -> Iterator[Generated]:
        """Yield the answers in the order in which they end. A prompt must leave room in the context."""
        waiting = list(enumerate(prompts))[::-1]
        places = list(range(self._sequences))  # always a heap: the lowest is taken first
        running: dict[int, _Running] = {}
        self._forget()
        try:
            while waiting or running:
                while waiting and places:
                    number, ids = waiting.pop()
                    place = heapq.heappop(places)
                    running[place] = self._begin(place, number, ids, sampling, seed)
                    running[place].room = min(max_tokens, running[place].room)
                    self._take(running[place], -1)
                for place in [p for p, r in running.items() if r.ids[-1] in stop or len(r.ids) >= r.room]:
                    done = running.pop(place)
                    self._lib.llama_sampler_free(done.sampler)
                    self._lib.llama_memory_seq_rm(self._lib.llama_get_memory(self._context), place, -1, -1)
                    heapq.heappush(places, place)
                    stopped = done.ids[-1] in stop
                    said = done.ids[:-1] if stopped else done.ids
                    yield Generated(done.number, self.text(said), len(said), stopped)
                if running:
                    self._step(running)
        finally:
            for left in running.values():
                self._lib.llama_sampler_free(left.sampler)

    @property
    def _sequences(self) -> int:
        return int(self._lib.llama_n_seq_max(self._context))

    def _begin(self, place: int, number: int, ids: Sequence[int], sampling: Serve, seed: int) -> _Running:
        context = self.n_context // self._sequences
        if not 0 < len(ids) < context:
            raise ProofFailed(f"A prompt of {len(ids)} tokens leaves no room in {context}.", "open a larger context")
        sampler = sampling_chain(self._lib, sampling, seed, context, self.n_vocab)
        for token in ids:  # as in `generate`: the penalty sees the prompt
            self._lib.llama_sampler_accept(sampler, token)
        for start in range(0, len(ids), self.at_once):
            chunk = ids[start : start + self.at_once]
            rows = [(t, start + i, place, start + i == len(ids) - 1) for i, t in enumerate(chunk)]
            self._decode_rows(rows)
        return _Running(number, sampler, len(ids), context - len(ids))

    def _step(self, running: dict[int, _Running]) -> None:
        """One more token for each."""
        ordered = sorted(running.items())
        self._decode_rows([(r.ids[-1], r.past, place, True) for place, r in ordered])
        for index, (_, one) in enumerate(ordered):
            one.past += 1
            self._take(one, index)

    def _take(self, one: _Running, index: int) -> None:
        one.ids.append(int(self._lib.llama_sampler_sample(one.sampler, self._context, index)))

    def _decode_rows(self, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        """Compute tokens, each (token, position, sequence, whether its logits are wanted)."""
        batch = self._batch
        assert batch is not None, "opened with vocab_only, or closed"
        batch.n_tokens = len(rows)
        for i, (token, position, place, output) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.logits[i] = token, position, output
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, place
        if code := self._lib.llama_decode(self._context, batch):
            raise ProofFailed(f"llama.cpp failed to run {self._path.name} (code {code}).", "build it again")
