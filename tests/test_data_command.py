"""`ulmtweet data`: what it prints for people and as JSON, how it ends. All tweets here are invented."""
import json, random

import pytest
from rich.cells import cell_len

from conftest import SAMPLE, failed, run

KEYS = {"format", "read", "kept", "dropped", "authors", "first", "last", "examples", "language", "training"}
HEADINGS = ["Format", "Read", "Kept", "Left out", "People", "Dates", "Years", "Lengths", "Language", "Words"]


ENGLISH = "the tea is on my desk and you can have it if they say so but this van was with me all day".split()
JAPANESE = ["夕焼け", "の", "駅前", "で", "猫", "写真", "を", "撮って", "から", "今日", "は", "パン", "食べた", "湖", "と"]


def sentences(words, n, between=" ", length=12):
    "Different texts of these words, the same each time."
    rng = random.Random(0)
    return [between.join(rng.choices(words, k=length)) for _ in range(n)]


def tweets_file(path, texts, author="ada"):
    "A table of tweets, a day apart from 2020-01-01 on."
    rows = [f'"{2020 + i // 336}-{i // 28 % 12 + 1:02}-{i % 28 + 1:02}","{t}","{author}"' for i, t in enumerate(texts)]
    path.write_text("\n".join(["date,text,user", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    "60 tweets in English, all with a link that cleaning takes away, and two retweets."
    path = tmp_path_factory.mktemp("linked")/"linked.csv"
    texts = [f"{t} @bob &amp; co https://t.co/a{i}" for i, t in enumerate(sentences(ENGLISH, 60))]
    return tweets_file(path, [*texts, "RT @bob: no tea", "RT @bob: no tea at all"])


def test_json_adds_up_and_shows_before_and_after(linked):
    done = run("data", linked, "--json", "--show", 2)
    told = json.loads(done.stdout)
    assert done.returncode == 0 and KEYS <= told.keys()
    assert (told["read"], told["kept"], told["dropped"]) == (62, 60, {"retweet": 2})
    assert told["authors"] == {"ada": 60} and (told["first"], told["last"]) == ("2020-01-01", "2020-03-04")
    assert len(told["examples"]) == 2
    assert all(e.keys() == {"before", "after"} and "t.co" not in e["after"] for e in told["examples"])
    assert told["handles"] == {"@bob": 60} and told["language"]["name"] == "English"
    assert json.loads(run("data", linked, "--json", "--show", 0).stdout)["examples"] == []


def test_text_is_readable_at_80_columns(tmp_path):
    wide = tweets_file(tmp_path/"wide.csv", sentences(JAPANESE, 80, "", 50))
    for path in (SAMPLE, wide):
        done = run("data", path, env={"COLUMNS": "80"})
        assert done.returncode == 0, done.stderr
        assert [h for h in HEADINGS if not any(line.startswith(h) for line in done.stdout.splitlines())] == []
        assert max(map(cell_len, done.stdout.splitlines())) <= 80
    assert "Japanese" in done.stdout and "--base none --tokens char" in done.stdout.replace("\n          ", " ")


def test_terminals_are_safe_from_tweets(tmp_path):
    words = [*ENGLISH, "\x1b[31mred\x07", "\u202eright", "\x9b2J"]
    path = tweets_file(tmp_path/"escapes.csv", sentences(words, 80), "eve\x1b[2J")
    done = run("data", path)
    assert done.returncode == 0, done.stderr
    assert not set("\x1b\x07\x9b\u202e") & set(done.stdout + done.stderr)


def test_too_few_tweets_are_described_before_they_are_refused(tmp_path):
    path = tweets_file(tmp_path/"few.csv", ["This is one tweet", "and this is the other"])
    done = run("data", path)
    assert "2 tweets" in failed(done, 3) and "too few" in done.stdout
    done = run("data", path, "--json")
    failed(done, 3)
    assert json.loads(done.stdout)["training"]["enough"] is False
    failed(run("data", tmp_path/"nowhere.csv"), 3)
    assert run("data", path, "--show", -1).returncode == 2


def test_the_help_names_every_source():
    told = run("data", "--help").stdout
    for source in ("X archive", "Mastodon", "Bluesky", "Threads", "CSV", "TSV", "JSON", "zip", "folder",
                   "kaggle:", "bluesky:", "mastodon:", "x:HANDLE", "--author", "--newest-first"):
        assert source in told, source


def test_one_person_can_be_chosen(tmp_path):
    texts = sentences(ENGLISH, 130)
    tweets_file(tmp_path/"ada.csv", texts[:70])
    tweets_file(tmp_path/"bob.csv", texts[70:], "Bob")
    done = run("data", tmp_path, "--json")
    assert json.loads(done.stdout)["authors"] == {"ada": 70, "Bob": 60} and "--author" in done.stderr
    done = run("data", tmp_path, "--author", "@bob", "--json")
    assert json.loads(done.stdout)["authors"] == {"Bob": 60} and "--author" not in done.stderr
    assert "ada, Bob" in failed(run("data", tmp_path, "--author", "eve"), 3)


def test_without_dates_the_order_can_be_turned(tmp_path):
    texts = sentences(ENGLISH, 80)
    (tmp_path/"t.txt").write_text("\n".join(texts), encoding="utf-8")
    ask = lambda *options: run("data", tmp_path/"t.txt", "--json", "--show", 80, *options)
    after = lambda done: [e["after"] for e in json.loads(done.stdout)["examples"]]
    assert "--newest-first" in ask().stderr
    assert sorted(after(ask())) == sorted(texts) and after(ask("--newest-first")) == after(ask())[::-1]
