"""How should tokens be picked? Each setting is judged on Kaggle's tweets of Elon Musk, as JSON.

    python bench/sampling.py > bench/results/sampling.json

Needs the folder kaggle of ULMTWEET_DATA (default ../shared/data). A voice is trained with the defaults; for each setting it writes as many
tweets as there are held-out ones, four times, and the three judges tell them from these (other folds and another quarter each time, seed 0).
Beside them stand older real tweets: no imitation of them should be easier to tell. Also how varied and how long the tweets are. About eight
minutes on two cores.
"""
import json, os, statistics, sys, tempfile
from pathlib import Path

from ulmtweet.clean import clean_tweets
from ulmtweet.evaluate import held_out_split, unprompted_tweets
from ulmtweet.generate import Sampling
from ulmtweet.judge import real_or_generated
from ulmtweet.sources import read_tweets
from ulmtweet.style import variety
from ulmtweet.train import fine_tune

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
SETTINGS = [Sampling(t, k, p, invent=invent) for t, k, p, invent in [
    (1., 0, 1., True), (1., 0, 0.95, True), (1.1, 0, 0.95, False), (1., 0, 1., False), (1., 0, 0.95, False), (1., 0, 0.9, False), (0.9, 0, 1., False),
    (0.9, 0, 0.95, False), (0.8, 0, 0.95, False), (0.7, 100, 0.9, False), (0.7, 100, 0.9, True)]]
REPEATS = 4


def row(newest, tweets):
    judged = real_or_generated(newest, tweets, REPEATS)
    return dict(accuracy={k: round(r["accuracy"], 4) for k, r in judged.items()}, interval={k: [round(x, 4) for x in r["interval"]] for k, r in judged.items()},
                characters=round(statistics.mean(map(len, tweets)), 1), **{k: round(v, 4) for k, v in variety(tweets[-len(newest):]).items()})


def main():
    with tempfile.TemporaryDirectory() as home:
        tweets = clean_tweets(read_tweets(DATA/"kaggle"/"data_elonmusk.csv"))[0].text.tolist()
        voice = fine_tune(tweets, "bench", home=home)
    split = held_out_split(voice)
    newest, rows = split.valid + split.test, []
    result = dict(newest=dict(characters=round(statistics.mean(map(len, newest)), 1), **{k: round(v, 4) for k, v in variety(newest).items()}), older=row(newest, split.train))
    for s in SETTINGS:
        tweets = unprompted_tweets(voice, REPEATS * len(newest), s)
        rows.append(dict(temperature=s.temperature, top_k=s.top_k, top_p=s.top_p, invent=s.invent) | row(newest, tweets)
                    | dict(begins_with_handle=round(statistics.mean(t.startswith("@") for t in tweets), 3), example=tweets[:5]))
        print(rows[-1], file=sys.stderr, flush=True)
    print(json.dumps(result | dict(rows=rows, bits_per_character=round(voice.meta["metrics"]["test"]["bits_per_character"], 4), tweets=len(newest), command="python bench/sampling.py", seed=0), indent=1))


if __name__ == "__main__":
    main()
