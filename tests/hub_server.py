"""A small server on loopback that speaks the calls of the hub that push and pull make, and what may go wrong."""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_test"


@dataclass
class Repository:
    """Files of the newest commit, by path, and the names of all commits."""

    files: dict = field(default_factory=dict)
    commits: list = field(default_factory=list)

    def commit(self, files):
        self.files = files
        named = {path: hashlib.sha256(data).hexdigest() for path, data in sorted(files.items())}
        self.commits.append(hashlib.sha1(f"{len(self.commits)} {named}".encode()).hexdigest())
        return self.commits[-1]


class HubServer:
    """``url`` is its address. ``calls`` has what was asked of it, such as ``GET /api/models/a/b``.

    cut: a pattern of paths -> how often a download of them ends in the middle; broken: a pattern of calls -> how often
    they are answered by closing the connection.
    """

    def __init__(self):
        self.repositories, self.objects, self.calls = {}, {}, []
        self.cut, self.broken = {}, {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def happens(self, faults, text):
        for pattern, left in faults.items():
            if left and re.search(pattern, text):
                faults[pattern] -= 1
                return True
        return False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def answer(self):
        path = unquote(urlsplit(self.path).path)
        call = f"{self.command} {path}"
        self.hub.calls.append(call)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.hub.happens(self.hub.broken, call):
            self.close_connection = True
            self.connection.close()
            return
        for pattern, function in ROUTES:
            if match := re.fullmatch(pattern, call):
                function(self, **match.groupdict())
                return
        self.json({"error": f"no such call: {call}"}, 404)

    # --- answers ------------------------------------------------------------------------------------------------------

    def json(self, value, status=200, **headers):
        self.send(json.dumps(value).encode(), status, **{"Content-Type": "application/json", **headers})

    def send(self, data, status=200, **headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if headers.get("ETag") and self.hub.happens(self.hub.cut, self.path):
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        else:
            self.wfile.write(data)

    def may_write(self):
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self.json(
            {"error": "Invalid username or password."}, 401, **{"X-Error-Message": "Invalid username or password."}
        )
        return False

    def found(self, repo, revision="main"):
        there = self.hub.repositories.get(repo)
        if there is None:
            self.json({"error": "Repository not found"}, 404, **{"X-Error-Code": "RepoNotFound"})
        elif revision != "main" and revision not in there.commits:
            self.json({"error": "Invalid rev id"}, 404, **{"X-Error-Code": "RevisionNotFound"})
            return None
        return there

    # --- calls --------------------------------------------------------------------------------------------------------

    def create(self):
        if self.may_write():
            asked = json.loads(self.body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else f"me/{asked['name']}"
            if name in self.hub.repositories:
                self.json({"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"}, 409)
            elif not name.startswith("me/"):
                self.json({"error": "You don't have the rights to create a model under this namespace"}, 403)
            else:
                self.hub.repositories[name] = Repository()
                self.hub.repositories[name].commit({".gitattributes": b"*.safetensors filter=lfs\n"})
                self.json({"url": f"{self.hub.url}/{name}", "name": name, "id": name})

    def validate(self):
        self.json({"errors": [], "warnings": []})

    def info(self, repo, revision=None):
        there = self.found(repo, revision or "main")
        if there is not None:
            sha = there.commits[-1] if revision in (None, "main") else revision
            siblings = [{"rfilename": path} for path in sorted(there.files)]
            self.json({"id": repo, "modelId": repo, "sha": sha, "siblings": siblings, "private": False, "tags": []})

    def tree(self, repo, revision):
        there = self.found(repo, revision)
        if there is not None:
            self.json([self.entry(path, data) for path, data in sorted(there.files.items())])

    def entry(self, path, data):
        found = {"type": "file", "path": path, "size": len(data), "oid": blob(data)}
        if path.endswith(".safetensors"):
            found["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return found

    def preupload(self, repo, revision):
        there = self.found(repo)
        if there is not None and self.may_write():
            asked = json.loads(self.body)["files"]
            found = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                    "oid": self.identity(one["path"], there.files.get(one["path"])),
                }
                for one in asked
            ]
            self.json({"files": found})

    def identity(self, path, data):
        """By what a client sees that a file is there already: of large ones SHA-256, of others git's name."""
        if data is None:
            return None
        return hashlib.sha256(data).hexdigest() if path.endswith(".safetensors") else blob(data)

    def batch(self, repo):
        if self.may_write():
            objects = []
            for one in json.loads(self.body)["objects"]:
                actions = {"upload": {"href": f"{self.hub.url}/objects/{one['oid']}"}}
                objects.append(one if one["oid"] in self.hub.objects else {**one, "actions": actions})
            self.json({"transfer": "basic", "objects": objects}, **{"Content-Type": "application/vnd.git-lfs+json"})

    def put(self, oid):
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.objects[oid] = self.body
        self.send(b"")

    def commit(self, repo, revision):
        there = self.found(repo)
        if there is not None and self.may_write():
            files = dict(there.files)
            for line in map(json.loads, self.body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = self.hub.objects[value["oid"]]
                elif line["key"] == "deletedFile":
                    del files[value["path"]]
            sha = there.commit(files)
            self.json({"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{repo}/commit/{sha}"})

    def resolve(self, repo, revision, path):
        there = self.found(repo, revision)
        if there is None:
            return
        if path not in there.files:
            self.json({"error": "Entry not found"}, 404, **{"X-Error-Code": "EntryNotFound"})
            return
        data, status = there.files[path], 200
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": there.commits[-1]}
        if start:
            headers["Content-Range"] = f"bytes {start[1]}-{len(data) - 1}/{len(data)}"
            data, status = data[int(start[1]) :], 206
        self.send(data, status, **headers)


def blob(data):
    """The name that git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
ROUTES = [
    ("POST /api/repos/create", Handler.create),
    ("POST /api/validate-yaml", Handler.validate),
    (f"GET /api/models/{REPO}", Handler.info),
    (f"GET /api/models/{REPO}/revision/(?P<revision>[^/]+)", Handler.info),
    (f"GET /api/models/{REPO}/tree/(?P<revision>[^/]+)", Handler.tree),
    (f"POST /api/models/{REPO}/preupload/(?P<revision>[^/]+)", Handler.preupload),
    (f"POST /api/models/{REPO}/commit/(?P<revision>[^/]+)", Handler.commit),
    (rf"POST /{REPO}\.git/info/lfs/objects/batch", Handler.batch),
    ("PUT /objects/(?P<oid>[0-9a-f]{64})", Handler.put),
    (f"(HEAD|GET) /{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", Handler.resolve),
]
