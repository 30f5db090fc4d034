"A stand-in for the Hub that keeps what it is sent, with the other host that it keeps large files on."
import base64, hashlib, http.server, json, re, threading
from itertools import count

import yaml

TOKEN = "hf_thisMustNeverBePrinted"
COMMIT = dict(id="c" * 40, authors=[], date="2026-01-02T03:04:05.000Z", message="")


class KeepingHub:
    "Repositories by name, each with its files by name; `does` is how it misbehaves."
    def __init__(self):
        self.repos, self.blobs, self.does, self.log, self.numbers = {}, {}, "", [], count(1)
        self.tokens, self.go_on = dict(hub=set(), store=set()), threading.Event()
        self.hub, self.store = self._serve("127.0.0.1", "hub"), self._serve("localhost", "store")

    @property
    def url(self): return f"http://127.0.0.1:{self.hub.server_port}"

    def close(self):
        self.go_on.set()
        for server in (self.hub, self.store): server.shutdown()

    def add(self, name, private=False, title="squashed", **files):
        sha = f"{next(self.numbers):040x}"
        self.repos[name] = dict(private=private, files=files, sha=sha, url=f"{self.url}/{name}", titles=[title])

    def _serve(self, host, kind):
        state = self
        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                state.log.append(f"{self.command} {self.path.partition('?')[0]}")
                state.tokens[kind].add(self.headers.get("Authorization"))
                getattr(state, "answer_" + kind)(self, self.path.partition("?")[0])
            do_GET = do_HEAD = do_POST = do_PUT = answer
            def give(self, code, content=b"", **headers):
                if isinstance(content, (dict, list)): content = json.dumps(content).encode()
                self.send_response(code)
                for key, value in {"Content-Length": len(content), **headers}.items():
                    self.send_header(key.replace("_", "-"), str(value))
                self.end_headers()
                if self.command != "HEAD": self.wfile.write(content)
            def break_off(self):
                self.close_connection = True
                self.connection.shutdown(2)
            def log_message(self, *args): pass
        server = http.server.ThreadingHTTPServer((host, 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def misbehave(self, handler, path):
        "Do as a Hub in trouble does; whether that was all."
        where, _, what = self.does.rpartition(" at ")
        if not re.search(where and what or ".", path) or not self.does: return False
        match (where or what).split():
            case ["refuse", status, *code]: handler.give(int(status), **{"X-Error-Code": c for c in code})
            case ["nonsense"]: handler.give(200, b"<html>not what you asked for")
            case ["break"]: handler.break_off()
            case ["stall"]: self.go_on.wait(20)
            case _: return False
        return True

    def answer_hub(self, handler, path):
        if self.misbehave(handler, path): return
        allowed = handler.headers.get("Authorization") == "Bearer " + TOKEN
        name = re.search(r"(?:^/api/models/|^/api/(?=spaces/)|^/)((?:spaces/)?[\w-]+/[\w-]+)", path)[1]
        repo = self.repos.get(name)
        for pattern, answer in [
            (r"/api/repos/create", self.create), (r"/api/validate-yaml", self.validate),
            (r"/api/(models|spaces)/[^/]+/[^/]+/preupload/main", self.preupload),
            (r".*\.git/info/lfs/objects/batch", self.batch), (r".*/commit/main", self.commit)]:
            if handler.command == "POST" and re.fullmatch(pattern, path):
                return answer(handler, repo) if allowed else handler.give(401)
        if not repo or repo["private"] and not allowed: return handler.give(404, X_Error_Code="RepoNotFound")
        commits = [COMMIT | dict(title=title) for title in repo["titles"]]
        if path.endswith("/commits/main"): return handler.give(200, commits)
        if path.startswith("/api/"): return self.info(handler, name, repo)
        self.resolve(handler, repo, path.rpartition("/")[2])

    def create(self, handler, repo):
        asked = json.loads(handler.body)
        name = "spaces/" * (asked.get("type") == "space") + f"{asked['organization']}/{asked['name']}"
        if name in self.repos: return handler.give(409, dict(error="exists", url=self.repos[name]["url"]))
        private = asked.get("visibility") == "private" or asked.get("private") is True
        self.add(name, private, "initial commit")
        self.repos[name]["sdk"] = asked.get("sdk")
        if asked.get("sdk") == "static": self.repos[name]["files"]["index.html"] = b"<h1>Welcome to your Space"
        handler.give(200, dict(url=self.repos[name]["url"]))

    def validate(self, handler, repo):
        head = yaml.safe_load(json.loads(handler.body)["content"].split("---\n")[1])
        handler.give(200 if isinstance(head, dict) else 400, dict(errors=[], warnings=[dict(message="a warning")]))

    def preupload(self, handler, repo):
        def mode(f): return "lfs" if f["path"].endswith(".safetensors") or f["size"] > 9_000_000 else "regular"
        asked = json.loads(handler.body)["files"]
        handler.give(200, dict(files=[dict(path=f["path"], uploadMode=mode(f), shouldIgnore=False) for f in asked]))

    def batch(self, handler, repo):
        place = f"http://localhost:{self.store.server_port}"
        def actions(o): return dict(upload=dict(href=f"{place}/{o['oid']}?signature=secret"))
        objects = [dict(oid=o["oid"], size=o["size"], actions=actions(o)) for o in json.loads(handler.body)["objects"]]
        handler.give(200, dict(transfer="basic", objects=objects))

    def commit(self, handler, repo):
        for line in map(json.loads, handler.body.splitlines()):
            value = line["value"]
            if line["key"] == "file": repo["files"][value["path"]] = base64.b64decode(value["content"])
            if line["key"] == "lfsFile": repo["files"][value["path"]] = self.blobs[value["oid"]]
        repo["sha"] = f"{next(self.numbers):040x}"
        repo["titles"].insert(0, json.loads(handler.body.splitlines()[0])["value"]["summary"])
        handler.give(200, dict(commitUrl=f"{repo['url']}/commit/{repo['sha']}", commitOid=repo["sha"]))

    def info(self, handler, name, repo):
        size = 10**12 if self.does == "huge" else None
        listed = [dict(rfilename=n, size=size or len(c), blobId="b" * 40) for n, c in repo["files"].items()]
        _, head, *_ = repo["files"].get("README.md", b"").decode().split("---\n") + [""]
        tags = (yaml.safe_load(head) or {}).get("tags", [])
        handler.give(200, dict(id=name, sha=repo["sha"], private=repo["private"], siblings=listed, tags=tags))

    def resolve(self, handler, repo, name):
        if name not in repo["files"]: return handler.give(404, X_Error_Code="EntryNotFound")
        content, etag = repo["files"][name], hashlib.sha256(repo["files"][name]).hexdigest()
        if not name.endswith(".safetensors"):
            return handler.give(200, content, ETag=f'"{etag[:40]}"', X_Repo_Commit=repo["sha"])
        self.blobs[etag] = content
        place = f"http://localhost:{self.store.server_port}/{etag}?signature=secret"
        headers = dict(X_Linked_Etag=f'"{etag}"', X_Linked_Size=len(content))
        handler.give(302, Location=place, X_Repo_Commit=repo["sha"], **headers)

    def answer_store(self, handler, path):
        if self.misbehave(handler, f"/store{path}"): return
        if handler.command == "PUT":
            if "Content-Length" not in handler.headers: return handler.give(501) # as S3 does
            assert hashlib.sha256(handler.body).hexdigest() == path[1:]
            self.blobs[path[1:]] = handler.body
            return handler.give(200)
        content = self.blobs[path[1:]]
        if self.does == "damage": content = content[:-1] + bytes([content[-1] ^ 1])
        if self.does != "half": return handler.give(200, content)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:100_000])
        handler.wfile.flush()
        handler.break_off()
