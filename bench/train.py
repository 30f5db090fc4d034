"""How fast and how well is a voice trained? Beside fastai's stock recipes, as JSON.

    python bench/train.py > bench/results/train.json

Two people: Kaggle's tweets of Elon Musk (data_elonmusk.csv in the folder kaggle of ULMTWEET_DATA, default ../shared/data) and the bundled
sample. All have the same tweets, tokens and network, fastai's under its own AWD-LSTM. `scratch` is `fit_one_cycle` from random weights,
`stock` is `fine_tune` from the same base, both at fastai's batch size, sequence length and dropout, and at the better of two learning rates:
the usual one and 1e-2. Held out are the newest 10 % of the tweets; they are measured every few batches, with the clock stopped.

A ratio is the seconds of the peer to its best held-out value over ours to the same value; ours count everything, from reading the base
to the learning-rate finder. The bits of `scratch` and `stock` are the best that were seen on the way; ours are those of the finished voice.
`gemm_fraction` is 6 operations a weight and token while all layers learn, against the best of ten 2048 x 2048 products in the same format.
About 25 minutes on two cores.
"""
import json, os, statistics, tempfile, time
from pathlib import Path

import torch
from fastai.data.core import TfmdLists
from fastai.text.all import AWD_LSTM, Callback, CrossEntropyLossFlat, LMDataLoader, LMLearner, awd_lstm_lm_split, get_language_model, set_seed

from generate import fastai_config, fastai_weights
from ulmtweet.bases import load_base
from ulmtweet.clean import clean_tweets
from ulmtweet.core import ASSETS
from ulmtweet.data import Numericalizer, split_by_time
from ulmtweet.pretrain import matmul_peak
from ulmtweet.sources import read_tweets
from ulmtweet.train import TRAINING, Recipe, prepare_training, run_training
from ulmtweet.voice import AWDLSTM, bits_per_character

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
PEOPLE = dict(kaggle=DATA/"kaggle"/"data_elonmusk.csv", sample=ASSETS/"sample_tweets.csv")
EVERY = 13_000 # tokens that are read between two measurements
RATES = dict(scratch=(2e-3, 1e-2), stock=(2e-3, 1e-2)) # the first is fastai's default of `fine_tune`
EPOCHS = dict(scratch=30, stock=8)


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


def our_names(model, n_layers):
    "The weights of fastai's network under our names."
    found = model.state_dict()
    weights = {"emb.weight": found["0.encoder.weight"], "bias": found["1.decoder.bias"]}
    for i in range(n_layers):
        weights |= {f"rnns.{i}.{n}": found[f"0.rnns.{i}.module.{n}"] for n in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0")}
        weights[f"rnns.{i}.weight_hh_l0"] = found[f"0.rnns.{i}.weight_hh_l0_raw"]
    return weights


class Measure(Callback):
    run_valid = False
    def __init__(self, clock, shape): self.clock, self.shape, self.tokens = clock, shape, 0

    def after_batch(self):
        self.tokens += self.x.numel()
        self.clock.measure(our_names(self.model, self.shape["n_layers"]), self.shape, self.tokens)


def fastai_run(split, base, rate, scratch):
    "fastai's recipe with a learning rate."
    set_seed(0)
    clock = Clock(split, base.tokenizer)
    texts, n = [*split.train, *split.valid], len(split.train)
    dls = TfmdLists(texts, Numericalizer(base.tokenizer), splits=[range(n), range(n, len(texts))], dl_type=LMDataLoader).dataloaders(bs=64, seq_len=72, device="cpu")
    model = get_language_model(AWD_LSTM, len(base.tokenizer), config=fastai_config(base.model.shape))
    if not scratch:
        model.load_state_dict(fastai_weights(base.model))
    learn = LMLearner(dls, model, loss_func=CrossEntropyLossFlat(), splitter=awd_lstm_lm_split, path=tempfile.gettempdir(), cbs=Measure(clock, base.model.shape))
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(EPOCHS["scratch"], rate) if scratch else learn.fine_tune(EPOCHS["stock"], rate)
    clock.measure(our_names(model, base.model.shape["n_layers"]), base.model.shape)
    return clock


def our_run(split):
    "What `ulmtweet train` does."
    clock, batches = Clock(split, load_base("en").tokenizer), [] # seconds of batches while all layers learn
    def progress(status):
        if status["state"] != TRAINING or not status["stage"]:
            return
        if status["stage"] == status["stages"]:
            batches.append(time.perf_counter())
        nonlocal tokens
        tokens += training.recipe.bs * training.recipe.seq_len
        clock.measure({k: v for k, v in training.model.state_dict().items() if k != "start"}, training.model.shape, tokens)
        if clock.last == tokens:
            batches.append(None) # the next batch is not timed
    tokens = 0
    with tempfile.TemporaryDirectory() as home:
        training = prepare_training(split, "v", recipe=Recipe(), home=home, progress=progress)
        voice = run_training(training)
        clock.points.append((round(clock.seconds(), 2), round(voice.meta["metrics"]["test"]["bits_per_character"], 4)))
    seconds = statistics.median(b - a for a, b in zip(batches, batches[1:]) if a and b)
    work = 6 * training.model.n_parameters * training.recipe.bs * training.recipe.seq_len
    return clock, work / seconds / matmul_peak()


def measure(source):
    split, base = split_by_time(clean_tweets(read_tweets(source))[0].text), load_base("en")
    ours, gemm_fraction = our_run(split)
    row, final = dict(bits_per_character=dict(ours=ours.points[-1][1]), seconds=dict(ours=ours.points[-1][0]), curves=dict(ours=ours.points)), ours.points[-1][1]
    for name in ("scratch", "stock"):
        tried = {rate: fastai_run(split, base, rate, name == "scratch") for rate in RATES[name]}
        rate, peer = min(tried.items(), key=lambda item: item[1].best()[1])
        seconds, bits = peer.best()
        ours_to = ours.seconds_to(bits)
        row["bits_per_character"][name], row["seconds"][name], row["curves"][name] = bits, seconds, peer.points
        row |= {f"ratio_{name}": ours_to and round(seconds / ours_to, 2), f"better_than_{name}": round(1 - final / bits, 4), f"rate_{name}": rate}
    return row | dict(gemm_fraction=round(gemm_fraction, 3), tweets=len(split.train))


def main():
    rows = {name: measure(source) for name, source in PEOPLE.items()}
    print(json.dumps(dict(command="python bench/train.py", threads=torch.get_num_threads(), epochs=EPOCHS, **rows["kaggle"], sample=rows["sample"]), indent=1))


if __name__ == "__main__":
    main()
