"""Make the embedded base `en`: a tokeniser, then English Wikipedia, then Wikipedia and tweets of many people.

    python bench/base_en.py FOLDER

Needs the folders wiki, elm and people of ULMTWEET_DATA (default ../shared/data), about an hour of two cores, and goes on where it was
stopped. FOLDER gets en-wiki (Wikipedia alone) and en. None of the tweets that the benchmarks score are in it: no Elon Musk, no
bundled sample, no Steve Martin (whose tweets end Elm's file), none of the 4,000 that bench/elm.py judges by.
"""
import os, sys
from pathlib import Path

import pandas as pd

from elm import piles
from ulmtweet.clean import clean_text
from ulmtweet.pretrain import Pretraining, Start, pretrain, train_tokenizer
from ulmtweet.tokens import load_tokenizer
from ulmtweet.voice import Voice

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
STEVE_MARTIN = 40_618 # first row of Elm's file with his tweets, which end it
LICENCE = "Wikipedia text has the licence CC BY-SA, and so have these weights."
WIKI = f"A small English base: articles of the English Wikipedia (a 2015 dump, WikiExtractor's prose). {LICENCE}"
BOTH = (f"A small English base: articles of the English Wikipedia (a 2015 dump, WikiExtractor's prose), then more articles and, three times, some 40,000 "
        "tweets of public figures (the data of Elm, and Barack Obama's from FiveThirtyEight). It has read no tweet of Elon Musk's, of Steve Martin's "
        f"or of the bundled sample, and not the 4,000 of Elm's by which the benchmarks judge; what it is worth on them stands in the README. {LICENCE}")
WIKI_EPOCHS, TWEET_WIKI, TWEET_PASSES = 0.6, ("wiki-11.xz",), 3


def show(status):
    if status.get("tokens_per_second"):
        row = status["log"][-1] if status["log"] else {}
        print(f"{status['fraction']:.3f} {status['tokens_per_second']:,.0f} tokens/s loss {status['train_loss']:.3f} "
              f"left {status['seconds_left'] / 60:.0f} min {row.get('bits_per_character')} {row.get('samples')}", file=sys.stderr, flush=True)


def many_people(folder):
    "Tweets of many people as two files, without those of whom a benchmark scores."
    path = folder/"tweets-of-many-people"
    path.mkdir(parents=True, exist_ok=True)
    elm, judged = pd.read_csv(DATA/"elm"/"all_tweets_nom.csv").iloc[:STEVE_MARTIN], {t.casefold() for t in piles()[0]}
    elm[[clean_text(t).casefold() not in judged for t in elm.tweet_nom]].to_csv(path/"elm.csv", index=False)
    (path/"BarackObama.csv").write_bytes((DATA/"people"/"BarackObama.csv").read_bytes())
    return path


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    tweets = many_people(folder)
    if not (folder/"tokenizer.json").exists():
        train_tokenizer([DATA/"wiki", *sorted(tweets.iterdir())]).save(folder/"tokenizer.json")
    if not (folder/"en-wiki").exists():
        pretrain([DATA/"wiki"], folder/"en-wiki", Start(tokenizer=load_tokenizer(folder/"tokenizer.json")), Pretraining(epochs=WIKI_EPOCHS, lr=6e-3),
                 description=WIKI, progress=show)
    if not (folder/"en").exists():
        pretrain([*(DATA/"wiki"/w for w in TWEET_WIKI), *[tweets] * TWEET_PASSES], folder/"en", Start(base=Voice.load(folder/"en-wiki")),
                 Pretraining(lr=3e-3, drop_mult=0.2), description=BOTH, progress=show)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
