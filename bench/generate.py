"""How fast are tweets generated? Beside fastai, a GPT-2 of the small shape and markovify, as JSON.

    make bench
    python bench/generate.py > bench/results/generate.json
    python bench/generate.py --float32 > bench/results/generate_float32.json

Needs data_elonmusk.csv in the folder kaggle of ULMTWEET_DATA (default ../shared/data). A voice is trained with the
defaults. Peers run in turn with ours, and ratios are medians of three rounds. `gemm_fraction` is 2 operations for
each weight of a product, against the best of ten 2048 x 2048 products of PyTorch in 32 bits; ours multiplies in
bfloat16 where the processor is faster so, and then the share of that peak stands beside. With --float32 nothing is in
bfloat16 and PyTorch's own kernels are held to AVX2, peers included, as on processors that have no more; only the
rounds are run. Each rate is taken over about ten seconds. About six minutes on two cores with bfloat16, four with
--float32.
"""
import json, os, statistics, subprocess, sys, tempfile, time
from pathlib import Path

FLOAT32 = "--float32" in sys.argv
if FLOAT32: os.environ["ATEN_CPU_CAPABILITY"] = "avx2" # read when torch is imported

import torch
from fastai.text.all import (AWD_LSTM, CrossEntropyLossFlat, DataBlock, LMLearner, Numericalize, TextBlock, Tokenizer,
                             awd_lstm_lm_config, get_language_model)

from engine import processor
from ulmtweet.generation import engine
from ulmtweet.generation.engine import Request, Sampling, rules_of, sample_ids
from ulmtweet.generation.generate import sample_tweets
from ulmtweet.models.voice import Voice
from ulmtweet.training.pretrain import matmul_peak

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
PROGRAM = Path(sys.executable).with_name("ulmtweet")
PROMPT, SEED, BATCH, SECONDS, BEGUN = "Tesla will", 1, 128, 10, time.perf_counter()


def say(what):
    "Tell who waits what it is at."
    print(f"{time.perf_counter() - BEGUN:5.0f} s  {what}", file=sys.stderr, flush=True)


class Pieces:
    "Our tokeniser under the interface of fastai's."
    def __init__(self, tokenizer): self.tokenizer = tokenizer
    def __call__(self, items): return (self.tokenizer.encode(" " + t).tokens for t in items)


def fastai_config(shape):
    "The settings of fastai's AWD-LSTM with a shape of ours."
    return awd_lstm_lm_config | {k: shape[k] for k in ("emb_sz", "n_hid", "n_layers")}


def fastai_weights(model):
    "Our weights under fastai's names."
    ours = model.state_dict()
    theirs = {"0.encoder.weight": ours["emb.weight"], "0.encoder_dp.emb.weight": ours["emb.weight"],
              "1.decoder.weight": ours["emb.weight"], "1.decoder.bias": ours["bias"]}
    for i in range(model.shape["n_layers"]):
        part = lambda name: ours[f"rnns.{i}.{name}"]
        theirs |= {f"0.rnns.{i}.weight_hh_l0_raw": part("weight_hh_l0"),
                   **{f"0.rnns.{i}.module.{n}": part(n) for n in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0")}}
    return theirs


def fastai_learner(voice):
    "fastai's language-model learner with the weights of a voice."
    tokenizer, shape = voice.tokenizer.tokenizer, voice.model.shape
    vocab = [tokenizer.id_to_token(i) for i in range(shape["vocab_size"])]
    block = TextBlock(Tokenizer(Pieces(tokenizer), rules=[], sep=""), vocab=vocab, is_lm=True)
    dls = DataBlock(blocks=block).dataloaders(voice.originals[:200], bs=8, seq_len=16)
    assert dls.vocab == vocab and isinstance(dls.train_ds.numericalize, Numericalize)
    model = get_language_model(AWD_LSTM, shape["vocab_size"], config=fastai_config(shape))
    model.load_state_dict(fastai_weights(voice.model))
    return LMLearner(dls, model, loss_func=CrossEntropyLossFlat())


def check_same_weights(learn, voice):
    "Both give the same scores from an empty state, where fastai begins."
    ids = torch.tensor([[0] + voice.tokenizer.encode(PROMPT)])
    empty = [(torch.zeros_like(h), torch.zeros_like(c)) for h, c in voice.model.start_state(1)]
    with torch.no_grad():
        theirs, ours = learn.model.eval()(ids)[0], voice.model.logits(voice.model.read(ids, empty)[1])
    assert torch.allclose(theirs, ours, atol=1e-3)
    learn.model.reset()


def fastai_seconds_per_tweet(learn, tokens, n):
    "fastai's, one tweet after the other."
    start = time.perf_counter()
    for _ in range(n):
        learn.predict(PROMPT, n_words=round(tokens), temperature=Sampling().temperature, no_unk=False, no_bar=True)
    return (time.perf_counter() - start) / n


def engine_rate(voice, n, bs=512):
    "Sampled tokens a second, from ids to ids, tokens a tweet, and operations a second; the defaults."
    rules, ids = rules_of(voice.tokenizer), voice.tokenizer.encode(PROMPT)
    start, tokens = time.perf_counter(), 0
    for _, sampled, _ in sample_ids(voice.model, (Request(i, ids) for i in range(n)), Sampling(), SEED, bs, rules):
        tokens += len(sampled)
    seconds = time.perf_counter() - start
    scores, cells = voice.model.emb.weight.numel(), sum(
        w.numel() for rnn in voice.model.rnns for w in rnn.parameters() if w.dim() == 2)
    return tokens / seconds, tokens / n, 2 * (cells * (tokens + n * len(ids)) + scores * tokens) / seconds


def tweet_rate(voice, sampling, n, bs=512):
    "Whole tweets a second, text and all checks included."
    start = time.perf_counter()
    kept = sum(t is not None for _, t in sample_tweets(voice, ((i, PROMPT) for i in range(n)), sampling, SEED, bs))
    return kept / (time.perf_counter() - start)


def gpt2_rate(gpt2, tokens):
    "Tweets a second of Hugging Face's generate, which samples as ours does."
    ids = torch.full((BATCH, 2), 100)
    start = time.perf_counter()
    with torch.no_grad():
        gpt2.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0,
                      max_new_tokens=tokens, min_new_tokens=tokens, pad_token_id=0)
    return BATCH / (time.perf_counter() - start)


def markovify_rate(voice, n=2000):
    "Tweets a second of a Markov chain over words."
    import markovify
    model = markovify.NewlineText("\n".join(voice.originals), state_size=2)
    start = time.perf_counter()
    made = [model.make_sentence() for _ in range(n)]
    return sum(t is not None for t in made) / (time.perf_counter() - start)


TIMER = """import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
sys.exit(code)""" # in a small process, since a child begins with its parent's memory


def timed(*command, env=()):
    "Seconds of a command, and the largest memory it had, in MB."
    done = subprocess.run([sys.executable, "-c", TIMER, *map(str, command)], capture_output=True, text=True,
                          env={**os.environ, **dict(env)})
    if done.returncode: sys.exit(done.stderr)
    return tuple(map(float, done.stdout.split()))


def fastai_cold(folder):
    "What a fastai user runs: open the learner, predict ten tweets."
    learn = fastai_learner(Voice.load(folder))
    for _ in range(10):
        learn.predict(PROMPT, n_words=25, temperature=1., no_unk=False, no_bar=True)


def one_round(voice, learn, gpt2, n):
    "Ours and the peers side by side, since a machine's speed changes."
    rate, tokens, operations = engine_rate(voice, n)
    peak = {dtype: matmul_peak("cpu", dtype=dtype) for dtype in (torch.float32, engine.fast_dtype())}
    as_peers = Sampling(invent=True, max_copied=1.) # they look at no words
    raw = tweet_rate(voice, as_peers, n)
    found = dict(gemm=operations / peak[torch.float32], gemm_own=operations / peak[engine.fast_dtype()],
                 gigaflops=operations / 1e9, tokens=rate, raw=raw, defaults=tweet_rate(voice, Sampling(), n))
    say("fastai's predict")
    found["fastai"] = raw * fastai_seconds_per_tweet(learn, tokens, 5)
    say("GPT-2 small by Hugging Face's generate")
    found["gpt2"] = tweet_rate(voice, as_peers, n // 2, BATCH) / gpt2_rate(gpt2, round(tokens))
    found["markovify"] = raw / markovify_rate(voice)
    say({k: round(v, 3) for k, v in found.items()})
    return found


def commands(folder, home, env):
    "What a user waits for: predictions from a cold start, and many tweets."
    say("predictions from a cold start")
    ours, imports, fastai = zip(*((timed(PROGRAM, "predict", PROMPT, "-n", 10, "--seed", SEED, env=env)[0],
                                   timed(sys.executable, "-c", "import torch")[0],
                                   timed(sys.executable, __file__, "--fastai-cold", folder)[0]) for _ in range(3)))
    say("1,000 and 100,000 tweets by the command")
    few, many = (timed(PROGRAM, "generate", "-n", n, "--out", Path(home)/f"{n}.jsonl", env=env)
                 for n in (1_000, 100_000))
    return dict(cold_predict_seconds=round(statistics.median(ours), 2),
                cold_import_torch_seconds=round(statistics.median(imports), 2),
                ratio_cold_start=round(statistics.median(b / a for a, b in zip(ours, fastai)), 2),
                memory_ratio=round(many[1] / few[1], 3),
                megabytes=dict(n1000=round(few[1]), n100000=round(many[1])), seconds_100k=round(many[0], 1))


def main():
    from transformers import GPT2Config, GPT2LMHeadModel
    if FLOAT32: engine.fast_dtype = lambda device="cpu": torch.float32
    with tempfile.TemporaryDirectory() as home:
        env, folder = dict(ULMTWEET_HOME=home), Path(home)/"voices"/"bench"
        say("training a voice on Kaggle's tweets")
        timed(PROGRAM, "train", DATA/"kaggle"/"data_elonmusk.csv", "--name", "bench", env=env)
        voice = Voice.load(folder)
        learn, gpt2 = fastai_learner(voice), GPT2LMHeadModel(GPT2Config()).eval()
        check_same_weights(learn, voice)
        engine_rate(voice, 512)
        rate, tokens, _ = engine_rate(voice, 1024)
        n = 512 * max(round(SECONDS * rate / tokens / 512), 4)
        rounds = [one_round(voice, learn, gpt2, n) for _ in range(3)]
        asked = {} if FLOAT32 else commands(folder, home, env)
    middle = lambda key: statistics.median(r[key] for r in rounds)
    print(json.dumps(dict(
        command="python bench/generate.py" + FLOAT32 * " --float32", processor=processor(),
        format=str(engine.fast_dtype()).removeprefix("torch."), data="Kaggle kulgen/elon-musks-tweets",
        sampling=vars(Sampling()) | dict(avoid=[]), batch=512, batch_gpt2=BATCH,
        tweets_per_second=round(middle("defaults")), tweets_per_second_as_peers=round(middle("raw")),
        tokens_per_second=round(middle("tokens")), ratio_fastai_predict=round(middle("fastai"), 1),
        ratio_gpt2_generate=round(middle("gpt2"), 1), ratio_markovify=round(middle("markovify"), 3),
        gemm_fraction=round(middle("gemm"), 3), gemm_fraction_of_own_format=round(middle("gemm_own"), 3),
        gigaflops=round(middle("gigaflops")), **asked, parameters=voice.model.n_parameters,
        versions=dict(torch=torch.__version__)), indent=1))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fastai-cold"]: fastai_cold(Path(sys.argv[2]))
    else: main()
