"""How many threads the clinic's program gives the model: by what other programs leave free of the processor."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from packager.clinic import starter

ASKED = """
#include <stdio.h>
#include <stdlib.h>
#include "platform.h"
#include "process.h"
#include "threads.h"

int main(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i += 2) printf("%d ", threads_beside(atoi(argv[i]), atof(argv[i + 1])));
    char *const counting[] = {"/bin/sh", "-c", "while :; do :; done", NULL};
    double machine = computed_seconds(), computed;
    process *child = start_process(counting, NULL, NULL, NULL);
    if (!child) return 1;
    while ((computed = process_seconds(child)) < 0.3) sleep_ms(5);
    stop_process(child);
    printf("\\n%.2f %.2f\\n", computed, computed_seconds() - machine);
    watch seen = {0};
    for (int i = 0; i < 40; i++) printf("%d", after_period(&seen, 3, i == 1 ? 3 : i < 6 ? 2 : 4));
    puts("");
}
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program of the clinic's own source, which is told cores and what is busy."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("threads")
    (folder / "asked.c").write_text(ASKED)
    source = starter.SOURCES[0].parent
    parts = [source / f"{name}.c" for name in ("threads", "posix", "posix_process")]
    command = [compiler, "-I", source, "-o", folder / "asked", folder / "asked.c", *parts, "-lm"]
    subprocess.run(command, check=True)
    return folder / "asked"


def test_one_core_stays_free_and_one_for_each_busy_program(answers: Path) -> None:
    wanted = {
        (1, 0): 1, (2, 0): 1, (2, 1.0): 1, (2, 2.0): 1,
        (4, 0): 3, (4, 0.4): 3, (4, 1.05): 3, (4, 1.6): 2, (4, 2.1): 2, (4, 3.0): 1, (4, 4.0): 1,
        (8, 0.2): 7, (8, 3.1): 5, (8, 9.0): 1,
    }  # fmt: skip
    pairs = [str(number) for pair in wanted for number in pair]
    said = subprocess.run([answers, *pairs], capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert said[0].split() == [str(threads) for threads in wanted.values()]
    child, machine = (float(seconds) for seconds in said[1].split())
    assert child >= 0.3  # what the system says of a program that computes
    assert machine > 0.05  # and of all of them, by another clock
    # Half a minute of busy programs, in a row, before there are fewer; five before there are more.
    assert said[2] == "000022" + "0" * 29 + "44444"
