"Several people in one voice: each is heard alike, nothing that was repeated is measured, and it goes on as any other."
import csv, shutil
from collections import Counter

import pandas as pd
import pytest

from conftest import SAMPLE, failed, run
from kills import equal, outcome
from ulmtweet.core import DataError, write_checksums, write_json
from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.people import of_several
from ulmtweet.data.sources import read_tweets
from ulmtweet.data.split import split_by_time
from ulmtweet.models.voice import EDITABLE, Voice
from ulmtweet.training import train
from ulmtweet.training.learner import Recipe
from ulmtweet.training.update import update_split

CHOICES = ["--lr", "0.01", "--epochs", "1", "--all-at-once", "--json"]


def household(path, rows):
    "The oldest tweets of the sample but for those before `rows`: of ten, seven are Ada's, two Bo's and one nobody's."
    table = clean_tweets(read_tweets(SAMPLE))[0][rows]
    names = [("ada", "Bo!", "@Ada", "ada", "ada", "", "ada", "bo!", "ADA", "ada")[i % 10] for i in range(len(table))]
    table.assign(author=names, time=table.time.astype(str)).to_csv(path, index=False, quoting=csv.QUOTE_ALL)
    return path


@pytest.fixture(scope="module")
def several(tmp_path_factory, tiny):
    "A home folder with the voice of two people, made by the command, and what it said."
    home = tmp_path_factory.mktemp("several")
    file = household(home/"house.csv", slice(0, 320))
    done = run("train", file, "--by", "author", "--balance", "--base", tiny, *CHOICES, home=home)
    assert done.returncode == 0, done.stderr
    return home, done.stderr


def test_each_is_heard_alike_and_only_where_it_is_learnt(several, monkeypatch):
    home, said = several
    voice, heard = Voice.load(home/"voices"/"house"), []
    assert "ada: 224 tweets\n" in said and "Bo!: 64 tweets, each heard 3.5 times\n" in said, said
    assert voice.meta["people"] == {"ada": 178, "Bo!": 50} and voice.meta["counts"]["train"] == 228
    monkeypatch.setattr(train, "prepare_training", lambda split, *args: heard.append(split) or 1 / 0)
    tweets, _ = of_several(clean_tweets(read_tweets(home/"house.csv"))[0])
    with pytest.raises(ZeroDivisionError):
        train.fine_tune(tweets.text.tolist(), "x", authors=tweets.author.tolist(), balance=True)
    whose, [split] = dict(zip(tweets.text, tweets.author)), heard
    assert Counter(whose[t] for t in split.train) == {"ada": 178, "Bo!": 178}
    assert set(Counter(t for t in split.train if whose[t] == "Bo!").values()) == {3, 4}
    own = [split_by_time(tweets.text[tweets.author == name]) for name in ("ada", "Bo!")] # an independent answer
    for part in ("valid", "test"):
        asked = getattr(split, part)
        assert sorted(asked) == sorted(sum((getattr(s, part) for s in own), [])) and len(asked) == len({*asked})
        assert asked == voice.held_out[part] and not {*asked} & {*split.train}
    assert voice.originals == list(dict.fromkeys(split.train))
    assert voice.authors == [whose[t] for t in (*voice.originals, *voice.held_out["valid"], *voice.held_out["test"])]
    days = dict(zip(tweets.text, tweets.time.dt.strftime("%Y-%m-%d")))
    assert voice.days[:40] == [days[t] for t in voice.originals[:40]] and voice.days[-1] == days[split.test[-1]]


@pytest.mark.slow
def test_stopped_it_goes_on_to_the_same_bits(several, tiny, tmp_path):
    home, _ = several
    tweets, _ = of_several(clean_tweets(read_tweets(home/"house.csv"))[0])
    def make(name, progress=lambda status: None, seed=0):
        return train.fine_tune(tweets.text.tolist(), name, tiny, None, Recipe(lr=1e-2, epochs=1, seed=seed), tmp_path,
                               authors=tweets.author.tolist(), balance=True, progress=progress, checkpoint_seconds=0)
    def die(status):
        if status["state"] == train.TRAINING and status["fraction"] > 0.4: raise KeyboardInterrupt
    straight = make("straight")
    with pytest.raises(KeyboardInterrupt): make("again", die)
    resumed = make("again")
    assert equal(outcome(straight.folder), outcome(resumed.folder)) and resumed.authors == straight.authors


def test_it_learns_new_tweets_of_several(several, tmp_path):
    home, _ = several
    new = household(tmp_path/"new.csv", slice(320, 420))
    voice, tweets = Voice.load(home/"voices"/"house"), clean_tweets(read_tweets(new))[0]
    whose = dict(zip(tweets.text, tweets.author.str.strip("@").str.casefold()))
    named = tweets[tweets.author != ""]
    split = update_split(voice, named.text.tolist(), authors=[whose[t] for t in named.text])
    fresh = Counter(whose[t] for t in split.train if t in whose)
    known = dict(zip(voice.originals + voice.held_out["valid"], voice.authors))
    old = Counter(known[t] for t in split.train if t in known)
    assert fresh["ada"] == fresh["bo!"] == 56 and 0.6 < old["ada"] / old["Bo!"] < 1.6, (fresh, old)
    plain = tmp_path/"plain.txt"
    plain.write_text("\n".join(tweets.text), encoding="utf-8")
    with pytest.raises(DataError, match="of each person too few"):
        update_split(voice, [f"tweet {i}" for i in range(10)], authors=[str(i % 5) for i in range(10)])
    assert "who wrote" in failed(run("update", plain, "--voice", "house", home=home), 2)
    table = pd.read_csv(new, dtype=str, keep_default_na=False)
    strangers = table[:60].assign(author="Carol", text="Carol: " + table.text[:60])
    pd.concat([table, strangers]).to_csv(new, index=False, quoting=csv.QUOTE_ALL)
    done = run("update", new, "--voice", "house", "--lr", "0.01", "--epochs", "1", home=home)
    assert "left out, not in the voice: Carol\n" in done.stderr, done.stderr
    after = Voice.load(home/"voices"/"house")
    assert done.returncode == 0 and after.meta["balance"] and sum(after.meta["people"].values()) == len(after.originals)
    assert after.originals == voice.learnt + [t for t in dict.fromkeys(split.train) if t in whose]
    in_order = after.originals + after.held_out["valid"] + after.held_out["test"]
    assert len(after.authors) == len(after.days) == len(in_order)
    assert {*after.authors[-len(split.test):]} == {"ada", "Bo!"} == {*after.meta["people"]} and "" not in after.authors
    without = shutil.copytree(after.folder, tmp_path/"voices"/"without") # as it comes from the Hub
    (without/"originals.json").unlink()
    write_json(without/"voice.json", after.meta | dict(people=2))
    write_checksums(without, leave_out=EDITABLE)
    assert "--no-originals" in failed(run("update", new, "--voice", "without", home=tmp_path), 2)


def test_what_does_not_belong_together(several, tmp_path):
    home, _ = several
    assert "--by author" in failed(run("train", home/"house.csv", "--balance", home=tmp_path), 2)
    assert "expected author" in failed(run("train", home/"house.csv", "--by", "date", home=tmp_path), 2)
    nobodys = tmp_path/"nobodys.txt"
    nobodys.write_text("\n".join(read_tweets(SAMPLE).text[:80]), encoding="utf-8")
    assert "whose it is" in failed(run("train", nobodys, "--by", "author", home=tmp_path), 3)
