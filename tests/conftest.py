import json, os, signal, subprocess, sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT/"ulmtweet"/"assets"/"sample_tweets.csv"
PROGRAM = Path(sys.executable).with_name("ulmtweet")

# in the background of a shell Ctrl-C is ignored, and so it would be by every program that is started here
signal.signal(signal.SIGINT, signal.default_int_handler)


def run(*args, home=None, stdin="", env=(), timeout=600):
    "Run the real `ulmtweet` in a process of its own."
    env = {**os.environ, "ULMTWEET_HOME": str(home or "/nonexistent"), **dict(env)}
    return subprocess.run([str(PROGRAM), *map(str, args)], capture_output=True, text=True,
                          input=stdin, env=env, timeout=timeout)


def failed(done, code):
    "Whether a command ended with an exit code, one line of error and no traceback."
    lines = done.stderr.strip().splitlines()
    assert done.returncode == code, done.stderr
    assert lines[-1].startswith("error: ") and "Traceback" not in done.stderr, done.stderr
    return lines[-1]


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
def home(tmp_path_factory, few_tweets):
    "A home folder with one small voice, trained by the command."
    home = tmp_path_factory.mktemp("home")
    done = run("train", few_tweets, "--name", "small", "--lr", "5e-3", "--epochs", "3", "--json", home=home)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "small"
    return home
