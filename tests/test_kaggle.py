"Kaggle through a stand-in for its program."
import os, pty, signal, stat, subprocess, sys, time, zipfile

import pytest

from conftest import SAMPLE, failed, run
from ulmtweet.core import NetworkError
from ulmtweet.data import kaggle as chapter
from ulmtweet.data.kaggle import kaggle_dataset
from ulmtweet.data.sources import read_tweets

STAND_IN = """#!{python}
import os, shutil, sys, time
from pathlib import Path
archive, folder, behaviour = Path({archive!r}), Path(sys.argv[sys.argv.index("-p") + 1]), os.environ.get("KAGGLE_DOES")
with open({log!r}, "a") as f: f.write("asked\\n")
assert sys.argv[1:4] == ["datasets", "download", "kulgen/elon-musks-tweets"] and "--unzip" not in sys.argv
if behaviour == "forbidden": print("Dataset URL: ..."); sys.exit(print("403 - Forbidden", file=sys.stderr) or 1)
if behaviour == "unreachable": sys.exit("Failed to resolve 'api.kaggle.com'")
if behaviour == "hang": time.sleep(600)
if behaviour == "half" or behaviour == "half once" and Path({log!r}).read_text().count("asked") == 1:
    (folder/archive.name).write_bytes(archive.read_bytes()[:999]); sys.exit("Connection broken")
shutil.copy(archive, folder)
if behaviour == "stall": (folder/archive.name).write_bytes(archive.read_bytes()[:999]); time.sleep(600)
if behaviour == "slow": time.sleep(3)
"""
SLUG = "kulgen/elon-musks-tweets"


@pytest.fixture
def does(tmp_path, monkeypatch):
    "A program that behaves like `kaggle`, with the sample as dataset; gives a function that says what it does next."
    archive, program = tmp_path/"elon-musks-tweets.zip", tmp_path/"kaggle"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
        z.write(SAMPLE, "data_elonmusk.csv")
    program.write_text(STAND_IN.format(python=sys.executable, archive=str(archive), log=str(tmp_path/"log")))
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("ULMTWEET_KAGGLE", str(program))
    return lambda behaviour: monkeypatch.setenv("KAGGLE_DOES", behaviour)


def asked(tmp_path):
    "How often the program was started."
    return (tmp_path/"log").read_text().count("asked")


def test_it_is_fetched_once_and_then_works_offline(does, tmp_path):
    source, home = "kaggle:" + SLUG, tmp_path/"home"
    first = read_tweets(source, home=home)
    assert first.text.tolist() == read_tweets(SAMPLE).text.tolist()
    does("forbidden")
    assert read_tweets(source, home=home).text.tolist() == first.text.tolist()
    cached = next((home/"kaggle").glob("*/*.zip"))
    cached.write_bytes(cached.read_bytes()[:-1])
    with pytest.raises(NetworkError, match="403"):
        read_tweets(source, home=home)


def test_a_damaged_zip_is_not_used_and_the_error_says_what_to_do(does, tmp_path):
    path = kaggle_dataset(SLUG, tmp_path/"home")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    does("forbidden")
    with pytest.raises(NetworkError, match="403 - Forbidden") as error: kaggle_dataset(SLUG, tmp_path/"home")
    assert "https://www.kaggle.com/datasets/" + SLUG in str(error.value) and str(path.parent) in str(error.value)


def test_without_network_it_is_one_line_that_says_how_to_get_it_by_hand(does, tmp_path):
    home, source = tmp_path/"home", "kaggle:" + SLUG
    said = failed(run("data", source, home=home, env={"KAGGLE_DOES": "forbidden"}), 6)
    folder = home/"kaggle"/"kulgen__elon-musks-tweets"
    for word in ("403", "https://www.kaggle.com/datasets/" + SLUG, str(folder)):
        assert word in said
    assert "pip install kaggle" in failed(run("data", source, home=home, env={"ULMTWEET_KAGGLE": "/nowhere/kaggle"}), 6)
    (tmp_path/"elon-musks-tweets.zip").rename(folder/"archive.zip")
    assert kaggle_dataset(SLUG, home) == folder/"archive.zip"


@pytest.mark.parametrize("behaviour", ["hang", "unreachable"])
def test_the_error_comes_in_time(does, tmp_path, monkeypatch, behaviour):
    assert chapter.FIRST_SIGN <= 15
    monkeypatch.setattr(chapter, "FIRST_SIGN", 2)
    does(behaviour)
    start = time.monotonic()
    with pytest.raises(NetworkError, match="nothing comes" if behaviour == "hang" else "resolve"):
        kaggle_dataset(SLUG, tmp_path/"home")
    assert time.monotonic() - start < 60
    assert asked(tmp_path) == (1 if behaviour == "hang" else 2)


def test_a_download_that_stops_is_ended_and_leaves_nothing(does, tmp_path, monkeypatch):
    monkeypatch.setattr(chapter, "STALL", 1)
    monkeypatch.setattr(chapter, "TRIES", 1)
    does("stall")
    with pytest.raises(NetworkError, match="nothing comes any more"):
        kaggle_dataset(SLUG, tmp_path/"home")
    assert not [p for p in (tmp_path/"home").rglob("*") if p.is_file()]


def test_a_download_that_broke_off_is_tried_again(does, tmp_path):
    does("half once")
    assert zipfile.is_zipfile(kaggle_dataset(SLUG, tmp_path/"home"))
    assert asked(tmp_path) == 2
    does("half")
    with pytest.raises(NetworkError, match="Connection broken"):
        kaggle_dataset(SLUG, tmp_path/"other_home")
    assert asked(tmp_path) == 2 + chapter.TRIES


def test_a_terminal_shows_how_far_it_is_and_ctrl_c_ends_the_program(does, tmp_path):
    does("slow")
    script = f"from ulmtweet.data.kaggle import kaggle_dataset; kaggle_dataset({SLUG!r}, {str(tmp_path/'home')!r})"
    ours, theirs = pty.openpty()
    done = subprocess.Popen([sys.executable, "-c", script], stderr=theirs)
    os.close(theirs)
    said = b""
    while b"MB" not in said: said += os.read(ours, 1000)
    assert done.wait(300) == 0 and b"elon-musks-tweets: 0." in said
    does("hang")
    script = script.replace("home", "other")
    stopped = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    while "downloading" not in stopped.stderr.readline(): pass
    stopped.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in stopped.communicate(timeout=300)[1]
    assert not [p for p in (tmp_path/"other").rglob("*") if p.is_file()]
