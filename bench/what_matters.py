"""What matters when a voice is trained? One choice at a time is changed, as JSON.

    python bench/what_matters.py --out bench/results/what_matters.json [FILE] [--only EXPERIMENT ...]

What is changed is ULMFiT's recipe as fastai users know it: gradual unfreezing, the learning rate that the finder
suggests, half of fastai's dropout. The rows `gradual` have it with three seeds: what differs less than they do says
nothing. The rows `default` have today's defaults instead: gradual unfreezing with a lower rate and a fraction of the
dropout, and at the end the newest tweets before the test are learnt (see `stages.learn_newest`; `without_newest` is
how good the voice was before that).

FILE has one person's tweets; default is Kaggle's dataset of Elon Musk (data_elonmusk.csv in the folder kaggle of
ULMTWEET_DATA, default ../shared/data; the folder elm has the tweets of many people). The result is written after
every training; started again with it, the command goes on with the rows that are missing. Each row is a training on
the older tweets, measured on the newest 10 %: `bits_per_character` as everywhere, `text` without the ends of tweets,
`plain` of the tweets without handles and hashtags, `ended` the share of 1,000 samples that end within 160 tokens. One
thread a training, as many at a time as there are cores; about an hour on two.
"""
import argparse, math, os, platform, random, sys, time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import torch, torch.nn.functional as F
from fastai.callback.core import Callback

from ulmtweet.core import HANDLE, read_json, write_json
from ulmtweet.data.clean import CleanOptions, clean_text, clean_tweets
from ulmtweet.data.sources import read_tweets
from ulmtweet.data.split import split_by_time
from ulmtweet.generation.engine import rules_of, sample_ids
from ulmtweet.generation.generate import request
from ulmtweet.models.awdlstm import LinearCrossEntropy, bits_per_character, token_nats
from ulmtweet.models.tokens import EOT_ID
import ulmtweet.training.stages
from ulmtweet.training.finder import LR_LIMITS, find_rate
from ulmtweet.training.learner import (DROP_MULT, Recipe, default_bs, default_epochs, make_learner,
                                       training_stages)
from ulmtweet.training.loaders import tweet_dataloaders
from ulmtweet.training.stages import learn_newest, train_stage
from ulmtweet.training.train import start_model

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
GROUPED = 16 # tweets between two ends, when there is none between tweets
SAMPLES = 1000
HALF = 0.5 # of fastai's dropout


class Only(Callback):
    "Let one layer group learn, wherever it is."
    def __init__(self, group): self.group = group

    def before_fit(self):
        for i, group in enumerate(self.model.layer_groups()):
            for p in group:
                p.requires_grad_(i == self.group)


class Average(Callback):
    "Measure and keep an exponential moving average of the weights."
    order = 61 # after the best weights are kept
    def __init__(self, decay): self.decay = decay

    def before_fit(self): self.mean, self.steps = [p.detach().clone() for p in self.model.parameters()], 0

    @torch.no_grad()
    def after_batch(self):
        if not self.training:
            return
        self.steps += 1
        for mean, p in zip(self.mean, self.model.parameters()):
            mean.lerp_(p, 1 - min(self.decay, (1 + self.steps) / (10 + self.steps)))

    def exchange(self):
        for i, p in enumerate(self.model.parameters()):
            self.mean[i], p.data = p.data, self.mean[i]

    def before_validate(self): self.exchange()

    def after_epoch(self): self.exchange()


class Smoothed(Callback):
    "Label smoothing: a part of the probability is asked to go to all tokens alike."
    def __init__(self, share): self.share = share

    def before_fit(self):
        self.learn.loss_func = lambda out, target: F.cross_entropy(
            self.model.logits(out.flatten(0, 1).float()), target.flatten(), label_smoothing=self.share)


class OtherTokens(Callback):
    "Token dropout: a share of the tokens that are read is exchanged for others of the same batch."
    def __init__(self, share): self.share = share

    def before_batch(self):
        if self.training:
            x = self.x
            self.learn.xb = (torch.where(torch.rand(x.shape) < self.share,
                                         x.flatten()[torch.randint(x.numel(), x.shape)], x),)


class OwnTokens(Callback):
    "A softmax over the tokens that occur in the training tweets alone."
    def before_fit(self):
        tokenizer = self.dls.train_ds.tfms[0].tokenizer
        own = torch.tensor(sorted({EOT_ID}.union(*tokenizer.encode_many(list(self.dls.train_ds.items)))))
        place = torch.full((len(tokenizer),), -1)
        place[own] = torch.arange(len(own))
        emb, bias = self.model.emb.weight, self.model.bias
        self.learn.loss_func = lambda out, target: LinearCrossEntropy.apply(
            out.flatten(0, 1), emb[own], bias[own], place[target.flatten()])


def and_in_small_letters(tweets, rng): return tweets + [t.lower() for t in tweets]


def and_without_some_words(tweets, rng):
    "One word in ten is left out."
    return tweets + [t for t in (" ".join(w for w in t.split() if rng.random() > 0.1) for t in tweets) if t]


def and_to_other_friends(tweets, rng):
    "Handles are exchanged for others of the same person's tweets."
    handles = [h for t in tweets for h in HANDLE.findall(t)]
    return tweets + [HANDLE.sub(lambda m: rng.choice(handles), t) for t in tweets]


def and_many_people(tweets, rng):
    "As many tweets of others, which the base has read."
    others = clean_tweets(read_tweets(DATA/"elm"/"all_tweets_nom.csv"))[0].text.tolist()
    return tweets + rng.sample(others, len(tweets))


def cleaned(options): return lambda tweets: [c for t in tweets if (c := clean_text(t, options))]


def grouped(tweets): return [" ".join(tweets[i:i + GROUPED]) for i in range(0, len(tweets), GROUPED)]


EXPERIMENTS = [("gradual", f"seed {seed}", dict(recipe=dict(seed=seed))) for seed in range(3)] + [
    *((name, f"seed {seed}", dict(newest=True, highest=LR_LIMITS[1], recipe=dict(drop_mult=DROP_MULT, seed=seed))
       | difference) for name, difference in [
           ("default", {}), ("default, all at once", dict(skipped=[0, 1])),
           ("default, all at once, rate as found", dict(skipped=[0, 1], highest=1.))] for seed in range(3)),
    ("layers", "bottom LSTM layer", dict(skipped=[0, 1], cbs=[Only(0)])),
    ("layers", "top LSTM layer", dict(skipped=[0, 1], cbs=[Only(1)])),
    ("layers", "embedding and output", dict(skipped=[0, 1], cbs=[Only(2)])),
    *(("all at once", f"seed {seed}", dict(skipped=[0, 1], recipe=dict(seed=seed))) for seed in range(3)),
    ("ends", "no end between tweets", dict(texts=grouped)),
    ("handles and hashtags", "handles masked", dict(texts=cleaned(CleanOptions(handles="mask")))),
    ("handles and hashtags", "handles dropped", dict(texts=cleaned(CleanOptions(handles="drop")))),
    ("handles and hashtags", "both dropped", dict(texts=cleaned(CleanOptions(handles="drop", hashtags=False)))),
    *(("augmentation", f.__name__.replace("_", " "), dict(augment=f))
      for f in (and_in_small_letters, and_without_some_words, and_to_other_friends)),
    *(("amount", f"{share:.0%}", dict(share=share)) for share in (0.1, 0.2, 0.4, 0.7)),
    *(("recipe", name, dict(recipe=how)) for name, how in [
        ("dropout x 0.25", dict(drop_mult=0.25)), ("dropout x 0.8", dict(drop_mult=0.8)),
        ("weight decay 0.1", dict(wd=0.1)), ("half the batch", dict(bs=0.5)),
        ("half the learning rate", dict(lr=0.5)), ("twice the learning rate", dict(lr=2.)),
        ("half the sequence length", dict(seq_len=24)), ("twice the sequence length", dict(seq_len=96)),
        ("twice the epochs", dict(epochs=2))]),
    ("recipe", "the same rate for all layers", dict(factor=1.)),
    ("recipe", "averaged weights", dict(cbs=[Average(0.97)])),
    ("recipe", "a rate found for each stage", dict(find=True)),
    ("recipe", "label smoothing 0.1", dict(cbs=[Smoothed(0.1)])),
    ("recipe", "token dropout 0.1", dict(cbs=[OtherTokens(0.1)])),
    ("recipe", "softmax over own tokens", dict(cbs=[OwnTokens()])),
    ("recipe", "and many people", dict(augment=and_many_people)),
    ("recipe", "last layer group, then all", dict(skipped=[1])),
    ("recipe", "all at once, dropout x 0.25", dict(skipped=[0, 1], recipe=dict(drop_mult=0.25)))]


def run(split, rate, number):
    "Train with one difference, and measure."
    torch.set_num_threads(1)
    experiment, setting, difference = EXPERIMENTS[number]
    row = dict(experiment=experiment, setting=setting) | measure(split, rate, **difference)
    print(row, file=sys.stderr, flush=True)
    return row


def measure(split, rate, recipe={}, skipped=(), cbs=(), texts=list, augment=None, share=1.,
            factor=ulmtweet.training.stages.FACTOR, find=False, highest=1., newest=False):
    began, ulmtweet.training.stages.FACTOR = time.perf_counter(), factor
    recipe, rate = dict(drop_mult=HALF) | recipe, min(rate, highest)
    train, valid = split.train[-round(share * len(split.train)):], split.valid
    model, tokenizer, _ = start_model(
        split, recipe=Recipe(**{k: recipe[k] for k in ("seed", "drop_mult") if k in recipe}))
    tokens = sum(len(ids) + 1 for ids in tokenizer.encode_many(train))
    times = lambda name, value: recipe.get(name, 1) * value
    recipe = Recipe(**recipe | dict(
        epochs=times("epochs", default_epochs(tokens)), lr=times("lr", rate),
        bs=round(times("bs", default_bs(tokens, recipe.get("seq_len", Recipe.seq_len))))))
    if augment: # twice the tweets, as many batches
        train, recipe = augment(train, random.Random(0)), replace(recipe, epochs=recipe.epochs // 2)
    learnt = split._replace(train=texts(train), valid=texts(valid))
    best = bits_per_character(model, tokenizer, learnt.valid)["bits_per_character"]
    stages = training_stages(len(model.layer_groups()), recipe.epochs)
    for stage in (s for i, s in enumerate(stages) if i not in skipped):
        lr = suggested_rate(learnt, model, tokenizer, stage.unfrozen) if find else recipe.lr
        best = train_stage(model, tokenizer, learnt, stage, lr, best, recipe, cbs=cbs)
    found = {}
    if newest:
        found["without_newest"] = round(bits_per_character(model, tokenizer, split.test)["bits_per_character"], 4)
        found["newest"] = learn_newest(model, tokenizer, learnt, stages[-1], recipe.lr, recipe)
    found = measures(model.eval(), tokenizer, split.test) | found
    return found | dict(seconds=round(time.perf_counter() - began, 1))


def measures(model, tokenizer, tweets):
    nats = token_nats(model, tokenizer, tweets)[0]
    plain = [t for t in tweets if "@" not in t and "#" not in t]
    drawn = [ids for _, ids, _ in sample_ids(model, (request(tokenizer, i) for i in range(SAMPLES)),
                                             rules=rules_of(tokenizer))]
    bits = lambda texts: round(bits_per_character(model, tokenizer, texts)["bits_per_character"], 4)
    return dict(bits_per_character=bits(tweets),
                text=round(sum(n[:-1].sum().item() for n in nats) / math.log(2) / sum(map(len, tweets)), 4),
                plain=bits(plain), ended=sum(ids[-1] == EOT_ID for ids in drawn) / SAMPLES)


def suggested_rate(split, model, tokenizer, unfrozen):
    "The learning-rate finder's, for the last layer groups."
    learn = make_learner(model, tweet_dataloaders(split, tokenizer), split.valid)
    learn.unfreeze = lambda: learn.freeze_to(-unfrozen)
    return find_rate(learn).rate(scratch=True) # the higher limit


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, default=DATA/"kaggle"/"data_elonmusk.csv")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=list(dict.fromkeys(e[0] for e in EXPERIMENTS)),
                        metavar="EXPERIMENT", help="leave out the others")
    parser.add_argument("--seeds", type=int, default=3,
                        help="how many of the experiments with several seeds (default 3)")
    args = parser.parse_args()
    split = split_by_time(clean_tweets(read_tweets(args.file))[0].text)
    about = dict(command="python bench/what_matters.py", file=args.file.name,
                 tweets={k: len(v) for k, v in split._asdict().items()},
                 python=platform.python_version(), torch=torch.__version__)
    model, tokenizer, _ = start_model(split, recipe=Recipe(drop_mult=HALF))
    result = read_json(args.out) if args.out.exists() else {}
    if result.get("tweets") != about["tweets"]:
        result = about | dict(rows=[], before=measures(model.eval(), tokenizer, split.test),
                              lr=suggested_rate(split, model, tokenizer, len(model.layer_groups())))
    result |= about
    names, known = [e[:2] for e in EXPERIMENTS], {(r["experiment"], r["setting"]) for r in result["rows"]}
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        for done in as_completed(
                pool.submit(run, split, result["lr"], i) for i, name in enumerate(names)
                if name not in known and (not args.only or name[0] in args.only)
                and name[1] not in [f"seed {k}" for k in range(args.seeds, 3)]):
            result["rows"] = sorted(result["rows"] + [done.result()],
                                    key=lambda r: names.index((r["experiment"], r["setting"])))
            write_json(args.out, result)


if __name__ == "__main__":
    main()
