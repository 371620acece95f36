"""Tokenizer and template -> `vocabulary.gguf`, and Ollama's TEMPLATE; both proven to make training's prompts.

The file is what the converter makes of the base without its weights. All that is proven here depends on tokenizer and
template alone, so it is done before the training; the later stages confirm that the F16 file and the Modelfile say
the same. Fails with `InputError` on a stop string inside an answer; unequal prompts are failed checks.
"""

from __future__ import annotations

from pathlib import Path

from packager.artifacts.kinds import Checkpoint, Dataset, Prompt
from packager.artifacts.knowledge import Lessons
from packager.data.conversations import HELDOUT
from packager.knowledge.lessons import LESSONS
from packager.process import progress
from packager.prompt.corpus import CORPUS, read_conversations
from packager.proof.modelfile import answers_without_stops
from packager.proof.prompts import prove_prompts


def prompt(config: None, base: Checkpoint, data: Dataset, lessons: Lessons | None, out: Path) -> Prompt:
    """Write `vocabulary.gguf` into `out` and prove the prompts of the corpus, of every held-out question and of every
    row with passages."""
    from packager.checkpoint.convertible import refuse_unconvertible
    from packager.checkpoint.vocabulary import write_vocabulary

    refuse_unconvertible(base)
    return proven_prompt(write_vocabulary(base, data.folder, out), data, lessons)


def proven_prompt(vocabulary: Path, data: Dataset, lessons: Lessons | None = None) -> Prompt:
    """What the file `vocabulary` makes of the conversations of `data`, against training."""
    files = [data.folder / CORPUS, data.folder / HELDOUT, *([lessons.folder / LESSONS] if lessons else [])]
    conversations = [messages for path in files for messages in read_conversations(path)]
    proven = prove_prompts(vocabulary, data.folder, conversations, data.system)
    answers = answers_without_stops(proven.stops, data.folder)
    for limit in proven.limits:
        progress.note(f"Ollama differs: {limit}")
    return Prompt(
        folder=vocabulary.parent,
        checks=proven.checks,
        template=proven.template,
        stops=proven.stops,
        answers=answers,
    )
