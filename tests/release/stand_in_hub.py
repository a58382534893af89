"""A hub on this machine: the few endpoints that `polyglot push` and `polyglot import` use, in memory."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

HEAD = "a" * 40  # the commit that every branch main is at
LARGE = (".safetensors", ".bin", ".gguf")


@dataclass
class Hub:
    """Repositories by name and branch; the next `refuse_commits` commits fail after the large files have arrived."""

    repositories: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    commits: list[tuple[str, str, list[str]]] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    refuse_commits: int = 0
    address: str = ""


def entry(path: str, content: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    found: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": blob}
    if path.endswith(LARGE):
        found["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return found


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(content)), "Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def missing(self, code: str) -> None:
        self.answer({"error": code}, 404, {"X-Error-Code": code, "X-Error-Message": code})

    @property
    def parts(self) -> list[str]:
        return [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]

    def do_GET(self) -> None:
        parts = self.parts
        if parts[:2] == ["api", "models"]:
            self.about("/".join(parts[2:4]), parts[4:])
        elif len(parts) > 3 and parts[2] == "resolve":
            self.file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self.missing("EntryNotFound")

    do_HEAD = do_GET  # noqa: N815

    def about(self, name: str, rest: list[str]) -> None:
        branches = self.hub.repositories.get(name)
        if branches is None:
            return self.missing("RepoNotFound")
        branch = rest[1] if len(rest) > 1 and rest[1] != HEAD else "main"
        if branch not in branches:
            return self.missing("RevisionNotFound")
        files = branches[branch]
        if rest[:1] == ["tree"]:
            return self.answer([entry(path, content) for path, content in files.items()])
        siblings = [{"rfilename": path} for path in files]
        return self.answer({"id": name, "modelId": name, "sha": HEAD, "siblings": siblings, "tags": [], "private": False})

    def file(self, name: str, revision: str, path: str) -> None:
        content = self.hub.repositories[name]["main"].get(path)
        if content is None:
            return self.missing("EntryNotFound")
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": HEAD}
        return self.answer(content, headers=headers)

    def do_POST(self) -> None:
        parts, body = self.parts, self.body()
        if self.headers.get("Authorization") != "Bearer hf_right":
            return self.answer({"error": "Invalid username or password."}, 401)
        if parts == ["api", "repos", "create"]:
            given = json.loads(body)
            name = f"{given['organization']}/{given['name']}" if given.get("organization") else given["name"]
            if name in self.hub.repositories:
                return self.answer({"error": "exists", "url": f"{self.hub.address}/{name}"}, 409)
            self.hub.repositories[name] = {"main": {".gitattributes": b""}}
            return self.answer({"url": f"{self.hub.address}/{name}", "id": name})
        if parts == ["api", "validate-yaml"]:
            return self.answer({"errors": [], "warnings": []})
        if parts[-3:] == ["lfs", "objects", "batch"]:
            return self.answer({"transfer": "basic", "objects": [self.place(o) for o in json.loads(body)["objects"]]})
        return self.change("/".join(parts[2:4]), parts[4], "/".join(parts[5:]), body)

    def place(self, wanted: dict[str, Any]) -> dict[str, Any]:
        upload = {"upload": {"href": f"{self.hub.address}/store/{wanted['oid']}"}}
        return wanted | ({} if wanted["oid"] in self.hub.stored else {"actions": upload})

    def change(self, name: str, verb: str, branch: str, body: bytes) -> None:
        branches = self.hub.repositories[name]
        if verb == "branch":
            if branch in branches:
                return self.answer({"error": "Reference already exists"}, 409)
            branches[branch] = dict(branches["main"])
            return self.answer({})
        if verb == "preupload":
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = ["lfs" if path.endswith(LARGE) else "regular" for path in files]
            rows = [{"path": p, "uploadMode": mode, "shouldIgnore": False} for p, mode in zip(files, modes, strict=True)]
            return self.answer({"files": rows})
        if self.hub.refuse_commits:
            self.hub.refuse_commits -= 1
            return self.answer({"error": "the line broke"}, 400)
        changed = []
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                branches[branch][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                branches[branch][value["path"]] = self.hub.stored[value["oid"]]
            changed += [value["path"]] if "path" in value else []
        self.hub.commits.append((name, branch, changed))
        return self.answer({"commitUrl": f"{self.hub.address}/{name}/commit/b", "commitOid": "b" * 40, "success": True})

    def do_PUT(self) -> None:
        content = self.body()
        self.hub.stored[self.parts[-1]] = content
        self.hub.uploads.append(self.parts[-1])
        return self.answer(b"")


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve a hub on a free port of this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HubHandler", (Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
