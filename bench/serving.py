"""The packaged server against llama-bench of the same build: tokens per second; its memory against the proof's.

    python bench/serving.py build/smollm2_aps/bundle /folder/of/llama-bench [--rounds 5] [--out FILE.json]

Both sides make the same number of tokens with the same threads, in turns, so that a busy machine slows both.
llama-bench comes out of the same cmake folder as the server (`ninja llama-bench` there). Linux; needs a machine
that does nothing else. Memory is the most that was resident at once, mapped weights included, as in the proof.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import measuring  # noqa: E402

from packager.package.verify import inside  # noqa: E402

TOKENS = 128
SECONDS = 120


def bare(tool: Path, model: Path, threads: int) -> float:
    """llama-bench's tokens per second."""
    command = [tool, "-m", model, "-p", "0", "-n", str(TOKENS), "-t", str(threads), "-r", "1", "-o", "json"]
    done = subprocess.run([str(w) for w in command], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)[0]["avg_ts"])


class Server:
    """The bundle's server, started by `iniciar`."""

    def __init__(self, bundle: Path) -> None:
        self.starter = subprocess.Popen(
            ["sh", str(bundle / "iniciar.sh"), "--sem-navegador"], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self.starter.stdout is not None
        for line in self.starter.stdout:
            if re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            raise SystemExit("the server does not start: see what iniciar says above")
        children = Path(f"/proc/{self.starter.pid}/task/{self.starter.pid}/children").read_text().split()
        self.pid = int(children[0])
        # Past the front, to llama-server itself, by the port and key that only its parent knows.
        words = Path(f"/proc/{self.pid}/cmdline").read_bytes().decode().split("\0")
        self.url = f"http://127.0.0.1:{words[words.index('--port') + 1]}"
        self.threads = int(words[words.index("--threads") + 1])
        variables = Path(f"/proc/{self.pid}/environ").read_bytes().decode().split("\0")
        self.key = next(v.partition("=")[2] for v in variables if v.startswith("LLAMA_API_KEY="))

    def post(self, path: str, body: dict[str, Any] | None) -> Any:
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(self.url + path, data, {"Authorization": f"Bearer {self.key}"})
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:
            return json.load(reply)

    def speed(self, **sampling: float) -> float:
        """Tokens per second from the first token to the last."""
        body = {"prompt": "A", "n_predict": TOKENS, "ignore_eos": True, "cache_prompt": False, **sampling}
        timings = self.post("/completion", body)["timings"]
        return float(timings["predicted_per_second"])

    def most_memory(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+)", status)
        return int(found[1]) * 1024 if found else 0


def run(bundle: Path, tools: Path, rounds: int) -> dict[str, Any]:
    """Medians of both sides, and their ratios."""
    facts = json.loads((bundle / "runtime" / "config.json").read_text(encoding="utf-8"))
    proven = json.loads((bundle / "runtime" / "prova.json").read_text(encoding="utf-8"))
    machine = measuring.machine()
    began = time.perf_counter()
    server = Server(bundle)
    started = time.perf_counter() - began
    recipe = {k: facts[k] for k in ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n")}
    sides: dict[str, list[float]] = {"llama-bench": [], "server, greedy": [], "server, as the recipe samples": []}
    try:
        server.speed()  # the weights are read from the disk once
        for _ in range(rounds):
            sides["llama-bench"].append(bare(tools / "llama-bench", inside(bundle) / facts["model"], server.threads))
            sides["server, greedy"].append(server.speed(temperature=0))
            sides["server, as the recipe samples"].append(server.speed(**recipe))
        for question in proven["questions"]:
            server.post("/v1/chat/completions", question["request"])
        memory = server.most_memory() / 1e6
    finally:
        server.starter.terminate()
        server.starter.wait()
    medians = {side: round(statistics.median(speeds), 2) for side, speeds in sides.items()}
    of_bench = {side: round(speed / medians["llama-bench"], 3) for side, speed in medians.items()}
    return {
        "machine": machine,
        "threads": server.threads,
        "seconds_to_start": round(started, 2),
        "tokens_per_second": medians,
        "of_llama_bench": of_bench,
        "all": sides,
        "memory_mb": round(memory, 1),
        "memory_of_proof": round(memory / proven["ram_mb"], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("tools", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    text = json.dumps(run(given.bundle.resolve(), given.tools, given.rounds), indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
