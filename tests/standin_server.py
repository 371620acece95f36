"""Stands in for llama-server where a test is about what is around it: the same options, paths and events.

The question decides what happens: "devagar" streams for seconds, "cheia" has no room, "ocupado" is refused, "morra"
ends the process after three words, "vazia" answers nothing. Its command line goes to the file in STANDIN_ARGUMENTS.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ANSWER = "A atenção primária é a porta de entrada do SUS."
REFUSED = {
    "cheia": (400, {"type": "exceed_context_size_error", "message": "request exceeds the available context size"}),
    "ocupado": (503, {"type": "unavailable_error", "message": "no slot available"}),
}


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/health":
            self.reply(200, {"status": "ok"})
        else:
            super().do_GET()

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = request["messages"][-1]["content"]
        for word, (code, error) in REFUSED.items():
            if word in question:
                return self.reply(code, {"error": {"code": code, **error}})
        if request.get("stream"):
            return self.stream(question)
        answer = "" if "vazia" in question else ANSWER
        choice = {"message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
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
        words = ANSWER.split(" ") * (20 if "devagar" in question else 1)
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
    for name in ("--port", "--host", "--path"):
        parser.add_argument(name)
    options, _ = parser.parse_known_args()
    if record := os.environ.get("STANDIN_ARGUMENTS"):
        Path(record).write_text(json.dumps(sys.argv[1:]), encoding="utf-8")
    handler = partial(Handler, directory=str(Path(options.path).resolve()))
    ThreadingHTTPServer((options.host, int(options.port)), handler).serve_forever()


if __name__ == "__main__":
    main()
