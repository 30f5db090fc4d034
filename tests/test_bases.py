"Making bases, downloading fastai's, and going on with a voice: real processes, real kills, a real server."
import hashlib, http.server, io, json, os, pickle, random, signal, subprocess, sys, tarfile, threading

import pytest
import torch
from fastai.text.models import AWD_LSTM, awd_lstm_lm_config, get_language_model
from safetensors.torch import load_file

from conftest import SAMPLE, Started, failed, run
from ulmtweet.core import ModelError, NetworkError, set_seed
from ulmtweet.models.bases import Download, fetch_wt103
from ulmtweet.models.tokens import MARKS
from ulmtweet.training.checkpoint import checkpoint_files, load_checkpoint

SMALL = ["--vocab-size", "400", "--emb-sz", "48", "--n-hid", "96", "--bs", "16"]
WITH_CHECKPOINTS = ["--bs", "4", "--epochs", "2"] # one after 500 of some 750 steps


def pretrain(out, *args, **kwargs):
    done = run("pretrain", SAMPLE, "--out", out, *SMALL, *args, **kwargs)
    assert done.returncode == 0, done.stderr
    return load_file(out/"model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    "A base whose pretraining nobody stopped."
    folder = tmp_path_factory.mktemp("bases")/"straight"
    pretrain(folder, *WITH_CHECKPOINTS)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_pretraining_goes_on_to_the_same_weights(straight, tmp_path, sign):
    stopped, work = tmp_path/"stopped", tmp_path/".stopped.training"
    command = ["pretrain", SAMPLE, "--out", stopped, *SMALL, *WITH_CHECKPOINTS]
    process = Started(*command)
    if sign == signal.SIGKILL: process.wait_for(lambda: checkpoint_files(work))
    else: process.wait_for(lambda: "bits per character" in process.said) # after the first validation
    assert process.end(sign) == (130 if sign == signal.SIGINT else -9), process.said
    assert 0 < load_checkpoint(work).state["step"] and not stopped.exists()
    went_on = run(*command)
    assert went_on.returncode == 0, went_on.stderr
    logs = [json.loads((folder/"voice.json").read_text())["log"] for folder in (straight, stopped)]
    assert logs[0] == logs[1]
    assert same(*(load_file(folder/"model.safetensors") for folder in (straight, stopped)))


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path):
    one = pretrain(tmp_path/"one", "--epochs", "2", "--drop-mult", "0")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "ulmtweet.cli",
               "pretrain", SAMPLE, "--out", tmp_path/"two", *SMALL, "--epochs", "2", "--drop-mult", "0",
               "--device", "cpu"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1800,
                          env=os.environ | dict(OMP_NUM_THREADS="1"))
    assert done.returncode == 0, done.stderr
    two = load_file(tmp_path/"two"/"model.safetensors")
    start = pretrain(tmp_path/"start", "--epochs", "0.0001", "--drop-mult", "0")
    distance = lambda a, b: sum(float((a[k].float() - b[k].float()).pow(2).sum()) for k in a)**0.5
    assert distance(one, two) < 0.15 * distance(one, start) # sums in another order, in 16 bits


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path):
    "16 MB, whose validation part fills several batches already, beside 70."
    words, peak = random.Random(0).choices(
        [w for line in SAMPLE.read_text().splitlines() for w in line.split()], k=200_000), {}
    text = "".join(" ".join(words[i:i + 20]) + "\n" for i in range(0, len(words), 20))
    for name, times in [("short", 10), ("long", 44)]:
        with open(tmp_path/f"{name}.txt", "w") as f: f.writelines(text for _ in range(times))
        code = ("import resource, sys; from ulmtweet.cli.__main__ import app\n"
                "try: app()\nfinally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)")
        done = subprocess.run([sys.executable, "-c", code, "pretrain", str(tmp_path/f"{name}.txt"),
                               "--out", str(tmp_path/name), *SMALL, "--epochs", str(1 / times / 100)],
                              capture_output=True, text=True, timeout=1800)
        assert done.returncode == 0, done.stderr
        peak[name] = int(done.stderr.split()[-1]) / 1024
    more = 34 * len(text) / 2**20
    assert more > 50 and peak["long"] - peak["short"] < more / 2, peak


@pytest.mark.parametrize("corpus, says", [
    ("nothing", "no file or folder"), ("empty", "no files"), ("tiny.txt", "expected some 200 documents"),
    ("bad.xz", "not whole xz"), ("latin.txt", "UTF-8")])
def test_a_bad_corpus_is_one_line(tmp_path, corpus, says):
    (tmp_path/"empty").mkdir()
    (tmp_path/"tiny.txt").write_text("one line\n")
    (tmp_path/"bad.xz").write_bytes(b"no archive")
    (tmp_path/"latin.txt").write_bytes("é\n".encode("latin-1") * 9)
    assert says in failed(run("pretrain", tmp_path/corpus, "--out", tmp_path/"base", *SMALL), 3)
    assert not (tmp_path/"base").exists()


def test_a_base_is_not_overwritten_unasked(tmp_path):
    pretrain(tmp_path/"base", "--epochs", "0.01")
    assert "exists already" in failed(run("pretrain", SAMPLE, "--out", tmp_path/"base", *SMALL), 2)
    pretrain(tmp_path/"base", "--epochs", "0.01", "--overwrite")


@pytest.fixture(scope="module")
def fastai_archive(tmp_path_factory):
    "A small archive of the layout of fastai's wt103-fwd.tgz."
    set_seed(0)
    words = ["xxunk", "xxpad", "xxbos", *MARKS, *"the a to i is it of and van rocket . , ! ?".split()]
    model = get_language_model(AWD_LSTM, len(words), config=awd_lstm_lm_config | dict(emb_sz=16, n_hid=24, n_layers=3))
    path = tmp_path_factory.mktemp("wt103")/"wt103.tgz"
    write_archive(path, lstm=tensor_file(model.state_dict()), itos=pickle.dumps(words))
    return path


def tensor_file(value):
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


def write_archive(path, **files):
    with tarfile.open(path, "w:gz") as archive:
        for name, raw in files.items():
            info = tarfile.TarInfo(f"wt103-fwd/{name}" + (".pth" if name.startswith("lstm") else ".pkl"))
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil-was-here",)


@pytest.fixture
def serve():
    "Serve bytes at an address; `claims` says how many there will be."
    servers = []
    def start(content, claims=None, code=200):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(code)
                self.send_header("Content-Length", str(claims or len(content)))
                self.end_headers()
                self.wfile.write(content)
            def log_message(self, *args): pass
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/wt103-fwd.tgz"
    yield start
    for server in servers:
        server.shutdown()


def test_a_flipped_byte_is_noticed(fastai_archive, serve, tmp_path):
    content = bytearray(fastai_archive.read_bytes())
    content[len(content) // 2] ^= 0xff
    with pytest.raises(ModelError):
        fetch_wt103(tmp_path, download(serve(bytes(content)), bytes(content)))


def test_options_that_contradict_the_base(tmp_path):
    assert "its own tokeniser" in failed(run("pretrain", SAMPLE, "--out", tmp_path/"base",
                                             "--base", "en", "--n-hid", "96"), 2)
    assert "expected cpu" in failed(run("pretrain", SAMPLE, "--out", tmp_path/"base", "--device", "tpu"), 2)


def download(url, content):
    return Download(url, len(content), hashlib.md5(content[:1 << 20]).hexdigest())


def test_wt103_is_fetched_once_and_becomes_a_voice(fastai_archive, serve, tmp_path, few_tweets):
    content = fastai_archive.read_bytes()
    seen = []
    base = fetch_wt103(tmp_path, download(serve(content), content), seen.append)
    assert seen[-1] == 1 and base.tokenizer.kind == "word" and base.model.shape["n_layers"] == 3
    done = run("train", few_tweets, "--base", "wt103", "--name", "words",
               "--lr", "5e-3", "--epochs", "1", "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    meta = json.loads(done.stdout)
    assert meta["base"]["name"] == "wt103" and meta["tokens"] == "word" and len(meta["stages"]) == 4
    tweets = json.loads(run("predict", "Zqxv will", "--json", "--seed", "1", home=tmp_path).stdout)
    # a word that it doesn't know stays
    assert tweets and all(t["text"].startswith("Zqxv will") and "xx" not in t["text"] for t in tweets)


@pytest.mark.parametrize("damage, error", [
    ("cut off", NetworkError), ("too long", NetworkError), ("another file", NetworkError), ("missing", NetworkError),
    ("no archive", ModelError), ("evil words", ModelError), ("evil weights", ModelError), ("a bomb", ModelError)])
def test_bad_downloads_are_refused(fastai_archive, serve, tmp_path, damage, error, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = fastai_archive.read_bytes()
    content = good
    if damage == "no archive": content = b"<html>" * 99
    if damage in ("evil words", "evil weights", "a bomb"):
        parts = dict(lstm=tensor_file({}), itos=pickle.dumps(["xxunk", "xxbos"]))
        parts |= (dict(itos=pickle.dumps(Evil())) if damage == "evil words"
                  else dict(lstm=tensor_file(Evil())) if damage == "evil weights"
                  else dict(itos=bytes(11_000_000)))
        write_archive(tmp_path/"bad.tgz", **parts)
        content = (tmp_path/"bad.tgz").read_bytes()
    url = serve(content[:-10] if damage == "cut off" else content + b"x" if damage == "too long"
                else content[::-1] if damage == "another file" else content,
                claims=len(content) if damage == "cut off" else None, code=404 if damage == "missing" else 200)
    says = {"cut off": "bytes, expected", "too long": "more than", "another file": "another file", "missing": "404",
            "no archive": "not a whole tar.gz", "evil words": "asks for", "evil weights": "safely",
            "a bomb": "bytes, or two"}
    with pytest.raises(error, match=says[damage]):
        fetch_wt103(tmp_path, download(url, content))
    assert not (tmp_path/"bases"/"wt103").exists() and not (tmp_path/"evil-was-here").exists()
    assert {p.name for p in (tmp_path/"bases").iterdir()} <= {".wt103.lock"}


def test_another_file_the_second_time_is_refused(fastai_archive, serve, tmp_path):
    content = fastai_archive.read_bytes()
    fetch_wt103(tmp_path, download(serve(content), content))
    for path in (tmp_path/"bases"/"wt103").iterdir():
        path.unlink()
    (tmp_path/"bases"/"wt103").rmdir()
    other = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(ModelError, match="another file than the first time"):
        fetch_wt103(tmp_path, download(serve(other), other))


@pytest.mark.slow
def test_words_from_scratch(few_tweets, tmp_path):
    done = run("train", few_tweets, "--base", "none", "--tokens", "word",
               "--lr", "5e-3", "--epochs", "2", "--name", "words", "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    meta = json.loads(done.stdout)
    assert meta["tokens"] == "word" and 1 < meta["metrics"]["test"]["bits_per_character"] < 8
    assert json.loads(run("predict", "-n", "3", "--temperature", "1", "--json", home=tmp_path).stdout)


@pytest.mark.slow
def test_update_learns_what_is_new(few_tweets, tmp_path):
    lines = few_tweets.read_text(encoding="utf-8").splitlines()
    (tmp_path/"old.csv").write_text("\n".join([lines[0], *lines[130:]]), encoding="utf-8") # the newest come first
    args = ["--lr", "5e-3", "--epochs", "1", "--json"]
    choices = ["--name", "juno", "--handles", "mask", "--all-at-once"]
    first = run("train", tmp_path/"old.csv", *choices, *args, home=tmp_path)
    assert first.returncode == 0, first.stderr
    second = run("update", few_tweets, "--voice", "juno", *args, home=tmp_path)
    assert second.returncode == 0, second.stderr
    before, after = json.loads(first.stdout), json.loads(second.stdout)
    assert after["counts"]["train"] > before["counts"]["train"] and after["cleaning"]["handles"] == "mask"
    assert (after["metrics"]["earlier_before"] == before["metrics"]["test"]
            and after["history"][0]["metrics"] == before["metrics"])
    assert after["metrics"]["test"]["bits_per_character"] < after["metrics"]["before"]["bits_per_character"]
    assert "0 of" in failed(run("update", tmp_path/"old.csv", home=tmp_path), 3)
    assert len(json.loads(run("predict", "The van", "--json", home=tmp_path).stdout)) == 10
