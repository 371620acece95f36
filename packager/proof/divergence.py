"""How far one model's predictions are from another's, position by position, in bounded memory.

Chunks of logits of both models over the same tokens -> `Divergence`. Kullback-Leibler divergence
KL(p||q) = sum p (log p - log q) in nats, the first model being p, as llama.cpp's perplexity tool
reports it; perplexity ratio exp(mean(nll_q - nll_p)), its error from the spread of the differences between texts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packager.artifacts.evidence import Divergence
from packager.llamacpp.model import GgufModel
from packager.process import child, progress
from packager.prompt.masking import Encoded

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Float32 = npt.NDArray[np.float32]
    Float64 = npt.NDArray[np.float64]


REFERENCE, ANSWERS = "reference.npz", "answers.npz"
"""What the merged checkpoint predicts: on the corpus, for the F16 file, and on held-out answers, for the others."""
FEW_TEXTS, BLOCK = 6, 32
"""With fewer texts than these their spread tells nothing, and blocks of so many neighbouring tokens are taken."""


def save_reference(path: Path, samples: Sequence[Encoded], log_p: Iterable[Float32], of_corpus: int = 0) -> None:
    """Keep samples and their log-probabilities (chunks of [n, vocabulary], stored as float16), so that a
    later stage compares with a checkpoint without loading it; and how many positions are no held-out answers'."""
    import numpy as np

    rows, kept, done = sum(len(s.at) for s in samples), np.empty((0, 0), np.float16), 0
    for chunk in log_p:
        if not done:
            kept = np.empty((rows, chunk.shape[1]), np.float16)
        kept[done : done + len(chunk)] = chunk
        done += len(chunk)
    assert done == rows, f"{done} of {rows} positions were predicted"
    np.savez(
        path,
        ids=np.array([i for s in samples for i in s.ids], np.int32),
        at=np.array([i for s in samples for i in s.at], np.int32),
        lengths=np.array([(len(s.ids), len(s.at)) for s in samples], np.int32),
        log_p=kept,
        of_corpus=np.int64(of_corpus),
    )


def load_samples(path: Path) -> list[Encoded]:
    """The samples that `save_reference` kept."""
    import numpy as np

    kept = np.load(path)
    ends = np.cumsum(kept["lengths"], axis=0)[:-1]
    ids, at = np.split(kept["ids"], ends[:, 0]), np.split(kept["at"], ends[:, 1])
    return [Encoded.predicting(i.tolist(), a.tolist()) for i, a in zip(ids, at, strict=True)]


def load_reference(path: Path) -> tuple[list[Encoded], npt.NDArray[np.float16]]:
    """What `save_reference` kept: the samples, and log-probabilities [positions, vocabulary]."""
    import numpy as np

    return load_samples(path), np.load(path)["log_p"]


def _of_corpus(kept: Path) -> int:
    import numpy as np

    return int(np.load(kept)["of_corpus"])


def keep_predictions(path: Path, samples: Sequence[Encoded], context: int, kept: Path) -> None:
    """Note in `kept` what a GGUF file predicts, opened as it is served, for others to be compared with it."""
    context = max(context, *(len(sample.ids) for sample in samples))
    with GgufModel.open(path, context=context, threads=child.physical_cores()) as model:
        chunks = [log_softmax(rows).astype("float16") for _, _, rows in _logits(model, samples)]
    save_reference(kept, samples, chunks)


def from_reference(path: Path, kept: Path, context: int = 0, kv: str = "f16", *, repacked: bool = True) -> Divergence:
    """How far a GGUF file, run by llama.cpp, predicts from what `save_reference` kept.

    It is opened with the `context` and the `kv` that are served: what llama.cpp computes may depend on the former,
    whatever the text (LongRoPE's factors do), and depends on the latter.
    """
    samples, log_p = load_reference(kept)
    context = max(context, *(len(sample.ids) for sample in samples))
    compared, done, text = RunningDivergence(), 0, samples[0]
    threads = child.physical_cores()
    with GgufModel.open(path, context=context, threads=threads, kv=kv, repacked=repacked) as model:
        for sample, positions, rows in _logits(model, samples):
            if sample is not text:
                compared.end_of_text()
            text = sample
            targets = [sample.ids[i + 1] for i in positions]
            wanted = log_p[done : done + len(positions)].astype("float32")
            compared.add(wanted, log_softmax(rows), targets)
            done += len(positions)
    compared.end_of_text()
    return compared.result().model_copy(update={"of_corpus": _of_corpus(kept)})


def f16_from_reference(path: Path, kept: Path, context: int = 0) -> Divergence:
    """The same of an F16 file, whose weights gain nothing by being laid out anew."""
    return from_reference(path, kept, context, repacked=False)


def _logits(model: GgufModel, samples: Sequence[Encoded]) -> Iterator[tuple[Encoded, list[int], Float32]]:
    """Chunk by chunk: the sample, positions in it, and their logits, valid until the next chunk."""
    for number, sample in enumerate(samples):
        chosen = set(sample.at)
        for positions, rows in model.logits(sample.ids, [i in chosen for i in range(len(sample.ids))]):
            yield sample, positions, rows
        progress.update(number + 1, len(samples), "texts compared")


def log_softmax(logits: Float32) -> Float32:
    """log p over the last axis of logits [n, vocabulary], in float32 from the largest down."""
    import numpy as np

    shifted: Float32 = logits - logits.max(axis=-1, keepdims=True)
    total = np.exp(shifted).sum(axis=-1, keepdims=True, dtype=np.float64)
    shifted -= np.log(total).astype(np.float32)
    return shifted


def standard_error(values: Float64, ends: Sequence[int]) -> float:
    """Of the mean of values [n] that are alike within blocks: a text up to each of `ends` (ascending, the last n),
    or, where the texts are few, `BLOCK` neighbours.

    Tokens of one answer are not independent. The error is that of block sums around the mean (the delta method for
    a ratio of sums): sqrt(m / (m - 1) sum_b (sum_i (x_i - mean))^2) / n for m blocks. 0.0 for a single block.
    """
    import numpy as np

    starts = [0, *(end for end in ends if 0 < end < len(values))]
    if len(starts) < FEW_TEXTS:
        starts = list(range(0, len(values), BLOCK))
    if len(starts) < 2:
        return 0.0
    sums = np.add.reduceat(values - values.mean(), starts)
    blocks = len(starts)
    return math.sqrt(blocks / (blocks - 1) * float((sums**2).sum())) / len(values)


class RunningDivergence:
    """Takes chunks of positions; keeps five numbers a position."""

    def __init__(self) -> None:
        self._kl: list[Float64] = []
        self._same: list[Any] = []
        self._spread: list[Float64] = []
        self._ends: list[int] = []
        self._nll: tuple[list[Float32], list[Float32]] = ([], [])

    def add(self, log_p: Float32, log_q: Float32, targets: Sequence[int]) -> None:
        """Compare log-probabilities [n, vocabulary] of both models; `targets` are the n tokens that follow."""
        import numpy as np

        at, p = np.arange(len(targets)), np.exp(log_p)
        apart = np.subtract(log_p, log_q, out=np.zeros_like(log_p), where=p != 0)  # 0 log 0 is 0, of -inf too
        self._kl.append((p * apart).sum(axis=-1, dtype=np.float64))
        self._spread.append(1 - (p * p).sum(axis=-1, dtype=np.float64))
        self._same.append(log_p.argmax(axis=-1) == log_q.argmax(axis=-1))
        for kept, log in zip(self._nll, (log_p, log_q), strict=True):
            kept.append(-log[at, list(targets)])

    def end_of_text(self) -> None:
        """What was added since the last end was one text."""
        self._ends.append(sum(map(len, self._kl)))

    def result(self) -> Divergence:
        """The figures over all positions so far (at least one). A figure that is no number stays one."""
        import numpy as np

        kl = np.concatenate(self._kl)
        nll_p, nll_q = (np.concatenate(kept).astype(np.float64) for kept in self._nll)
        change = nll_q - nll_p
        ratio = math.exp(min(50.0, float(change.mean())))
        error = standard_error(change, self._ends)
        return Divergence(
            positions=len(kl),
            kl_mean=float(kl.mean()),
            kl_median=float(np.median(kl)),
            kl_worst_text=max((float(text.mean()) for text in np.split(kl, self._ends) if len(text)), default=None)
            if self._ends
            else None,
            kl_99=float(np.quantile(kl, 0.99)),
            same_top=float(np.concatenate(self._same).mean()),
            spread=float(np.concatenate(self._spread).mean()),
            loss=float(nll_q.mean()),
            perplexity_ratio=ratio,
            perplexity_ratio_error=ratio * error,
        )
