"Importers on real files, and Kaggle through a stand-in for its program."
import csv, stat, sys, zipfile

import pytest

from conftest import SAMPLE, failed, run
from ulmtweet.core import NetworkError
from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.sources import read_tweets

STAND_IN = """#!{python}
import os, shutil, sys
if os.environ.get("OFFLINE"): sys.exit("403 - Forbidden")
assert sys.argv[1:4] == ["datasets", "download", "kulgen/elon-musks-tweets"] and "--unzip" not in sys.argv
shutil.copy({archive!r}, sys.argv[sys.argv.index("-p") + 1])
"""


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    "A program that behaves like `kaggle`, with the sample as the dataset."
    archive, program = tmp_path/"elon-musks-tweets.zip", tmp_path/"kaggle"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
        z.write(SAMPLE, "data_elonmusk.csv")
    program.write_text(STAND_IN.format(python=sys.executable, archive=str(archive)))
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("ULMTWEET_KAGGLE", str(program))
    return "kaggle:kulgen/elon-musks-tweets"


def test_kaggle_is_fetched_once_and_then_works_offline(kaggle, tmp_path, monkeypatch):
    first = read_tweets(kaggle, home=tmp_path/"home")
    assert first.equals(read_tweets(SAMPLE))
    monkeypatch.setenv("OFFLINE", "1")
    assert read_tweets(kaggle, home=tmp_path/"home").equals(first)
    cached = next((tmp_path/"home"/"kaggle").glob("*/*.zip"))
    cached.write_bytes(cached.read_bytes()[:-1])
    with pytest.raises(NetworkError, match="403"):
        read_tweets(kaggle, home=tmp_path/"home")


def test_kaggle_without_network_is_one_line(kaggle, tmp_path):
    assert "403" in failed(run("data", kaggle, home=tmp_path/"home", env={"OFFLINE": "1"}), 6)
    assert "pip install kaggle" in failed(run("data", kaggle, home=tmp_path/"home", env={"ULMTWEET_KAGGLE": "/nowhere/kaggle"}), 6)


def test_kaggle_file_against_a_plain_count(data):
    path = data/"kaggle"/"data_elonmusk.csv"
    with open(path, encoding="latin-1", newline="") as f:
        rows = list(csv.DictReader(f))
    table = read_tweets(path)
    assert len(table) == len(rows) == 3218
    assert table.is_retweet.sum() == sum(bool(r["Retweet from"]) for r in rows) == 525
    assert table.text.tolist() == [r["Tweet"] for r in rows]
    tweets, report = clean_tweets(table)
    assert report["read"] == report["kept"] + sum(report["dropped"].values())
    assert tweets.time.is_monotonic_increasing
    assert not tweets.text.str.contains("http").any()


@pytest.mark.parametrize("name", ["people/BarackObama.csv", "people/stevemartin.twint.tsv", "people/dalailama.twint.tsv", "elm/all_tweets_nom.csv"])
def test_other_real_files(data, name):
    table = read_tweets(data/name)
    assert len(table) > 500 and table.text.notna().all()
    if "people" in name:
        assert table.time.notna().all() and table.time.dt.year.between(2006, 2025).all()


def test_folder_and_several_files(tmp_path):
    (tmp_path/"2021.csv").write_text("tweet,date\nfirst one,2021-01-01\n")
    (tmp_path/"2022.csv").write_text("tweet,date\nsecond one,2022-01-01\n")
    (tmp_path/"notes.md").write_text("not tweets")
    assert read_tweets(tmp_path).text.tolist() == ["first one", "second one"]
    assert read_tweets([tmp_path/"2022.csv", tmp_path/"2021.csv"]).text.tolist() == ["second one", "first one"]


def test_an_archive_of_x_is_refused_and_its_read_me_not_learnt_from(tmp_path):
    with zipfile.ZipFile(tmp_path/"twitter.zip", "w") as archive:
        archive.writestr("data/README.txt", "What is in this archive\nMany lines of documentation\n" * 50)
        archive.writestr("data/tweets.js", 'window.YTD.tweets.part0 = [{"tweet": {"full_text": "Hello"}}]')
    with zipfile.ZipFile(tmp_path/"twitter.zip") as archive: archive.extractall(tmp_path/"unpacked")
    for source in ("twitter.zip", "unpacked/data"):
        assert "tweets.js can't be read" in failed(run("data", tmp_path/source), 3)
