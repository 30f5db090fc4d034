"""Speed of a pretraining step beside stock fastai and the machine's matrix-multiply peak, as JSON.

    python bench/pretrain.py > bench/results/pretrain.json

Two shapes, the embedded base's and the AWD-LSTM paper's; batches of 64 x 64 random tokens, all regularisation;
medians of steps taken in turns, since the machine's speed changes. Operations are counted as 6 x weights x tokens.
About two minutes.
"""
import json, statistics, time
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
from fastai.text.all import (AWD_LSTM, Adam, CrossEntropyLossFlat, DataLoaders, LMLearner, RNNRegularizer,
                             awd_lstm_lm_config, get_language_model)

from ulmtweet.models import awdlstm
from ulmtweet.models.bases import load_base
from ulmtweet.training import pretrain
from ulmtweet.training.pretrain import Corpus, Pretraining, Run, matmul_peak

ROUNDS, STEPS = 5, 2
EN = load_base("en")
SHAPES = dict(en=EN.model.shape, paper=EN.model.shape | dict(emb_sz=400, n_hid=1152, n_layers=3)) # Merity et al. 2017


def our_step(shape, recipe):
    tokens = np.random.default_rng(0).integers(1, len(EN.tokenizer), 1_000_000, dtype=np.uint16)
    run = Run(awdlstm.AWDLSTM(**shape, drop_mult=recipe.drop_mult), EN.tokenizer, Corpus(tokens, [], {}), recipe)
    run.train_step()
    return run.train_step


def fastai_step(shape, recipe):
    config = awd_lstm_lm_config | {k: shape[k] for k in ("emb_sz", "n_hid", "n_layers")}
    model = get_language_model(AWD_LSTM, shape["vocab_size"], config=config, drop_mult=recipe.drop_mult)
    x = torch.randint(1, shape["vocab_size"], (recipe.bs, recipe.seq_len + 1))
    batch = [(x[:, :-1], x[:, 1:])]
    learn = LMLearner(DataLoaders(batch, batch), model, loss_func=CrossEntropyLossFlat(), opt_func=Adam)
    learn.create_opt()
    regularise = next(cb for cb in learn.cbs if isinstance(cb, RNNRegularizer))
    def step():
        model.train()
        scores, raw, dropped = model(batch[0][0])
        loss = learn.loss_func(scores, batch[0][1])
        loss = (loss + regularise.alpha * dropped[-1].pow(2).mean()
                + regularise.beta * (raw[-1][:, 1:] - raw[-1][:, :-1]).pow(2).mean())
        loss.backward()
        learn.opt.step()
        learn.opt.zero_grad()
    step()
    return step


def seconds(step):
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - start) / STEPS


@contextmanager
def in_32_bits():
    exact = lambda device="cpu": torch.float32
    with mock.patch.object(awdlstm, "fast_dtype", exact), mock.patch.object(pretrain, "fast_dtype", exact):
        yield


def measure(name, shape):
    recipe, taken = Pretraining(), []
    with in_32_bits():
        ours_32 = our_step(shape, recipe)
    ours, stock = our_step(shape, recipe), fastai_step(shape, recipe)
    for _ in range(ROUNDS):
        row = dict(fast=seconds(ours), stock=seconds(stock), peak=matmul_peak())
        with in_32_bits():
            row |= dict(exact=seconds(ours_32), exact_peak=matmul_peak())
        taken.append(row)
    parameters = awdlstm.AWDLSTM(**shape).n_parameters
    work = 6 * parameters * recipe.bs * recipe.seq_len
    median = lambda f: round(statistics.median(map(f, taken)), 3)
    return dict(
        shape=name, parameters=parameters, tokens_per_second=median(lambda r: recipe.bs * recipe.seq_len / r["fast"]),
        share_of_peak=median(lambda r: work / r["fast"] / r["peak"]),
        share_of_peak_in_32_bits=median(lambda r: work / r["exact"] / r["exact_peak"]),
        share_of_32_bit_peak=median(lambda r: work / r["fast"] / r["exact_peak"]),
        ratio_fastai=median(lambda r: r["stock"] / r["fast"]),
        ratio_fastai_in_32_bits=median(lambda r: r["stock"] / r["exact"]))


def main():
    rows = [measure(*item) for item in SHAPES.items()]
    print(json.dumps(dict(command="python bench/pretrain.py", fast_dtype=str(awdlstm.fast_dtype()),
                          threads=torch.get_num_threads(), rows=rows), indent=1))


if __name__ == "__main__":
    main()
