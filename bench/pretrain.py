"""Speed of a pretraining step beside stock fastai and the machine's matrix-multiply peak, as JSON.

    python bench/pretrain.py > bench/results/pretrain.json

The embedded base's shape, batches of 64 x 64 random tokens, all regularisation; medians of steps taken in turns, since the machine's speed
changes. Operations are counted as 6 x weights x tokens. About two minutes.
"""
import json, statistics, time
from unittest import mock

import numpy as np
import torch
from fastai.text.all import (AWD_LSTM, Adam, CrossEntropyLossFlat, DataLoaders, LMLearner, RNNRegularizer, awd_lstm_lm_config, get_language_model)

from ulmtweet import pretrain, voice
from ulmtweet.bases import load_base
from ulmtweet.pretrain import Corpus, Pretraining, Run, matmul_peak

ROUNDS, STEPS = 5, 3


def our_step(recipe):
    en = load_base("en")
    tokens = np.random.default_rng(0).integers(1, len(en.tokenizer), 1_000_000, dtype=np.uint16)
    run = Run(voice.AWDLSTM(**en.model.shape, drop_mult=recipe.drop_mult), en.tokenizer, Corpus(tokens, [], {}), recipe)
    run.train_step()
    return run.train_step


def fastai_step(recipe):
    shape = load_base("en").model.shape
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
        loss = loss + regularise.alpha * dropped[-1].pow(2).mean() + regularise.beta * (raw[-1][:, 1:] - raw[-1][:, :-1]).pow(2).mean()
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


def main():
    recipe = Pretraining()
    exact = mock.patch.multiple("ulmtweet.voice", fast_dtype=lambda device="cpu": torch.float32), mock.patch.object(pretrain, "fast_dtype", lambda device="cpu": torch.float32)
    with exact[0], exact[1]:
        ours_32 = our_step(recipe)
    ours, stock, taken = our_step(recipe), fastai_step(recipe), []
    for _ in range(ROUNDS):
        row = dict(fast=seconds(ours), stock=seconds(stock), peak=matmul_peak())
        with exact[0], exact[1]:
            row |= dict(exact=seconds(ours_32), exact_peak=matmul_peak())
        taken.append(row)
    work = 6 * load_base("en").model.n_parameters * recipe.bs * recipe.seq_len
    median = lambda f: round(statistics.median(map(f, taken)), 3)
    print(json.dumps(dict(
        command="python bench/pretrain.py", parameters=load_base("en").model.n_parameters, fast_dtype=str(voice.fast_dtype()), threads=torch.get_num_threads(),
        tokens_per_second=median(lambda r: recipe.bs * recipe.seq_len / r["fast"]), share_of_peak=median(lambda r: work / r["fast"] / r["peak"]),
        share_of_peak_in_32_bits=median(lambda r: work / r["exact"] / r["exact_peak"]), share_of_32_bit_peak=median(lambda r: work / r["fast"] / r["exact_peak"]),
        ratio_fastai=median(lambda r: r["stock"] / r["fast"]), ratio_fastai_in_32_bits=median(lambda r: r["stock"] / r["exact"])), indent=1))


if __name__ == "__main__":
    main()
