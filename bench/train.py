"""How fast and how well is a voice trained? Beside fastai's stock recipes, as JSON.

    python bench/train.py > bench/results/train.json

Two people: Kaggle's tweets of Elon Musk (data_elonmusk.csv in the folder kaggle of ULMTWEET_DATA, default
../shared/data) and the bundled sample. All have the same tweets, tokens and network, fastai's under its own AWD-LSTM,
at its batch size, sequence length and dropout. `scratch` is `fit_one_cycle` from random weights, `stock` is
`fine_tune` from the same base; each is run as often as PEERS says. Held out are the newest 10 % of the tweets,
measured every few batches with the clock stopped.

`bits_per_character` of a peer is the best that was seen in any of its runs; ours is that of the finished voice.
`ratio_...` is the peer's seconds to its best over ours to the same value; ours count everything from reading the base
to the learning-rate finder. `ratio_near_...` asks for the peer's best within 1 %, which the peer's fastest run gets
to long before its end. `gemm_fraction` is 6 operations a weight and token while all layers learn, against 2048 x 2048
products in the same format, three at each measurement: both are medians over the same minutes. Some 25 minutes on two
cores.
"""
import json, os, statistics, sys, tempfile, time
from pathlib import Path

import torch
from fastai.text.all import (AWD_LSTM, Callback, CrossEntropyLossFlat, DataLoaders, LMDataLoader, LMLearner,
                             LMTensorText, awd_lstm_lm_split, get_language_model, set_seed)

from generate import fastai_config, fastai_weights
from ulmtweet.core import ASSETS
from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.sources import read_tweets
from ulmtweet.data.split import split_by_time
from ulmtweet.models.awdlstm import AWDLSTM, bits_per_character, fast_dtype
from ulmtweet.models.bases import from_fastai, load_base
from ulmtweet.models.tokens import EOT_ID
from ulmtweet.training.learner import Recipe
from ulmtweet.training.train import TRAINING, prepare_training, run_training

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
PEOPLE = dict(kaggle=DATA/"kaggle"/"data_elonmusk.csv", sample=ASSETS/"sample_tweets.csv")
EVERY = 20_000 # tokens that are read between two measurements
# epochs and learning rate; 2e-3 is the default of `fine_tune`
PEERS = dict(scratch=[(20, 1e-2)], stock=[(4, 2e-3), (8, 1e-2)])
NEAR = 1.01 # times the best bits per character


class Clock:
    "Held-out bits per character against the seconds of training."
    def __init__(self, split, tokenizer):
        self.split, self.tokenizer, self.points, self.last = split, tokenizer, [], 0
        self.learnt = tokenizer.encode_many(split.train[-512:])
        self.began = time.perf_counter()

    def seconds(self): return time.perf_counter() - self.began

    def measure(self, weights, shape, tokens=None):
        "Measure, if enough tokens were read since the last time."
        if tokens is not None and tokens < self.last + EVERY:
            return
        stopped, self.last = time.perf_counter(), tokens
        model = AWDLSTM(**shape).eval()
        model.load_state_dict(weights | dict(start=model.start))
        model.settle(self.learnt)
        bits = bits_per_character(model, self.tokenizer, self.split.test)["bits_per_character"]
        self.points.append((round(stopped - self.began, 2), round(bits, 4)))
        self.began += time.perf_counter() - stopped

    def best(self): return min(self.points, key=lambda p: p[1])

    def seconds_to(self, bits): return next((s for s, b in self.points if b <= bits), None)


class Measure(Callback):
    run_valid = False
    def __init__(self, clock, shape): self.clock, self.shape, self.tokens = clock, shape, 0

    def after_batch(self):
        self.tokens += self.x.numel()
        self.clock.measure(from_fastai(self.model.state_dict()), self.shape, self.tokens)


def fastai_run(split, base, scratch, epochs, rate):
    "A recipe of fastai's."
    set_seed(0)
    clock = Clock(split, base.tokenizer)
    loader = lambda tweets, **how: LMDataLoader(
        [LMTensorText(ids + [EOT_ID]) for ids in base.tokenizer.encode_many(tweets)],
        bs=64, seq_len=72, device="cpu", **how)
    dls = DataLoaders(loader(split.train, shuffle=True), loader(split.valid))
    model = get_language_model(AWD_LSTM, len(base.tokenizer), config=fastai_config(base.model.shape))
    if not scratch:
        model.load_state_dict(fastai_weights(base.model))
    learn = LMLearner(dls, model, loss_func=CrossEntropyLossFlat(), splitter=awd_lstm_lm_split,
                      path=tempfile.gettempdir(), cbs=Measure(clock, base.model.shape))
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, rate) if scratch else learn.fine_tune(epochs, rate)
    clock.measure(from_fastai(model.state_dict()), base.model.shape)
    print(f"fastai, {'from scratch' if scratch else 'fine_tune'}, {epochs} epochs at {rate:g}: "
          f"{clock.best()} in {clock.seconds():.0f} s", file=sys.stderr, flush=True)
    return clock


def our_run(split):
    "What `ulmtweet train` does."
    # batches: their times while all layers learn; products: seconds
    clock, batches, products = Clock(split, load_base("en").tokenizer), [], []
    square = torch.randn(2048, 2048).to(fast_dtype())
    def progress(status):
        if status["state"] != TRAINING or not status["stage"]:
            return
        if status["stage"] == status["stages"]:
            batches.append(time.perf_counter())
        nonlocal tokens
        tokens += training.recipe.bs * training.recipe.seq_len
        clock.measure({k: v for k, v in training.model.state_dict().items() if k != "start"},
                      training.model.shape, tokens)
        if clock.last == tokens:
            stopped = time.perf_counter()
            for _ in range(3):
                began = time.perf_counter()
                square @ square
                products.append(time.perf_counter() - began)
            clock.began += time.perf_counter() - stopped
            batches.append(None) # the next batch is not timed
    tokens = 0
    with tempfile.TemporaryDirectory() as home:
        training = prepare_training(split, "v", recipe=Recipe(), home=home, progress=progress)
        voice = run_training(training)
        clock.points.append((round(clock.seconds(), 2), round(voice.meta["metrics"]["test"]["bits_per_character"], 4)))
    seconds = statistics.median(b - a for a, b in zip(batches, batches[1:]) if a and b)
    work = 6 * training.model.n_parameters * training.recipe.bs * training.recipe.seq_len
    return clock, work / seconds / (2 * len(square)**3 / statistics.median(products))


def measure(source):
    split, base = split_by_time(clean_tweets(read_tweets(source))[0].text), load_base("en")
    ours, gemm_fraction = our_run(split)
    finished, bits = ours.points[-1]
    row = dict(bits_per_character=dict(ours=bits), curves=dict(ours=ours.points), seconds=finished,
               gemm_fraction=round(gemm_fraction, 3), tweets=len(split.train))
    for name, recipes in PEERS.items():
        runs = [fastai_run(split, base, name == "scratch", *recipe) for recipe in recipes]
        best = min(runs, key=lambda r: r.best()[1])
        row["bits_per_character"][name], row["curves"][name] = best.best()[1], best.points
        row |= {f"better_than_{name}": round(1 - bits / best.best()[1], 4),
                f"runs_{name}": [dict(epochs=e, lr=lr, best=r.best()) for (e, lr), r in zip(recipes, runs)]}
        for kind, goal in [("", best.best()[1]), ("near_", NEAR * best.best()[1])]:
            theirs, ours_to = min(r.seconds_to(goal) for r in runs if r.seconds_to(goal)), ours.seconds_to(goal)
            row |= {f"ratio_{kind}{name}": ours_to and round(theirs / ours_to, 2),
                    f"seconds_{kind}{name}": [theirs, ours_to]}
    return row


def main():
    rows = {name: measure(source) for name, source in PEOPLE.items()}
    print(json.dumps(dict(command="python bench/train.py", threads=torch.get_num_threads(),
                          **rows["kaggle"], sample=rows["sample"]), indent=1))


if __name__ == "__main__":
    main()
