"""Ask one GGUF file the recipe's questions on this CPU, and judge what it answers.

Runs in a child process of its own with bounds on memory and time: a GGUF can abort the process
that loads it. The prompt is rendered with the template stored in the file, as a server would.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packager.artifacts.checks import Check, Figure, verdict
from packager.artifacts.kinds import Answer, GgufFile
from packager.errors import Interrupted, PackagerError
from packager.llamacpp import binding
from packager.llamacpp.model import GgufModel
from packager.process import child, progress, worker
from packager.process.memory import GIGABYTE
from packager.proof.answer_faults import SAYS, faults_of, tells_language
from packager.recipe.clinic import Device
from packager.recipe.sections import Section, Serve, Smoke, Thresholds

SEED = 42

LOAD_SECONDS = 300.0
"""Time that one file may take to load and answer, before it counts as hanging, beside what its
answers take at the slowest speed that passes."""
BEGINNING = 32
"""Tokens of each answer that are made again without chance: what the clinic's self-test compares."""


@dataclass(frozen=True)
class Wait:
    """For the first word after the longest prompt that is served."""

    tokens: int = 0
    """Of the prompt."""
    seconds: float = 0.0


class SmokeTest(Section):
    """What decides a smoke test."""

    questions: tuple[Smoke, ...]
    system: str | None
    serve: Serve
    language: str
    device: Device
    thresholds: Thresholds


def smoke_test(
    path: Path, file: GgufFile, specials: Sequence[str], config: SmokeTest
) -> tuple[list[Answer], list[Check]]:
    """Ask one file in a child of its own; a crash is a failed check, not the end of the build."""
    slowest = max(config.device.min_tokens_per_second, 0.5)
    limit = LOAD_SECONDS + len(config.questions) * (config.serve.max_answer_tokens + BEGINNING) / slowest
    memory = int(2 * config.device.ram_gb * GIGABYTE) + 2 * file.size
    try:
        answers, wait, ram = child.call(ask, path, config, timeout=limit, memory_limit=memory).value
    except Interrupted:
        raise
    except PackagerError as error:
        return [], [_loads(file, False, error.message)]
    answers = [
        answer.model_copy(update={"faults": faults_of(answer, question, specials, config.language)})
        for answer, question in zip(answers, config.questions, strict=True)
    ]
    return answers, [_loads(file, True, ""), *judge(file, answers, ram, config, wait)]


def _loads(file: GgufFile, passed: bool, why: str) -> Check:
    says = f"{file.type}: loads and runs on this CPU." if passed else f"{file.type}: does not run: {why}"
    return verdict("smoke.loads", int(passed), 1, "", passed, says, subject=file.type)


def ask(path: Path, config: SmokeTest) -> tuple[list[Answer], Wait, int]:
    """Load the file, ask every question with the recipe's sampling and a fixed seed.

    Returns the answers, the longest wait, and the memory that this took in bytes: without Python and its libraries,
    which are not in the clinic. Without a question one token is made all the same: a file that loads may still fail
    to run.
    """
    binding.library()
    before = worker.peak_ram()
    with _opened(path, config.serve) as model:
        answers: list[Answer] = []
        if not config.questions:
            _one(model, path.name, "?", model.prompt_ids([{"role": "user", "content": "?"}]), config.serve, limit=1)
        for number, question in enumerate(config.questions):
            messages = [{"role": "system", "content": config.system}] if config.system else []
            messages.append({"role": "user", "content": question.ask})
            prompt = model.prompt_ids(messages)
            answer = _one(model, path.name, question.ask, prompt, config.serve)
            answers.append(answer.model_copy(update={"begins": _beginning(model, prompt, config.serve)}))
            progress.update(number + 1, len(config.questions), "answers", tokens_per_s=answers[-1].tokens_per_second)
        wait = _longest_wait(model, path.name, answers, config)
    return answers, wait, worker.peak_ram() - before


def _opened(path: Path, serve: Serve) -> GgufModel:
    """As the clinic's server opens it, which its memory is measured by."""
    return GgufModel.open(path, context=serve.context, threads=child.physical_cores(), kv=serve.kv, mapped=False)


def _longest_wait(model: GgufModel, name: str, answers: Sequence[Answer], config: SmokeTest) -> Wait:
    """Measured with the longest question, or at the length that the recipe says is served."""
    longest = max(answers, key=lambda a: a.prompt_tokens, default=None)
    tokens = min(config.device.prompt_tokens, model.n_context - 1)
    if longest and tokens <= longest.prompt_tokens:
        return Wait(longest.prompt_tokens, longest.seconds_to_first_token)
    if not tokens:
        return Wait()
    prompt = model.prompt_ids([{"role": "user", "content": "a " * tokens}])[:tokens]
    return Wait(tokens, _one(model, name, "", prompt, config.serve, limit=1).seconds_to_first_token)


def _one(
    model: GgufModel, name: str, question: str, prompt: list[int], serve: Serve, limit: int | None = None
) -> Answer:
    began = time.perf_counter()
    first = last = began
    tokens: list[int] = []
    stopped = False
    for token in model.generate(prompt, serve, SEED, max_tokens=limit or serve.max_answer_tokens):
        last = time.perf_counter()
        first = last if first == began else first
        stopped = token in model.eog_tokens
        if not stopped:
            tokens.append(token)
    spent = last - first
    return Answer(
        file=name,
        ask=question,
        answer=model.text(tokens).strip(),
        tokens=len(tokens),
        stopped=stopped,
        seconds_to_first_token=round(first - began, 4),
        tokens_per_second=round((len(tokens) - 1) / spent, 2) if spent > 0 and len(tokens) > 1 else 0.0,
        prompt_tokens=len(prompt),
    )


def _beginning(model: GgufModel, prompt: list[int], serve: Serve) -> str:
    """The likeliest tokens, as text that another program would write too: no half character, no blanks around."""
    likeliest = serve.model_copy(update={"temperature": 0.0})
    tokens = list(model.generate(prompt, likeliest, SEED, max_tokens=min(BEGINNING, serve.max_answer_tokens)))
    return model.text([t for t in tokens if t not in model.eog_tokens]).strip().rstrip("\ufffd").rstrip()


def judge(
    file: GgufFile, answers: Sequence[Answer], ram: int, config: SmokeTest, wait: Wait | None = None
) -> list[Check]:
    """The smoke.* checks of one file, whose answers have their faults; `ram` is in bytes. Without answers, only its
    memory is judged."""
    wait = wait or Wait()
    device = config.device
    memory = verdict(
        "smoke.ram",
        round(ram / GIGABYTE, 3),
        device.ram_gb,
        "GB",
        ram <= device.ram_gb * GIGABYTE,
        f"{file.type}: needs {ram / GIGABYTE:.2f} GB of memory at {config.serve.context} tokens.",
        subject=file.type,
    )
    if not answers:
        return [memory]
    # What cannot fail, as nothing is expected or long enough to tell its language, is no check.
    expects = any(q.expect_any or q.reject_any for q in config.questions)
    counted = [name for name in SAYS if expects or name != "expected_words"]
    # Speed is a property of the machine: the median over answers long enough to time.
    timed = [a for a in answers if a.tokens > 4] or [a for a in answers if a.tokens > 1]
    speed = statistics.median(a.tokens_per_second for a in timed) if timed else 0.0
    slowest = max(wait.seconds, *(a.seconds_to_first_token for a in answers))
    longest = max(wait.tokens, *(a.prompt_tokens for a in answers))
    return [
        *(_count(file, answers, name) for name in counted),
        *_language(file, answers, config),
        verdict("smoke.speed", speed, device.min_tokens_per_second, "tokens/s", speed >= device.min_tokens_per_second,
               f"{file.type}: answers at {speed:.0f} tokens/s on this CPU.", subject=file.type),
        verdict("smoke.first_token", slowest, device.max_seconds_to_first_token, "s",
               slowest <= device.max_seconds_to_first_token,
               f"{file.type}: the first word comes after at most {slowest:.2f} s; the longest prompt has {longest} "
               "tokens.", subject=file.type),
        memory,
    ]  # fmt: skip


def _count(file: GgufFile, answers: Sequence[Answer], name: str) -> Check:
    """How many answers have the fault."""
    bad = sum(name in answer.faults for answer in answers)
    says = f"{file.type}: {bad} of {len(answers)} answers {SAYS[name]}."
    return verdict(f"smoke.{name}", bad, 0, "answers", bad == 0, says, subject=file.type)


def prompt_figures(files: Sequence[GgufFile], answers: Sequence[Answer]) -> list[Figure]:
    """How fast each file reads, by its longest question: what people wait for before the first word."""
    figures = []
    for file in files:
        own = [a for a in answers if a.file == file.name and a.prompt_tokens and a.seconds_to_first_token > 0]
        longest = max(own, key=lambda a: a.prompt_tokens, default=None)
        if longest:
            speed = round(longest.prompt_tokens / longest.seconds_to_first_token, 1)
            says = f"{file.type}: reads {speed:.0f} tokens/s of a prompt of {longest.prompt_tokens} tokens on this CPU."
            figures.append(
                Figure(id="smoke.prompt_speed", subject=file.type, measured=speed, unit="tokens/s", says=says)
            )
    return figures


def _language(file: GgufFile, answers: Sequence[Answer], config: SmokeTest) -> list[Check]:
    """The share of the answers in the recipe's language; no check where none can be told."""
    told = [answer for answer in answers if tells_language(answer)]
    if not told:
        return []
    share = config.thresholds.min_language_share
    spoken = sum("language" not in answer.faults for answer in told) / len(told)
    says = f"{file.type}: {spoken:.0%} of the answers are in {config.language}."
    return [verdict("smoke.language", round(spoken, 3), share, "share", spoken >= share, says, subject=file.type)]
