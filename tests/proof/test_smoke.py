"""Judging answers: each fault of an answer fails the check that names it, a good answer none."""

from __future__ import annotations

import pytest

from packager.artifacts.kinds import Answer, GgufFile
from packager.proof import smoke
from packager.proof.answer_faults import faults_of
from packager.proof.before_quantization import blamed
from packager.proof.smoke import SmokeTest, Wait
from packager.recipe.clinic import Device
from packager.recipe.sections import Serve, Smoke, Thresholds

FILE = GgufFile(name="m-Q8_0.gguf", type="Q8_0", size=1, sha256="", bits_per_weight=8.5, tensor_types={"Q8_0": 1})
GOOD = "A vacina protege a pessoa e a comunidade contra doenças que podem ser graves."
ASKED = SmokeTest(
    questions=(Smoke(ask="Para que serve a vacina?", expect_any=("Doencas",), reject_any=("morte",)),),
    system=None,
    serve=Serve(),
    language="pt-BR",
    device=Device(ram_gb=1, min_tokens_per_second=5, max_seconds_to_first_token=2),
    thresholds=Thresholds(),
)


def judged(answers: list[Answer], asked: SmokeTest) -> list[Answer]:
    """With their faults, as `smoke_test` has them."""
    return [
        a.model_copy(update={"faults": faults_of(a, q, ["<|im_end|>"], asked.language)})
        for a, q in zip(answers, asked.questions, strict=True)
    ]


def failed(
    answer: str = GOOD, *, stopped: bool = True, speed: float = 50, first: float = 0.1, ram: int = 1
) -> set[str]:
    said = Answer(
        file=FILE.name,
        ask="Para que serve a vacina?",
        answer=answer,
        tokens=20,
        stopped=stopped,
        seconds_to_first_token=first,
        tokens_per_second=speed,
    )
    checks = smoke.judge(FILE, judged([said], ASKED), ram, ASKED)
    return {c.id.removeprefix("smoke.") for c in checks if not c.passed}


def test_a_good_answer_fails_nothing() -> None:
    assert failed() == set()


@pytest.mark.parametrize(
    ("answer", "check"),
    [
        (GOOD + "<|im_end|>", "no_template_leak"),
        (GOOD + "\nassistant\nE mais doenças.", "no_template_leak"),
        (GOOD + " a saúde da família" * 6, "no_loops"),
        ("A vacina protege a pessoa e a comunidade.", "expected_words"),
        ("A vacina protege contra as paradoencasas que podem ser graves na comunidade.", "expected_words"),
        (GOOD + " Não causa a morte.", "expected_words"),
        ("The vaccine protects the person and the community against serious diseases (doenças).", "language"),
    ],
)
def test_each_fault_of_the_text_is_named(answer: str, check: str) -> None:
    assert failed(answer) == {check}


def test_short_right_answers_pass() -> None:
    """Yes and no are of no language that can be told, and of too few tokens to time well."""
    texts = {"Não.": 3, "Sim.": 3, "Mosquito Aedes aegypti.": 7, GOOD: 20}
    said = [
        Answer(file=FILE.name, ask="?", answer=text, tokens=tokens, stopped=True, seconds_to_first_token=0.1,
               tokens_per_second=80)
        for text, tokens in texts.items()
    ]  # fmt: skip
    asked = ASKED.model_copy(update={"questions": (Smoke(ask="?"),) * 2})
    for answers in (said[:2], said[2:]):
        assert not [c for c in smoke.judge(FILE, judged(answers, asked), 1, asked) if not c.passed]


def test_what_cannot_fail_is_no_check() -> None:
    """No expected words, and an answer too short to tell its language: neither is judged."""
    said = [Answer(file=FILE.name, ask="?", answer="Mosquito Aedes aegypti.", tokens=7, stopped=True,
                   seconds_to_first_token=0.1, tokens_per_second=80)]  # fmt: skip
    asked = ASKED.model_copy(update={"questions": (Smoke(ask="?"),)})
    found = {c.id for c in smoke.judge(FILE, judged(said, asked), 1, asked)}
    assert not found & {"smoke.expected_words", "smoke.language"}
    assert {"smoke.stops", "smoke.ram"} <= found
    assert all(c.subject == FILE.type for c in smoke.judge(FILE, judged(said, asked), 1, asked))


def test_each_fault_of_the_run_is_named() -> None:
    assert failed(stopped=False) == {"stops"}
    assert failed(speed=1) == {"speed"}
    assert failed(first=9) == {"first_token"}
    assert failed(ram=2 * 10**9) == {"ram"}
    assert {"non_empty", "language", "expected_words"} == failed("")


def test_what_f16_does_too_is_not_put_down_to_quantization() -> None:
    """A loop of a model that was trained too little, and one that only the quantized file makes."""
    looping = GOOD + " a saúde da família" * 6
    said = judged([_said(looping)], ASKED)
    checks = smoke.judge(FILE, said, 1, ASKED)
    for before, says in ((looping, "F16 does so too at 1 of these 1: that is the training"),
                         (GOOD, "F16 does not at any of these 1: quantization did it")):  # fmt: skip
        of_f16 = judged([_said(before)], ASKED)
        (loops,) = (c for c in blamed(checks, said, [FILE], of_f16) if not c.passed)
        assert loops.id == "smoke.no_loops"
        assert says in loops.says
    assert blamed(checks, said, [FILE], []) == checks


def _said(text: str) -> Answer:
    return Answer(file=FILE.name, ask="Para que serve a vacina?", answer=text, tokens=20, stopped=True,
                  seconds_to_first_token=0.1, tokens_per_second=80)  # fmt: skip


def test_the_wait_is_judged_at_the_length_that_is_served() -> None:
    """A question of the smoke test is short; what a clinic sends may not be."""
    for seconds, passes in ((1.9, True), (2.1, False)):
        checks = smoke.judge(FILE, judged([_said(GOOD)], ASKED), 1, ASKED, Wait(700, seconds))
        (wait,) = [c for c in checks if c.id == "smoke.first_token"]
        assert (wait.passed, wait.measured) == (passes, seconds)
        assert "700 tokens" in wait.says


def test_how_fast_a_file_reads_is_told_by_its_longest_question() -> None:
    short, long = (
        _said(GOOD).model_copy(update={"seconds_to_first_token": seconds, "prompt_tokens": tokens})
        for tokens, seconds in ((10, 0.1), (300, 1.5))
    )
    (figure,) = smoke.prompt_figures([FILE], [long, short])
    assert (figure.id, figure.subject, figure.measured) == ("smoke.prompt_speed", "Q8_0", 200)
    assert smoke.prompt_figures([FILE], []) == []


def test_the_speed_is_the_median() -> None:
    """Of two answers it lies between both."""
    asked = ASKED.model_copy(update={"questions": ASKED.questions * 2})
    said = [
        Answer(file=FILE.name, ask="?", answer=GOOD, tokens=20, stopped=True, seconds_to_first_token=0.1,
               tokens_per_second=speed)
        for speed in (2, 6)
    ]  # fmt: skip
    speed = next(c for c in smoke.judge(FILE, judged(said, asked), 1, asked) if c.id == "smoke.speed")
    assert (speed.measured, speed.passed) == (4, False)
