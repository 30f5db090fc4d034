"""How should tokens be picked? Each setting is judged on Kaggle's tweets of Elon Musk, as JSON.

    python bench/sampling.py > bench/results/sampling.json

Needs the folder kaggle of ULMTWEET_DATA (default ../shared/data). A voice is trained with the defaults; for each setting it writes four times
as many tweets as there are held-out ones, and the three judges tell them from these eight times (other folds and another quarter each
time, seed 0; four times say an accuracy to about a point, which is too coarse). Beside them stand older real tweets, four times as many as
the held-out ones too: no imitation of them should be easier to tell. Also how varied and how long the tweets are. About a quarter of an
hour on two cores.
"""
import json, os, statistics, sys, tempfile
from dataclasses import asdict
from pathlib import Path

from ulmtweet.clean import clean_tweets
from ulmtweet.engine import Sampling
from ulmtweet.evaluate import held_out_split, unprompted_tweets
from ulmtweet.judge import real_or_generated
from ulmtweet.sources import read_tweets
from ulmtweet.style import variety
from ulmtweet.train import fine_tune

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
AS_IT_IS = dict(invent=True, max_copied=1.)
SETTINGS = [Sampling(t) for t in (0.8, 0.9, 1., 1.1, 1.2)] + [
    Sampling(**AS_IT_IS), Sampling(top_p=0.95), Sampling(min_p=0.01), Sampling(repetition_penalty=1.1)]
TIMES, REPEATS = 4, 8


def described(tweets):
    return dict(characters=round(statistics.mean(map(len, tweets)), 1), begins_with_handle=round(statistics.mean(t.startswith("@") for t in tweets), 3),
                **{k: round(v, 4) for k, v in variety(tweets).items()})


def row(newest, tweets):
    judged = real_or_generated(newest, tweets, REPEATS)
    return described(tweets[-len(newest):]) | dict(accuracy={k: round(r["accuracy"], 4) for k, r in judged.items()}, interval={k: [round(x, 4) for x in r["interval"]] for k, r in judged.items()})


def main():
    with tempfile.TemporaryDirectory() as home:
        tweets = clean_tweets(read_tweets(DATA/"kaggle"/"data_elonmusk.csv"))[0].text.tolist()
        voice = fine_tune(tweets, "bench", home=home)
    split = held_out_split(voice)
    newest, rows = split.valid + split.test, []
    result = dict(newest=described(newest), older=row(newest, split.train))
    for s in SETTINGS:
        tweets = unprompted_tweets(voice, TIMES * len(newest), s)
        rows.append(asdict(s) | row(newest, tweets) | dict(example=tweets[:5]))
        print(rows[-1], file=sys.stderr, flush=True)
    print(json.dumps(result | dict(rows=rows, bits_per_character=round(voice.meta["metrics"]["test"]["bits_per_character"], 4), tweets=len(newest), command="python bench/sampling.py", seed=0), indent=1))


if __name__ == "__main__":
    main()
