"""What does the base remember of the people it has read? 10,000 tweets of the base alone beside its corpus, as JSON.

    python bench/private.py FOLDER [BASE] > bench/results/private.json

FOLDER is that of bench/base_en.py: its tweets are what was read. The real handles come from the folder tweets of
ULMTWEET_DATA (default ../shared/data). BASE is a name or a folder (default en). Counted are tweets with eight or more
words in a row from the corpus, beside real tweets of people who are not in it, for whom that is chance and common
phrases; and handles that somebody in the corpus really has, in what the base writes, and in the made-up handles that
it has read, where there should be none: those that it writes are put together by chance. About ten minutes on two
cores.
"""
import json, lzma, os, random, re, sys
from pathlib import Path

import numpy as np

from ulmtweet.evaluation.evaluate import unprompted_tweets
from ulmtweet.generation.engine import Sampling
from ulmtweet.models.bases import load_base
from ulmtweet.training.pretrain import documents
from ulmtweet.training.pseudonyms import HANDLE

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
N, SEED, RUN = 10_000, 0, 8
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


def runs(text):
    "A number for each run of eight words."
    words = WORD.findall(text.casefold())
    return [hash(tuple(words[i:i + RUN])) for i in range(len(words) - RUN + 1)]


def copied(tweets, known):
    "Share of the tweets with a run of the corpus."
    def has(tweet):
        numbers = np.array(runs(tweet), np.int64)
        return bool(len(numbers)) and bool(
            (known[np.minimum(np.searchsorted(known, numbers), len(known) - 1)] == numbers).any())
    return dict(tweets=len(tweets), share=round(sum(map(has, tweets)) / len(tweets), 5))


def handles_in(tweets, real):
    "How many handles, and how many of these somebody has."
    found = {h for t in tweets for h in HANDLE.findall(t)}
    return dict(handles=len(found), real=sum(h.casefold() in real for h in found))


def main(folder, base="en"):
    *read, held_out = sorted((Path(folder)/"tweets").iterdir())
    known = np.unique(np.fromiter((number for path in read for text in documents(path) for number in runs(text)),
                                  np.int64))
    print(f"{len(known):,} runs of {RUN} words", file=sys.stderr, flush=True)
    real = {h.casefold() for path in sorted((DATA/"tweets").glob("*.xz"))
            for line in lzma.open(path, "rt", encoding="utf-8") for h in HANDLE.findall(line)}
    tweets = unprompted_tweets(load_base(base), N, Sampling(invent=True, max_copied=1.), SEED)
    others = random.Random(SEED).sample(list(documents(held_out)), N)
    print(json.dumps(dict(
        eight_words_in_a_row=dict(base=copied(tweets, known), people_not_read=copied(others, known)),
        real_handles=dict(base=handles_in(tweets, real),
                          made_up=handles_in(random.Random(SEED).sample(list(documents(read[0])), N), real)),
        command="python bench/private.py FOLDER", seed=SEED), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
