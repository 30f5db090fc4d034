"Importers on real files."
import csv, zipfile

import pytest

from conftest import failed, run
from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.sources import read_tweets


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


@pytest.mark.parametrize("name", [
    "people/BarackObama.csv", "people/stevemartin.twint.tsv", "people/dalailama.twint.tsv", "elm/all_tweets_nom.csv"])
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


def test_of_an_archive_of_x_only_the_tweets_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path/"twitter.zip", "w") as archive:
        archive.writestr("data/README.txt", "What is in this archive\nMany lines of documentation\n" * 50)
        archive.writestr("data/tweets.js",
                         'window.YTD.tweets.part0 = [{"tweet": {"id_str": "1", "full_text": "Hello"}}]')
        archive.writestr("data/direct-messages.js",
                         'window.YTD.direct_messages.part0 = [{"text": "secret", "id": "2"}]')
    with zipfile.ZipFile(tmp_path/"twitter.zip") as archive: archive.extractall(tmp_path/"unpacked")
    for source in ("twitter.zip", "unpacked", "unpacked/data", "unpacked/data/tweets.js"):
        assert read_tweets(tmp_path/source).text.tolist() == ["Hello"]
    assert "isn't read" in failed(run("data", tmp_path/"unpacked"/"data"/"direct-messages.js"), 3)


def test_a_collection_that_is_not_understood_never_falls_back_to_text(tmp_path):
    (tmp_path/"settings.json").write_text('{"theme": "dark"}')
    (tmp_path/"about.txt").write_text("What is in this folder\nand how it came there\n" * 50)
    assert "settings.json" in failed(run("data", tmp_path), 3)
