"""The clinic's server beside other programs: tokens per second with one core left free, and with none.

    python bench/beside_load.py build/smollm2_aps/bundle [--busy 0 1 2] [--rounds 5] [--out FILE.json]

Both sides are servers of the same bundle, asked in turns for the same number of tokens: `shipped` is the clinic's
command line (one core stays free), `all cores` has a thread on each. A busy program is a loop on the same cores
that does nothing else. Beside it: tokens of a prompt a second, and how much of a second question's prompt has to be
computed, when the first was asked on the same server. Linux; other load on the machine counts as busy programs too,
so the run says what it found there (`load_before`: the average number of running programs in the last minute).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import measuring  # noqa: E402

from packager.clinic import host_server  # noqa: E402
from packager.clinic.host_server import HostServer  # noqa: E402
from packager.process import child  # noqa: E402

TOKENS = 64
QUESTION = "Quais são os princípios da atenção primária à saúde, e como a equipe os aplica no território? "


def speed(server: HostServer) -> float:
    """Tokens per second from the first token to the last."""
    body = {"prompt": "A", "n_predict": TOKENS, "ignore_eos": True, "cache_prompt": False, "temperature": 0}
    return float(server.post("/completion", body)["timings"]["predicted_per_second"])


def turns(server: HostServer) -> list[dict[str, float]]:
    """Two turns of one conversation: seconds until the first token, and tokens that had to be computed for it."""
    talk: list[dict[str, str]] = [{"role": "user", "content": QUESTION * 3}]
    found = []
    for _ in range(2):
        body = {"messages": talk, "max_tokens": 16, "temperature": 0}
        began = time.perf_counter()
        answer = server.post("/v1/chat/completions", body)
        timings = answer["timings"]
        found.append(
            {
                "prompt_seconds": round(timings["prompt_ms"] / 1000, 3),
                "computed": timings["prompt_n"],
                "prompt_tokens_per_second": round(timings["prompt_per_second"], 1),
                "whole_seconds": round(time.perf_counter() - began, 3),
            }
        )
        talk += [answer["choices"][0]["message"], {"role": "user", "content": "E depois?"}]
    return found


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many programs that only compute, during the block."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def run(bundle: Path, programs: list[int], rounds: int) -> dict[str, Any]:
    """Medians of both sides beside each number of busy programs."""
    cores = child.physical_cores()
    every = ["--threads", str(cores), "--threads-batch", str(cores)]
    found: dict[str, Any] = {"machine": measuring.machine(), "cores": cores, "load_before": os.getloadavg()[0]}
    with host_server.serving(bundle) as shipped, host_server.serving(bundle, options=every) as all_cores:
        sides = {"shipped": shipped, "all cores": all_cores}
        found["program"] = shipped.program
        found["turns"] = turns(shipped)
        for server in sides.values():
            speed(server)
        for count in programs:
            measured: dict[str, list[float]] = {side: [] for side in sides}
            with busy(count):
                for _ in range(rounds):
                    for side, server in sides.items():
                        measured[side].append(round(speed(server), 2))
            medians = {side: round(statistics.median(values), 2) for side, values in measured.items()}
            found[f"beside {count} busy programs"] = {"tokens_per_second": medians, "all": measured}
        found["peak_mb"] = round(shipped.peak_ram() / 1e6, 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    text = json.dumps(run(given.bundle.resolve(), given.busy, given.rounds), indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
