"""How should tokens be picked? Each setting is judged on Kaggle's tweets of Elon Musk, as JSON.

    python bench/sampling.py > bench/results/sampling.json

Needs the folder kaggle of ULMTWEET_DATA (default ../shared/data). A voice is trained with the defaults; for each
setting it writes four times as many tweets as there are that it has not learnt, and the three judges tell them from
these four times (other folds and another quarter each time, seed 0). Beside them stand older real tweets: no imitation
of them should be easier to tell. Also how varied and how long the tweets are. Which tweets a voice happens to write
moves an accuracy by half a point or more, and which voice comes out of the training by one; so the default settings
are judged with four voices, trained with other seeds, and as the older tweets with eight times as many tweets and
rounds. Of these voices, also what becomes of the prediction when a tweet begins in another state (see
`AWDLSTM.settle`). About half an hour on two cores.
"""
import json, os, statistics, sys, tempfile
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.sources import read_tweets
from ulmtweet.evaluation.evaluate import held_out_split, unprompted_tweets
from ulmtweet.evaluation.judge import real_or_generated
from ulmtweet.evaluation.style import variety
from ulmtweet.generation.engine import Sampling
from ulmtweet.models.awdlstm import STAY, bits_per_character
from ulmtweet.training.learner import Recipe
from ulmtweet.training.train import fine_tune

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
AS_IT_IS = dict(invent=True, max_copied=1.)
SETTINGS = [Sampling(t) for t in (0.8, 0.9, 1., 1.1, 1.2)] + [
    Sampling(**AS_IT_IS), Sampling(top_p=0.95), Sampling(min_p=0.01), Sampling(repetition_penalty=1.1)]
ROUNDS, MORE_ROUNDS = 4, 8
SEEDS = (0, 1, 2, 3) # of training
STARTS = dict(mean=1e9, near=2 * STAY, default=STAY, far=STAY / 2)


def described(tweets):
    return dict(characters=round(statistics.mean(map(len, tweets)), 1),
                begins_with_handle=round(statistics.mean(t.startswith("@") for t in tweets), 3),
                **{k: round(v, 4) for k, v in variety(tweets).items()})


def row(newest, tweets, rounds):
    judged = real_or_generated(newest, tweets, rounds)
    found = described(tweets[-len(newest):]) | dict(
        accuracy={k: round(r["accuracy"], 4) for k, r in judged.items()},
        interval={k: [round(x, 4) for x in r["interval"]] for k, r in judged.items()})
    print(found, file=sys.stderr, flush=True)
    return found


def written(voice, newest, sampling, rounds):
    tweets = unprompted_tweets(voice, rounds * len(newest), sampling)
    return row(newest, tweets, rounds) | dict(example=tweets[:5])


def bits_by_start(voice):
    test, bits = held_out_split(voice).test, {}
    learnt = voice.tokenizer.encode_many(voice.learnt[-512:])
    for name, stay in STARTS.items():
        voice.model.settle(learnt, stay=stay)
        bits[name] = round(bits_per_character(voice.model, voice.tokenizer, test)["bits_per_character"], 4)
    return bits


def main():
    tweets = clean_tweets(read_tweets(DATA/"kaggle"/"data_elonmusk.csv"))[0].text.tolist()
    trainings = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as home:
            voice = fine_tune(tweets, "bench", recipe=Recipe(seed=seed), home=home)
        if not trainings:
            first, newest = voice, voice.unseen
            older = row(newest, voice.learnt, MORE_ROUNDS)
        trainings.append(
            dict(seed=seed, bits_per_character=round(voice.meta["metrics"]["test"]["bits_per_character"], 4))
            | written(voice, newest, Sampling(), MORE_ROUNDS) | dict(bits_by_start=bits_by_start(deepcopy(voice))))
    mean = {k: round(statistics.mean(t["accuracy"][k] for t in trainings), 4) for k in older["accuracy"]}
    print(json.dumps(dict(
        newest=described(newest), older=older, trainings=trainings, mean_accuracy=mean,
        points_above_older={k: round(100 * (mean[k] - older["accuracy"][k]), 1) for k in mean},
        rows=[asdict(s) | written(first, newest, s, ROUNDS) for s in SETTINGS], tweets=len(newest),
        command="python bench/sampling.py"), indent=1))


if __name__ == "__main__":
    main()
