"""Stands in for llama-server where a test is about what is around it: the same options, paths and events.

The question decides what happens: "devagar" streams for seconds, "sem parar" until it is not heard any more, "demora"
is read for longer than anybody's patience with a browser, "cheia" has no room, "ocupado" is refused, "morra"
ends the process after three words, "vazia" answers nothing, "marcas" what no answer may hold, "interrompa" is
Ctrl-C for who asks, and no answer. Its command line goes to
the file in STANDIN_ARGUMENTS, the path and body of each question that it computes to the file in STANDIN_ASKED, those
of what it is given to read before anybody asks to the file in STANDIN_READ; it
reads that until there is a file STANDIN_READS_UNTIL. Given approved material it answers
STANDIN_WRITES. A token is a word; the first is one of LIKELY. With STANDIN_ENGINE it renders, splits and predicts as
the model's own file does, by llama.cpp's library.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
ENGINE = threading.Lock()
ANSWER = "A atenção primária é a porta de entrada do SUS."
LIKELY = {11: -0.5, 12: -1.5, 13: -2.5}
"""Token id -> log-probability, nats."""
LONG_SECONDS = 21
"""More than PATIENCE_SECONDS of the clinic's source/front.c."""
REFUSED = {
    "cheia": (400, {"type": "exceed_context_size_error", "message": "request exceeds the available context size"}),
    "ocupado": (503, {"type": "unavailable_error", "message": "no slot available"}),
}


def by_engine(path: str, request: dict[str, Any]) -> dict[str, Any]:
    """What llama-server answers, as far as the bundle asks it."""
    from packager.clinic.served import first_words
    from packager.prompt.template import ChatTemplate

    with ENGINE:  # one at a time: the library's vocabulary is shared
        model = engine()
        if path == "/completion":
            likely = first_words(model_file(), [request["prompt"]])[0]
            listed = [{"id": token, "logprob": value} for token, value in likely.items()]
            return {"completion_probabilities": [{"top_logprobs": listed}]}
        if path == "/tokenize":
            return {"tokens": model.tokenize(request["content"])}
        template = ChatTemplate(model.chat_template, model.bos_token, model.eos_token)
        return {"prompt": template.render(request["messages"], add_generation_prompt=True)}


@functools.cache
def engine() -> Any:
    from packager.llamacpp.model import GgufModel

    return GgufModel.open(model_file(), vocab_only=True)


def model_file() -> Path:
    return Path(sys.argv[sys.argv.index("--model") + 1])


class Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def refused(self) -> bool:
        """As llama-server: without the key only /health answers."""
        if self.headers.get("Authorization") == f"Bearer {os.environ['LLAMA_API_KEY']}":
            return False
        self.reply(401, {"error": {"code": 401, "type": "authentication_error", "message": "Invalid API Key"}})
        return True

    def do_GET(self) -> None:
        if self.path == "/health" or not self.refused():
            self.reply(200, {"status": "ok"})

    def do_POST(self) -> None:
        if self.refused():
            return None
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/input_tokens"):
            return self.reply(200, {"input_tokens": sum(len(m["content"].split()) for m in request["messages"])})
        of_the_model = "ignore_eos" not in request and "max_tokens" not in request  # one takes memory, one says words
        if os.environ.get("STANDIN_ENGINE") and of_the_model:
            return self.reply(200, by_engine(self.path, request))
        if self.path in ("/completion", "/apply-template"):
            return self.reply(200, {"content": "", "prompt": json.dumps(request.get("messages"))})
        begins = request.get("max_tokens") == 1 and not request["messages"][-1]["content"]
        if record := os.environ.get("STANDIN_READ" if begins else "STANDIN_ASKED"):
            with Path(record).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"path": self.path, **request}) + "\n")
        while begins and (until := os.environ.get("STANDIN_READS_UNTIL")) and not Path(until).exists():
            time.sleep(0.05)
        question = request["messages"][-1]["content"]
        for word, (code, error) in REFUSED.items():
            if word in question:
                return self.reply(code, {"error": {"code": code, **error}})
        if request.get("stream"):
            return self.stream(question)
        if "interrompa" in question:
            return os.kill(os.getppid(), signal.SIGINT)
        answer = "" if "vazia" in question else "<|im_start|>" if "marcas" in question else ANSWER
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
        if request.get("logprobs"):
            likely = [{"id": token, "token": "?", "bytes": [63], "logprob": value} for token, value in LIKELY.items()]
            listed = likely[: request["top_logprobs"]]
            choice["logprobs"] = {"content": [likely[0] | {"top_logprobs": listed}]}
        return self.reply(200, {"choices": [choice], "timings": {"predicted_per_second": 50.0}})

    def reply(self, code: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, question: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for done in (0, 50, 100):
            self.event({"choices": [], "prompt_progress": {"total": 100, "cache": 0, "processed": done, "time_ms": 1}})
            time.sleep(1.0 if "lendo" in question else 0)
        time.sleep(LONG_SECONDS if "demora" in question else 0)
        said = os.environ.get("STANDIN_WRITES", ANSWER) if question.startswith("Material aprovado:") else ANSWER
        words = said.split(" ") * (20 if "devagar" in question else 1)
        if "sem parar" in question:
            words = itertools.cycle(words)
        for number, word in enumerate(words):
            if number == 3 and "morra" in question:
                os._exit(1)
            self.event({"choices": [{"delta": {"content": word + " "}, "finish_reason": None}]})
            time.sleep(0.05)
        self.event({"choices": [{"delta": {}, "finish_reason": "length" if "longa" in question else "stop"}]})
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, value: Any) -> None:
        self.wfile.write(f": um comentário\n\ndata: {json.dumps(value)}\n\n".encode())
        self.wfile.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--port", "--host"):
        parser.add_argument(name)
    options, _ = parser.parse_known_args()
    if record := os.environ.get("STANDIN_ARGUMENTS"):
        Path(record).write_text(json.dumps(sys.argv[1:]), encoding="utf-8")
    ThreadingHTTPServer((options.host, int(options.port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
