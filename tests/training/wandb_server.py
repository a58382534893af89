"""A server that answers the real `wandb sync` just enough to be sent a run, and keeps what it is sent."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RUN = {"id": "r", "name": "run", "displayName": "run", "description": "", "config": "{}", "sweepName": None, "historyLineCount": 0}
PROJECT = {"id": "p", "name": "polyglot", "entity": {"id": "e", "name": "me"}}
ANSWERS = {
    "upsertBucket": {"bucket": {**RUN, "project": PROJECT}, "inserted": True},
    "createRunFiles": {"runID": "r", "uploadHeaders": [], "files": []},
    "viewer": {"id": "u", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}},
    "serverInfo": {"cliVersionInfo": {"max_cli_version": "9"}, "latestLocalVersionInfo": None, "features": []},
}


class Server(ThreadingHTTPServer):
    """Holds the configurations and the lines of history that arrived."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.configs: list[dict[str, Any]] = []
        self.history: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        """Say nothing on the terminal."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        sent = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        found: dict[str, Any] = {}
        if self.path.endswith("graphql"):
            asked = json.loads(sent)
            self.server.configs += [json.loads(text) for text in [asked["variables"].get("config")] if text]
            found = {"data": {name: answer for name, answer in ANSWERS.items() if name in asked["query"]}}
        elif self.path.endswith("file_stream"):
            lines = json.loads(sent).get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
            self.server.history += [json.loads(line) for line in lines]
        data = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = answer  # noqa: N815


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
