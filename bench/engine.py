"""What was tried to make a step of the sampling engine fast, and where its time goes, as JSON.

The step is that of 512 rows of the embedded base.

    make bench
    python bench/engine.py > bench/results/engine.json

`network` is one LSTM step and the scores of all tokens, in each way that was tried; `choice` is picking a token from
these scores. Milliseconds, the best of 30, in one run; `worst` is how far the scores are from those in 32 bits.
`step` is a whole step of the engine that writes for Juno, the median of 100, in its parts; with 32 bits PyTorch's own
kernels are held to AVX2, as on processors that have no more. About two minutes on two cores.
"""
import json, os, statistics, subprocess, sys, tempfile, time
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import torch
from torch import nn

from ulmtweet.core import ASSETS
from ulmtweet.data.sources import read_tweets
from ulmtweet.generation.engine import Sampling, Seats, Steps, TRIES, pick, probabilities
from ulmtweet.generation.generate import request, writing_rules
from ulmtweet.models.bases import load_base
from ulmtweet.training.pretrain import matmul_peak

ROWS = 512


def milliseconds(f, n=30):
    "The best time of a call."
    f(); f()
    times = []
    for _ in range(n):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return round(1e3 * min(times), 2)


class Network(nn.Module):
    "A step of the model, for tools that want a module of tensors."
    def __init__(self, model):
        super().__init__()
        self.emb, self.bias, self.cells = model.emb, model.bias, nn.ModuleList()
        for rnn in model.rnns:
            cell = nn.LSTMCell(rnn.input_size, rnn.hidden_size)
            cell.load_state_dict({k.removesuffix("_l0"): v for k, v in rnn.state_dict().items()})
            self.cells.append(cell)

    def forward(self, tokens, *state):
        x, after = self.emb(tokens), []
        for i, cell in enumerate(self.cells):
            x, c = cell(x, (state[2 * i], state[2 * i + 1]))
            after += [x, c]
        return (torch.nn.functional.linear(x, self.emb.weight, self.bias), *after)


def int8_step(model):
    "The products in 8 bits: weights once, activations each time."
    pack = lambda w, b: torch.ops.quantized.linear_prepack(
        torch.quantize_per_channel(w, w.abs().amax(1) / 127, torch.zeros(len(w), dtype=torch.long), 0, torch.qint8), b)
    cells = [(pack(r.weight_ih_l0, r.bias_ih_l0), pack(r.weight_hh_l0, r.bias_hh_l0)) for r in model.rnns]
    out = pack(model.emb.weight, model.bias)
    def step(tokens, state):
        x = model.emb.weight[tokens]
        for (ih, hh), (h, c) in zip(cells, state):
            i, f, g, o = (torch.ops.quantized.linear_dynamic(x, ih)
                          + torch.ops.quantized.linear_dynamic(h, hh)).chunk(4, 1)
            x = o.sigmoid() * (f.sigmoid() * c + i.sigmoid() * g.tanh()).tanh()
        return torch.ops.quantized.linear_dynamic(x, out)
    return step


def onnx_step(network, tokens, flat):
    "The same network in ONNX Runtime."
    import onnxruntime
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/"step.onnx"
        torch.onnx.export(network, (tokens, *flat), path, dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(str(path))
    names = [i.name for i in session.get_inputs()]
    feed = dict(zip(names, [tokens.numpy(), *(s.numpy() for s in flat)]))
    return lambda: session.run(None, feed)


def processor():
    "The name that Linux gives it."
    names = [line.split(":")[1].strip()
             for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{names[0]}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


@torch.no_grad()
def parts_of_a_step(dtype):
    "Milliseconds of a whole step of the engine, and of its parts, by name."
    en = load_base("en")
    voice = replace(en, originals=tuple(read_tweets(ASSETS/"sample_tweets.csv").text))
    steps = Steps(en.model, dtype)
    requests, rules, whole = (request(voice.tokenizer, i) for i in count()), writing_rules(voice, Sampling()), []
    seats = Seats(steps, list(islice(requests, ROWS)), Sampling(), 0, rules)
    for _ in range(300): # the first 200 fill the caches of the spelling
        begin = time.perf_counter()
        ended = seats.step()
        if ended: seats.sit(ended, list(islice(requests, len(ended))))
        whole.append(time.perf_counter() - begin)
    out, scores, uniform = seats.state[-1][0], seats.scores, torch.rand(ROWS, TRIES, dtype=torch.float64)
    read = [torch.cat([torch.zeros(ROWS, w.shape[1] - h.shape[1], dtype=dtype), h], 1)
            for (w, _), (h, _) in zip(steps.cells, seats.state)]
    into = torch.empty_like(scores) if dtype == torch.float32 else None
    parts = {"products of the cells": lambda: [x @ w.t() for x, (w, _) in zip(read, steps.cells)],
             "whole cells": lambda: steps.step(seats.ids[:, 0], seats.state),
             "products of the scores": lambda: torch.mm(out, steps.emb.t(), out=into),
             "scores": lambda: steps.logits(out, scores), "softmax": lambda: probabilities(scores, Sampling()),
             "picking": lambda: pick(scores, uniform, Sampling())}
    ms = {name: milliseconds(f) for name, f in parts.items()}
    ms["the rest of the cells"], ms["biases"] = (
        ms["whole cells"] - ms["products of the cells"], ms.pop("scores") - ms["products of the scores"])
    ms["whole step"] = 1e3 * statistics.median(whole[200:])
    ms["spelling, new tweets, bookkeeping"] = ms["whole step"] - sum(
        ms[k] for k in ("whole cells", "products of the scores", "biases", "softmax", "picking"))
    del ms["whole cells"]
    multiplied = 2 * ROWS * (steps.emb.numel() + sum(w.numel() for w, _ in steps.cells))
    peak = matmul_peak("cpu", dtype=torch.float32)
    return dict(processor=processor(), ms={k: round(v, 2) for k, v in ms.items()},
                peak_32_bits_ms=round(1e3 * multiplied / peak, 2),
                gemm_fraction=round(multiplied / peak / ms["whole step"] * 1e3, 3))


@torch.no_grad()
def main():
    torch.manual_seed(0)
    model = load_base("en").model.requires_grad_(False)
    tokens = torch.randint(1, len(model.bias), (ROWS,))
    state = [(h[0].contiguous(), c[0].contiguous()) for h, c in model.start_state(ROWS)]
    exactly, rounding = Steps(model, torch.float32), Steps(model, torch.bfloat16)
    for _ in range(3): _, state = exactly.step(tokens, state)
    module, flat = Network(model).eval(), [t for pair in state for t in pair]
    exact, network = module(tokens, *flat)[0], {}
    into = torch.empty_like(exact)
    scores_of = lambda steps, into=None: steps.logits(steps.step(tokens, state)[0], into)
    def tried(name, f, scores=None):
        print(name, file=sys.stderr, flush=True)
        try:
            network[name] = dict(ms=milliseconds(f),
                                 worst=round(float((torch.as_tensor((scores or f)()).float() - exact).abs().max()), 4))
        except Exception as e:
            network[name] = dict(failed=f"{type(e).__name__}: {str(e).splitlines()[0][:120]}")
    tried("32 bits, torch's LSTM cell", lambda: module(tokens, *flat)[0])
    tried("32 bits, one product a layer", lambda: scores_of(exactly))
    tried("the same, scores into the same memory (kept)", lambda: scores_of(exactly, into))
    torch.set_float32_matmul_precision("medium")
    tried("the same, PyTorch free to round the factors", lambda: scores_of(exactly, into))
    torch.set_float32_matmul_precision("highest")
    tried("weights in bfloat16 (kept)", lambda: scores_of(rounding, into))
    tried("the same, 64 rows of scores at a time",
          lambda: torch.cat([rounding.logits(o) for o in rounding.step(tokens, state)[0].split(64)]))
    known = torch.arange(4000)
    fewer = Steps(model, torch.bfloat16)
    fewer.emb, fewer.bias = fewer.emb[known].contiguous(), fewer.bias[known]
    network["the same, only 4,000 tokens"] = dict(
        ms=milliseconds(lambda: fewer.logits(rounding.step(tokens, state)[0])), worst=None)
    half = Network(load_base("en").model).eval().to(torch.bfloat16)
    tried("everything in bfloat16", lambda: half(tokens, *(t.bfloat16() for t in flat))[0])
    tried("8 bits", lambda s=int8_step(model): s(tokens, state))
    compiled = torch.compile(module)
    tried("torch.compile", lambda: compiled(tokens, *flat)[0])
    def onnx():
        step = onnx_step(module, tokens, flat)
        tried("ONNX Runtime", step, lambda: step()[0])
    try: onnx()
    except Exception as e: network["ONNX Runtime"] = dict(failed=f"{type(e).__name__}: {str(e).splitlines()[0][:120]}")
    uniform, p = torch.rand(ROWS, TRIES, dtype=torch.float64), exact.softmax(-1)
    limited = Sampling(top_p=0.95)
    def by_sorting():
        best, ids = p.sort(-1, descending=True)
        best = torch.where(best.cumsum(-1) - best < 0.95, best, 0)
        return ids.gather(-1, torch.multinomial(best, 1))
    choice = {"softmax and torch.multinomial": lambda: torch.multinomial(exact.softmax(-1), 1),
              "softmax in place, two searches (kept)":
                  lambda: pick(probabilities(into.copy_(exact), Sampling()), uniform, Sampling()),
              "top-p .95 by sorting": by_sorting,
              "top-p .95 by asking after the pick (kept)": lambda: pick(p, uniform, limited)}
    step = {name: json.loads(subprocess.run([sys.executable, __file__, "--step", name], env=os.environ | env,
                                            check=True, capture_output=True, text=True).stdout)
            for name, env in (("float32", dict(ATEN_CPU_CAPABILITY="avx2")), ("bfloat16", {}))}
    print(json.dumps(dict(
        command="python bench/engine.py", rows=ROWS, processor=processor(),
        peak_32_bits_ms=step["bfloat16"]["peak_32_bits_ms"], network=network,
        choice={k: dict(ms=milliseconds(f)) for k, f in choice.items()}, step=step,
        versions=dict(torch=torch.__version__)), indent=1))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]: print(json.dumps(parts_of_a_step(getattr(torch, sys.argv[2]))))
    else: main()
