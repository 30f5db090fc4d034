"""Are invented words better prevented or thrown away? Kaggle's tweets of Elon Musk, as JSON.

    python bench/words.py > bench/results/words.json

Needs the folder kaggle of ULMTWEET_DATA (default ../shared/data). A voice is trained with the defaults and writes
four times as many tweets as there are that it has not learnt: with a mask over the pieces that would invent a word (the
default), with tweets thrown away that have one, and with any words (`--invent`). `drawn` is how many samples were
needed for a tweet; the judges as in bench/sampling.py. About ten minutes on two cores.
"""
import json, os, statistics, sys, tempfile
from dataclasses import replace
from pathlib import Path

from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.sources import read_tweets
from ulmtweet.evaluation.judge import real_or_generated
from ulmtweet.evaluation.style import variety
from ulmtweet.generation.engine import Sampling
from ulmtweet.generation.generate import stream_tweets
from ulmtweet.generation.words import known_words, letters
from ulmtweet.training.train import fine_tune

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
ROUNDS = 4


def written(voice, n, sampling, words=None):
    "Whole tweets, and how many samples were drawn; with `words`, those that have others are thrown away."
    tweets, drawn = [], 0
    for _, tweet in stream_tweets(voice, sampling=sampling):
        drawn += 1
        if tweet and (words is None or letters(tweet.text) <= words): tweets.append(tweet.text)
        if len(tweets) == n: return tweets, drawn


def main():
    tweets = clean_tweets(read_tweets(DATA/"kaggle"/"data_elonmusk.csv"))[0].text.tolist()
    with tempfile.TemporaryDirectory() as home: voice = fine_tune(tweets, "bench", home=home)
    newest, known, rows = voice.unseen, known_words(voice), []
    for temperature in (1., 0.8):
        sampling = Sampling(temperature)
        invent = replace(sampling, invent=True)
        for words, asked in (("prevented", (sampling,)), ("thrown away", (invent, known)), ("allowed", (invent,))):
            print(temperature, words, file=sys.stderr, flush=True)
            made, drawn = written(voice, ROUNDS * len(newest), *asked)
            judged = real_or_generated(newest, made, ROUNDS)
            rows.append(dict(
                temperature=temperature, invented_words=words, drawn=round(drawn / len(made), 2),
                characters=round(statistics.mean(map(len, made)), 1), median=statistics.median(map(len, made)),
                accuracy={k: round(r["accuracy"], 4) for k, r in judged.items()},
                interval={k: [round(x, 4) for x in r["interval"]] for k, r in judged.items()},
                **{k: round(v, 4) for k, v in variety(made[:len(newest)]).items()}))
    length = lambda tweets: round(statistics.mean(map(len, tweets)), 1)
    print(json.dumps(dict(
        command="python bench/words.py",
        bits_per_character=round(voice.meta["metrics"]["test"]["bits_per_character"], 4),
        real_characters=dict(newest=length(newest), earlier=length(voice.learnt)), rows=rows), indent=1))


if __name__ == "__main__":
    main()
