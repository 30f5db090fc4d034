"""The main job on Kaggle's tweets of Elon Musk: quality, minutes, and speed beside fastai's own prediction, as JSON.

    python bench/main_job.py > bench/results/main_job.json

Needs data_elonmusk.csv in the folder kaggle of ULMTWEET_DATA (default ../shared/data). Defaults everywhere; the newest 10 % of the
tweets are the test; bits per character count one character more a tweet for its end. About 12 minutes on two cores.
"""
import json, os, statistics, subprocess, sys, tempfile, time
from pathlib import Path

import torch
from fastai.text.all import (AWD_LSTM, CrossEntropyLossFlat, DataBlock, LMLearner, Numericalize, TextBlock, Tokenizer,
                             awd_lstm_lm_config, get_language_model)

from ulmtweet.generate import Sampling, sample_tweets
from ulmtweet.voice import Voice

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
PROGRAM = Path(sys.executable).with_name("ulmtweet")
PROMPT, SEED = "Tesla will", 1


def run(*args, home):
    "Run a command; its seconds and output."
    start = time.perf_counter()
    done = subprocess.run([str(PROGRAM), *map(str, args), "--home", str(home)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - start, json.loads(done.stdout)


class Pieces:
    "Our tokeniser under the interface of fastai's."
    def __init__(self, tokenizer): self.tokenizer = tokenizer
    def __call__(self, items): return (self.tokenizer.encode(" " + t).tokens for t in items)


def fastai_learner(voice):
    "fastai's language-model learner with the weights of a voice."
    tokenizer, shape = voice.tokenizer.tokenizer, voice.model.shape
    vocab = [tokenizer.id_to_token(i) for i in range(shape["vocab_size"])]
    block = TextBlock(Tokenizer(Pieces(tokenizer), rules=[], sep=""), vocab=vocab, is_lm=True)
    dls = DataBlock(blocks=block).dataloaders(voice.originals[:200], bs=8, seq_len=16)
    assert dls.vocab == vocab and isinstance(dls.train_ds.numericalize, Numericalize)
    config = awd_lstm_lm_config | {k: shape[k] for k in ("emb_sz", "n_hid", "n_layers")}
    model = get_language_model(AWD_LSTM, shape["vocab_size"], config=config)
    ours = voice.model.state_dict()
    theirs = {"0.encoder.weight": ours["emb.weight"], "0.encoder_dp.emb.weight": ours["emb.weight"], "1.decoder.weight": ours["emb.weight"],
              "1.decoder.bias": ours["bias"]}
    for i in range(shape["n_layers"]):
        part = lambda name: ours[f"rnns.{i}.{name}"]
        theirs |= {f"0.rnns.{i}.weight_hh_l0_raw": part("weight_hh_l0"),
                   **{f"0.rnns.{i}.module.{n}": part(n) for n in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0")}}
    model.load_state_dict(theirs)
    return LMLearner(dls, model, loss_func=CrossEntropyLossFlat())


def check_same_weights(learn, voice):
    "Both give the same scores from an empty state, where fastai begins."
    ids = torch.tensor([[0] + voice.tokenizer.encode(PROMPT)])
    empty = [(torch.zeros_like(h), torch.zeros_like(c)) for h, c in voice.model.start_state(1)]
    with torch.no_grad():
        theirs, ours = learn.model.eval()(ids)[0], voice.model.logits(voice.model.read(ids, empty)[1])
    assert torch.allclose(theirs, ours, atol=1e-3)
    learn.model.reset()


def seconds_per_tweet(voice, n, invent):
    "Ours, in batches: seconds for each whole tweet out of `n` samples, and its mean number of sampled tokens."
    start = time.perf_counter()
    tweets = [t for _, t in sample_tweets(voice, ((i, PROMPT) for i in range(n)), Sampling(invent=invent), SEED) if t]
    return (time.perf_counter() - start) / len(tweets), statistics.mean(t.tokens for t in tweets)


def fastai_seconds_per_tweet(learn, tokens, n):
    "fastai's, one tweet after the other."
    start = time.perf_counter()
    for _ in range(n):
        learn.predict(PROMPT, n_words=round(tokens), temperature=Sampling().temperature, no_unk=False, no_bar=True)
    return (time.perf_counter() - start) / n


def main():
    source = DATA/"kaggle"/"data_elonmusk.csv"
    with tempfile.TemporaryDirectory() as home:
        seconds, meta = run("train", source, "--name", "base", "--json", home=home)
        scratch_seconds, scratch = run("train", source, "--name", "scratch", "--base", "none", "--json", home=home)
        cold, tweets = zip(*[run("predict", PROMPT, "-n", 10, "--voice", "base", "--seed", SEED, "--json", home=home) for _ in range(5)])
        voice = Voice.load(Path(home)/"voices"/"base")
        learn = fastai_learner(voice)
        check_same_weights(learn, voice)
        seconds_per_tweet(voice, 64, False)
        pairs, defaults = [], []
        for _ in range(3): # side by side, since the machine's speed changes
            ours, tokens = seconds_per_tweet(voice, 2048, True) # as fastai does, which looks at no words
            pairs.append((ours, fastai_seconds_per_tweet(learn, tokens, 20)))
            defaults.append(seconds_per_tweet(voice, 2048, False)[0])
    bits = lambda m: round(m["metrics"]["test"]["bits_per_character"], 4)
    print(json.dumps(dict(
        data="Kaggle kulgen/elon-musks-tweets, newest 10 % as test", command="python bench/main_job.py", seed=0,
        tweets=meta["counts"], bits_per_character=dict(base=bits(meta), scratch=bits(scratch), before=round(meta["metrics"]["before"]["bits_per_character"], 4)),
        minutes=round(seconds / 60, 2), scratch_minutes=round(scratch_seconds / 60, 2),
        ratio_fastai_predict=round(statistics.median(b / a for a, b in pairs), 1),
        tweets_per_second=round(statistics.median(1 / s for s in defaults), 1), invented_words_too_per_second=round(statistics.median(1 / a for a, _ in pairs), 1), fastai_tweets_per_second=round(statistics.median(1 / b for _, b in pairs), 2),
        cold_predict_seconds=round(statistics.median(cold), 2), versions=meta["versions"],
        prompt=PROMPT, examples=[t["text"] for t in tweets[0]]), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
