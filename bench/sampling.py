"""How should tokens be picked? Each setting is judged on Kaggle's tweets of Elon Musk, as JSON.

    python bench/sampling.py > bench/results/sampling.json

Needs the folder kaggle of ULMTWEET_DATA (default ../shared/data). A voice is trained with the defaults; for each setting it writes eight
times as many tweets as there are held-out ones, and the three judges tell them from these eight times (other folds and another eighth each
time, seed 0). Beside them stand older real tweets: no imitation of them should be easier to tell. Also how varied and how long the tweets
are. Which 4,000 tweets a voice happens to write moves an accuracy by half a point, and which voice comes out of the training by one; so
three more voices, trained with other seeds, write with the default settings too. About half an hour on two cores.
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
from ulmtweet.train import Recipe, fine_tune

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
AS_IT_IS = dict(invent=True, max_copied=1.)
SETTINGS = [Sampling(t) for t in (0.8, 0.9, 1., 1.1, 1.2)] + [
    Sampling(**AS_IT_IS), Sampling(top_p=0.95), Sampling(min_p=0.01), Sampling(repetition_penalty=1.1)]
TIMES, REPEATS = 8, 8
OTHER_SEEDS = (1, 2, 3) # of training


def described(tweets):
    return dict(characters=round(statistics.mean(map(len, tweets)), 1), begins_with_handle=round(statistics.mean(t.startswith("@") for t in tweets), 3),
                **{k: round(v, 4) for k, v in variety(tweets).items()})


def row(newest, tweets):
    judged = real_or_generated(newest, tweets, REPEATS)
    return described(tweets[-len(newest):]) | dict(accuracy={k: round(r["accuracy"], 4) for k, r in judged.items()}, interval={k: [round(x, 4) for x in r["interval"]] for k, r in judged.items()})


def bits(voice): return round(voice.meta["metrics"]["test"]["bits_per_character"], 4)


def progress(row):
    print(row, file=sys.stderr, flush=True)
    return row


def main():
    tweets = clean_tweets(read_tweets(DATA/"kaggle"/"data_elonmusk.csv"))[0].text.tolist()
    def trained(seed):
        with tempfile.TemporaryDirectory() as home: return fine_tune(tweets, "bench", recipe=Recipe(seed=seed), home=home)
    voice = trained(0)
    split = held_out_split(voice)
    newest = split.valid + split.test
    def judged(voice, sampling):
        written = unprompted_tweets(voice, TIMES * len(newest), sampling)
        return progress(asdict(sampling) | row(newest, written) | dict(example=written[:5]))
    older = progress(row(newest, split.train))
    rows = [judged(voice, s) for s in SETTINGS]
    default = next(r for s, r in zip(SETTINGS, rows) if s == Sampling())
    trainings = [dict(seed=0, bits_per_character=bits(voice), accuracy=default["accuracy"])]
    for seed in OTHER_SEEDS:
        other = trained(seed)
        trainings.append(dict(seed=seed, bits_per_character=bits(other), accuracy=judged(other, Sampling())["accuracy"]))
    mean = {k: round(statistics.mean(t["accuracy"][k] for t in trainings), 4) for k in older["accuracy"]}
    print(json.dumps(dict(newest=described(newest), older=older, rows=rows, trainings=trainings, mean_accuracy=mean,
                          points_above_older={k: round(100 * (mean[k] - older["accuracy"][k]), 1) for k in mean},
                          tweets=len(newest), command="python bench/sampling.py"), indent=1))


if __name__ == "__main__":
    main()
