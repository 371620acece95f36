"""Run a GGUF file in this process, on the CPU: tokenize, generate, predict.

Meant for child processes: a damaged file can abort the process that loads it. Raises `ProofFailed`
if the file does not load, `MissingResource` if its context does not fit into memory.
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from packager.errors import InputError, MissingResource, ProofFailed
from packager.llamacpp import binding
from packager.llamacpp.limits import bounded
from packager.llamacpp.sampling import sampling_chain
from packager.prompt.template import ChatTemplate

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from packager.recipe.sections import Serve

PROMPT_TOKENS = 512
"""Prompt tokens computed at once."""
LOGIT_ROWS = 64
"""Positions whose logits are held at once: 39 MB for a vocabulary of 152k."""
VOCABULARY_ROOM, VOCABULARY_SECONDS = 2 << 30, 120
"""What a vocabulary may take beside twice its file; one of 152k tokens takes 0.1 GiB and a second."""


class GgufModel:
    """A loaded GGUF file. Use `open` in a `with` statement, or call `close`."""

    def __init__(self, model: Any, context: Any, path: Path, asked: int = 0) -> None:
        self._lib = binding.library()
        self._model, self._context, self._path, self._asked = model, context, path, asked
        self._vocab = self._lib.llama_model_get_vocab(model)
        self._batch = self._lib.llama_batch_init(PROMPT_TOKENS, 0, 1) if context else None
        self._past = 0

    @classmethod
    def open(
        cls,
        path: Path,
        context: int = 4096,
        threads: int = 1,
        *,
        vocab_only: bool = False,
        sequences: int = 1,
        kv: str = "f16",
        mapped: bool = True,
        repacked: bool = True,
    ) -> Self:
        """Load a file. `context` is in tokens, for each of `sequences` that are computed at once, with keys and
        values kept as `kv` (f16, q8_0). Unless it is `mapped` the file is read into memory, as the clinic's server
        does: weights that llama.cpp lays out anew for the processor are then held once, not twice. Unless it may be
        `repacked` none are: for AMX it copies F16 weights too, which are slower then. With `vocab_only` it can only
        tokenize, and loading is bounded: stages read vocabularies in their own process."""
        lib = binding.library()
        params = lib.llama_model_default_params()
        params.n_gpu_layers, params.vocab_only, params.use_extra_bufts = 0, vocab_only, repacked
        params.load_mode = lib.LLAMA_LOAD_MODE_MMAP if mapped else lib.LLAMA_LOAD_MODE_NONE
        room = VOCABULARY_ROOM + (2 * path.stat().st_size if path.is_file() else 0)
        limits = bounded(room, VOCABULARY_SECONDS) if vocab_only else contextlib.nullcontext()
        with binding.listening():
            with limits:
                model = lib.llama_model_load_from_file(bytes(path), params)
            if not model:
                raise ProofFailed(f"llama.cpp cannot load {path.name}:\n{binding.complaint()}", "build it again")
            if vocab_only:
                return cls(model, None, path)
            made = lib.llama_init_from_model(model, _context_params(lib, context, threads, sequences, kv))
            if not made:
                lib.llama_model_free(model)
                raise MissingResource(
                    f"No memory for a context of {context} tokens of {path.name}:\n{binding.complaint()}",
                    "lower serve.context" if kv == "f16" else "lower serve.context, or set serve.kv: f16",
                )
        return cls(model, made, path, context * sequences)

    def close(self) -> None:
        """Free the memory; closing twice is harmless."""
        if self._batch is not None:
            self._lib.llama_batch_free(self._batch)
            self._lib.llama_free(self._context)
        if self._model is not None:
            self._lib.llama_model_free(self._model)
        self._batch = self._context = self._model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @functools.cached_property
    def n_vocab(self) -> int:
        return int(self._lib.llama_vocab_n_tokens(self._vocab))

    @functools.cached_property
    def n_context(self) -> int:
        """Tokens of prompt and answer together, as asked for; llama.cpp may round up what it makes room for."""
        return min(self._asked, int(self._lib.llama_n_ctx(self._context)))

    @functools.cached_property
    def at_once(self) -> int:
        """Prompt tokens computed at once. llama.cpp lowers its batch to a small context before it rounds that
        up, and aborts the process on a batch that is larger."""
        return min(PROMPT_TOKENS, int(self._lib.llama_n_batch(self._context)))

    @functools.cached_property
    def eog_tokens(self) -> frozenset[int]:
        """The tokens at which llama.cpp ends a generation."""
        return frozenset(i for i in range(self.n_vocab) if self._lib.llama_vocab_is_eog(self._vocab, i))

    @functools.cached_property
    def control_tokens(self) -> dict[int, str]:
        """The tokens that no text is made of, by their ids."""
        numbers = (i for i in range(self.n_vocab) if self._lib.llama_vocab_is_control(self._vocab, i))
        return {i: self._special(i) for i in numbers}

    @property
    def adds_bos(self) -> bool:
        """Does llama.cpp put a beginning-of-sequence token before every text?"""
        return bool(self._lib.llama_vocab_get_add_bos(self._vocab))

    @property
    def architecture(self) -> str:
        """general.architecture of the file."""
        buffer = ctypes.create_string_buffer(64)
        self._lib.llama_model_meta_val_str(self._model, b"general.architecture", buffer, len(buffer))
        return buffer.value.decode(errors="replace")

    @property
    def chat_template(self) -> str:
        return (self._lib.llama_model_chat_template(self._model, None) or b"").decode()

    @property
    def bos_token(self) -> str:
        return self._special(self._lib.llama_vocab_bos(self._vocab))

    @property
    def eos_token(self) -> str:
        return self._special(self._lib.llama_vocab_eos(self._vocab))

    def tokenize(self, text: str, *, special: bool = True, add_bos: bool = True) -> list[int]:
        """Token ids. `special`: recognize special tokens in the text. `add_bos`: add what the file's
        metadata asks to be added (often nothing); False adds nothing, whatever the file says."""
        raw = text.encode()
        room = len(raw) + 8
        buffer = (self._lib.llama_token * room)()
        count = self._lib.llama_tokenize(self._vocab, raw, len(raw), buffer, room, add_bos, special)
        if count < 0:
            raise ProofFailed(f"llama.cpp could not tokenize a text of {len(raw)} bytes.", "report this text")
        return list(buffer[:count])

    def prompt_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The tokens that a server sends for a conversation: the file's own template, at most one BOS."""
        template = ChatTemplate(self.chat_template, self.bos_token, self.eos_token)
        text = template.render(messages, add_generation_prompt=True)
        return self.tokenize(text.removeprefix(self.bos_token) if self.adds_bos else text)

    def text(self, ids: Sequence[int]) -> str:
        """The text of tokens; special tokens are spelled out, so that none goes unseen."""
        return b"".join(self._piece(i) for i in ids).decode(errors="replace")

    def stream(self, ids: Sequence[int], sampling: Serve, seed: int, **options: Any) -> Iterator[tuple[int, str]]:
        """`generate`, with the text that each token completes ('' within a character)."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for token in self.generate(ids, sampling, seed, **options):
            yield token, "" if token in self.eog_tokens else decoder.decode(self._piece(token))

    def generate(
        self,
        ids: Sequence[int],
        sampling: Serve,
        seed: int,
        *,
        max_tokens: int | None = None,
        stop: frozenset[int] | None = None,
    ) -> Iterator[int]:
        """Yield the tokens that follow the prompt `ids`, up to and with the first of `stop`.

        `stop` is by default the file's end-of-generation tokens. Ends without one after
        `max_tokens` or when the context is full. Raises `InputError` if the prompt does not fit.
        """
        if not 0 < len(ids) < self.n_context:
            raise InputError(f"The prompt has {len(ids)} tokens, the context {self.n_context}.", "shorten the question")
        stop = self.eog_tokens if stop is None else stop
        room = self.n_context - len(ids)
        sampler = sampling_chain(self._lib, sampling, seed, self.n_context, self.n_vocab)
        try:
            for token in ids:  # as Ollama and llama-server do: the penalty sees the prompt
                self._lib.llama_sampler_accept(sampler, token)
            self._forget()
            for start in range(0, len(ids), self.at_once):
                chunk = ids[start : start + self.at_once]
                self._decode(chunk, [start + i == len(ids) - 1 for i in range(len(chunk))])
            for count in range(1, min(room, max_tokens or room) + 1):
                token = int(self._lib.llama_sampler_sample(sampler, self._context, -1))
                yield token
                if token in stop or count == room:
                    return
                self._decode([token], [True])
        finally:
            self._lib.llama_sampler_free(sampler)

    def logits(
        self, ids: Sequence[int], wanted: Sequence[bool] | None = None
    ) -> Iterator[tuple[list[int], npt.NDArray[np.float32]]]:
        """Yield, chunk by chunk, positions and their logits [positions, n_vocab] (float32): row k
        predicts the token after `positions[k]`. `wanted` selects positions (default: all).

        The array is the library's own memory and is valid until the next chunk.
        """
        import numpy as np

        if len(ids) > self.n_context:
            raise InputError(f"{len(ids)} tokens do not fit the context of {self.n_context}.", "open a larger context")
        chosen = [True] * len(ids) if wanted is None else list(wanted)
        self._forget()
        for start, end in _batches(chosen, self.at_once):
            self._decode(ids[start:end], chosen[start:end])
            positions = [place for place in range(start, end) if chosen[place]]
            if positions:
                rows = self._lib.llama_get_logits(self._context)
                yield positions, np.ctypeslib.as_array(rows, shape=(len(positions), self.n_vocab))

    def _forget(self) -> None:
        self._lib.llama_memory_clear(self._lib.llama_get_memory(self._context), True)
        self._past = 0

    def _decode(self, ids: Sequence[int], outputs: Sequence[bool]) -> None:
        """Compute tokens that follow those before; logits are kept where `outputs` says so."""
        batch = self._batch
        assert batch is not None, "opened with vocab_only, or closed"
        batch.n_tokens = len(ids)
        for i, (token, output) in enumerate(zip(ids, outputs, strict=True)):
            batch.token[i], batch.pos[i], batch.logits[i] = token, self._past + i, output
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
        if code := self._lib.llama_decode(self._context, batch):
            raise ProofFailed(f"llama.cpp failed to run {self._path.name} (code {code}).", "build it again")
        self._past += len(ids)

    def _piece(self, token: int) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = self._lib.llama_token_to_piece(self._vocab, token, buffer, size, 0, True)
            if length >= 0:
                return buffer.raw[:length]
            size = -length

    def _special(self, token: int) -> str:
        return "" if token < 0 else self._piece(token).decode(errors="replace")


def _batches(wanted: Sequence[bool], most: int) -> Iterator[tuple[int, int]]:
    """Where batches of at most `most` tokens begin and end, so that each has at most `LOGIT_ROWS` wanted ones: a prompt
    in front of an answer goes with it, as large batches read the weights fewer times."""
    start = rows = 0
    for place, flag in enumerate(wanted):
        if place - start == most or (flag and rows == LOGIT_ROWS):
            yield start, place
            start, rows = place, 0
        rows += flag
    if start < len(wanted):
        yield start, len(wanted)


def _context_params(lib: Any, context: int, threads: int, sequences: int, kv: str) -> Any:
    params = lib.llama_context_default_params()
    params.n_seq_max = sequences
    params.n_ctx, params.n_batch, params.n_ubatch = context * sequences, PROMPT_TOKENS, PROMPT_TOKENS
    # By default the library reserves logits for a whole batch: 311 MB for a vocabulary of 152k.
    params.n_outputs_max = LOGIT_ROWS
    params.n_threads = params.n_threads_batch = threads
    params.offload_kqv = params.op_offload = False
    params.no_perf = True
    if kv != "f16":  # quantized values are read by flash attention alone
        params.type_k = params.type_v = getattr(lib, f"GGML_TYPE_{kv.upper()}")
        params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_ENABLED
    return params
