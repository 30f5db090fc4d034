import json, multiprocessing, os, signal, socket, subprocess, sys, tempfile, time
from contextlib import suppress
from functools import cache, partial
from multiprocessing import forkserver
from pathlib import Path
from unittest import mock

import pytest
from filelock import FileLock

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT/"ulmtweet"/"assets"/"sample_tweets.csv"
PROGRAM = Path(sys.executable).with_name("ulmtweet")

# in the background of a shell Ctrl-C is ignored, and so it would be by every program that is started here
signal.signal(signal.SIGINT, signal.default_int_handler)


@cache
def forked():
    "How to start processes that have imported everything already."
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["conftest", "warm"])
    with mock.patch.dict(os.environ, PYTHONPATH=str(Path(__file__).parent)): forkserver.ensure_running()
    return context


def ulmtweet(args, env, folder, streams, first):
    """The command, in a process that was forked for it: as it would begin, with files for its standard streams.

    `first` is called before, to change something in the process; None means nothing."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    for number, path in enumerate(streams): os.dup2(os.open(path, os.O_RDWR), number)
    sys.stdin, sys.argv = open(0), [str(PROGRAM), *args]
    from ulmtweet import workers
    from ulmtweet.cli.__main__ import app
    # this process has no threads yet, and has imported what its workers need
    workers.Local = partial(workers.Local, context=multiprocessing.get_context("fork"))
    if first: first()
    app()


def begin(*args, streams, first=None, **env):
    "Begin `ulmtweet` in such a process; `streams` are the files for standard input, output and error."
    process = forked().Process(target=ulmtweet,
                               args=([*map(str, args)], {**os.environ, **env}, os.getcwd(), streams, first))
    process.start()
    return process


def run(*args, home=None, stdin="", env=(), timeout=1800, first=None):
    "Run `ulmtweet` in a process of its own; in a new one if it has an environment, which imports may ask for."
    home = dict(ULMTWEET_HOME=str(home or "/nonexistent"))
    if env:
        return subprocess.run([str(PROGRAM), *map(str, args)], capture_output=True, text=True, input=stdin,
                              env={**os.environ, **home, **env}, timeout=timeout)
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
        for path, text in zip(streams, (stdin, "", "")): path.write_text(text, encoding="utf-8")
        process = begin(*args, streams=streams, first=first, **home)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(args, timeout)
        said = [path.read_text(encoding="utf-8") for path in streams[1:]]
        return subprocess.CompletedProcess(args, process.exitcode, *said)


def loaded_by(*args, also="''"):
    "Run `ulmtweet` in a new Python: what it printed, and which modules it had at its end, with the value of `also`."
    code = ("import gc, sys; from ulmtweet.cli.__main__ import app; app(sys.argv[1:], standalone_mode=False); "
            f"print({also}, *sys.modules, file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True)
    assert done.stdout.strip(), done.stderr
    return done.stdout, set(done.stderr.split())


class Started:
    "A command under way in such a process, and what it has said on standard error."
    def __init__(self, *args, **env):
        self.file = tempfile.NamedTemporaryFile("w+", encoding="utf-8")
        self.process = begin(*args, streams=(os.devnull, os.devnull, self.file.name), **env)
        self.pid = self.process.pid

    @property
    def alive(self): return self.process.is_alive()

    @property
    def said(self): return Path(self.file.name).read_text(encoding="utf-8")

    def wait_for(self, happens):
        "Wait until something happens while the command lives; what it is."
        while not (found := happens()):
            assert self.alive, self.said
            time.sleep(0.01)
        return found

    def end(self, sign):
        "Send a signal; the exit code."
        with suppress(ProcessLookupError): os.kill(self.pid, sign) # it may have come to its end
        self.process.join(300)
        return self.process.exitcode


def free_ports(n):
    "Ports of this computer on which nobody listens."
    sockets = [socket.create_server(("localhost", 0)) for _ in range(n)]
    try: return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets: s.close()


def failed(done, code):
    "Whether a command ended with an exit code, one line of error and no traceback."
    lines = done.stderr.strip().splitlines()
    assert done.returncode == code, done.stderr
    assert lines[-1].startswith("error: ") and "Traceback" not in done.stderr, done.stderr
    return lines[-1]


@pytest.fixture(autouse=True)
def same_main():
    "Streamlit's tests leave the app as the main module, which each forked process would run anew."
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def data():
    "The folder of real data, for tests that measure on it."
    folder = Path(os.environ.get("ULMTWEET_DATA", ROOT.parent/"shared"/"data"))
    if not folder.is_dir():
        pytest.skip(f"no data in {folder}; set ULMTWEET_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def few_tweets(tmp_path_factory):
    "The newest 300 tweets of the sample, as a file."
    path = tmp_path_factory.mktemp("data")/"few.csv"
    path.write_text("\n".join(SAMPLE.read_text(encoding="utf-8").splitlines()[:330]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    "A base of some thousand random weights that ends its tweets early, for what doesn't depend on the size."
    import torch
    from ulmtweet.data.sources import read_tweets
    from ulmtweet.models.awdlstm import AWDLSTM
    from ulmtweet.models.tokens import train_char
    from ulmtweet.models.voice import Voice
    tokens, folder = train_char(read_tweets(SAMPLE).text[:300].tolist()), tmp_path_factory.mktemp("base")/"tiny"
    torch.manual_seed(0)
    model = AWDLSTM(len(tokens), emb_sz=16, n_hid=24, n_layers=2).eval()
    model.bias.data[0] = 3
    Voice(model, tokens, dict(kind="base", name="tiny", base=dict(name="none"), metrics={})).save(folder)
    return folder


@pytest.fixture(scope="session")
def home(tmp_path_factory, few_tweets, worker_id):
    "A home folder with one small voice, trained by the command, once for all processes that tests run in."
    folder = tmp_path_factory.getbasetemp()
    home = (folder if worker_id == "master" else folder.parent)/"home"
    with FileLock(f"{home}.lock"):
        if not (home/"voices"/"small").exists():
            done = run("train", few_tweets, "--name", "small", "--lr", "5e-3", "--epochs", 1, "--json", home=home)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["name"] == "small"
    return home
