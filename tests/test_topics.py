"Tweets near topics: nothing else, the same whoever is stopped, and an end where the voice has little to say."
import json
from dataclasses import replace

import pytest

from conftest import SAMPLE, failed, run
from ulmtweet.core import UsageError
from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.sources import read_tweets
from ulmtweet.generation.bulk import write_tweets
from ulmtweet.generation.engine import Sampling
from ulmtweet.generation.topics import topics_of
from ulmtweet.models.bases import load_base
from ulmtweet.models.voice import Voice

ASKED = dict(max_tokens=25, invent=True)


@pytest.fixture(scope="module")
def speaker(tmp_path_factory):
    "The folder of a voice that has the sample's tweets and writes as the base does, which takes no training."
    home, en = tmp_path_factory.mktemp("speaker"), load_base("en")
    tweets = clean_tweets(read_tweets(SAMPLE))[0].text.tolist()
    replace(en, originals=tweets, meta=en.meta | dict(name="speaker")).save(home/"voices"/"speaker")
    return home/"voices"/"speaker"


def test_only_what_is_near_and_the_same_after_a_stop(speaker, tmp_path):
    voice, asked = Voice.load(speaker), ("time", "people")
    def stop(status):
        if status["written"] > 3: raise InterruptedError
    ask = dict(n=12, sampling=Sampling(**ASKED, topic=asked), seed=1, bs=128)
    write_tweets(voice, tmp_path/"whole.jsonl", **ask)
    with pytest.raises(InterruptedError): write_tweets(voice, tmp_path/"parts.jsonl", **ask, progress=stop)
    write_tweets(voice, tmp_path/"parts.jsonl", **ask | dict(bs=50))
    assert (tmp_path/"parts.jsonl").read_text() == (tmp_path/"whole.jsonl").read_text()
    head, *rows = map(json.loads, (tmp_path/"whole.jsonl").read_text().splitlines())
    topics = topics_of(voice, asked).values()
    assert len(rows) == 12 and head["sampling"]["topic"] == [*asked]
    assert all(any(row["text"] in t for t in topics) for row in rows)
    assert any(not any(w in row["text"].casefold() for w in ("time", "people")) for row in rows)
    with pytest.raises(UsageError, match="none of this"):
        write_tweets(voice, tmp_path/"none.jsonl", sampling=Sampling(topic=("quantum",)))
    assert not [p for p in tmp_path.iterdir() if "none" in p.name]


def test_what_the_command_says(speaker, tmp_path):
    topics = ["--topic", "morning, quantum", "--topic", "gaskets"]
    done = run("generate", "--voice", speaker, "-n", 40, *topics, "--temperature", 0, "--prompt", "Good morning",
               "--prompt", "The", "--out", tmp_path/"few.txt") # of two tweets, one of which is about something else
    assert done.returncode == 0 and "quantum is left out: speaker hardly speaks of it" in done.stderr, done.stderr
    assert "near morning: " in done.stderr and "near gaskets: " in done.stderr
    assert "only 1 different tweets came out near morning, quantum, gaskets, of which speaker" in done.stderr
    assert (tmp_path/"few.txt").read_text().splitlines()[1].startswith("Good morning")
    assert "speaks of none of this: quantum" in failed(run("predict", "--voice", speaker, "--topic", "quantum"), 2)
