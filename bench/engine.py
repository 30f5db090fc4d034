"""What was tried to make a step of the sampling engine fast, for 512 rows of the embedded base, as JSON.

    pip install -c constraints.txt -e '.[bench]'
    python bench/engine.py > bench/results/engine.json

`network` is one LSTM step and the scores of all tokens, in each way that was tried; `choice` is picking a token from these scores. Milliseconds,
the best of 30, in one run; `worst` is how far the scores are from those in 32 bits. About two minutes on two cores.
"""
import json, tempfile, time
from pathlib import Path

import torch
from torch import nn

from ulmtweet.bases import load_base
from ulmtweet.engine import Sampling, TRIES, fast_products, pick, probabilities
from ulmtweet.pretrain import matmul_peak

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
    pack = lambda w, b: torch.ops.quantized.linear_prepack(torch.quantize_per_channel(w, w.abs().amax(1) / 127, torch.zeros(len(w), dtype=torch.long), 0, torch.qint8), b)
    cells = [(pack(r.weight_ih_l0, r.bias_ih_l0), pack(r.weight_hh_l0, r.bias_hh_l0)) for r in model.rnns]
    out = pack(model.emb.weight, model.bias)
    def step(tokens, state):
        x = model.emb.weight[tokens]
        for (ih, hh), (h, c) in zip(cells, state):
            i, f, g, o = (torch.ops.quantized.linear_dynamic(x, ih) + torch.ops.quantized.linear_dynamic(h, hh)).chunk(4, 1)
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


@torch.no_grad()
def main():
    torch.manual_seed(0)
    model = load_base("en").model.requires_grad_(False)
    tokens = torch.randint(1, len(model.bias), (ROWS,))
    state = [(h[0].contiguous(), c[0].contiguous()) for h, c in model.start_state(ROWS)]
    for _ in range(3): _, state = model.step(tokens, state)
    whole = lambda into=None: model.logits(model.step(tokens, state)[0], into)
    exact, network = whole(), {}
    def tried(name, f, scores=None):
        try: network[name] = dict(ms=milliseconds(f), worst=round(float((torch.as_tensor((scores or f)()).float() - exact).abs().max()), 4))
        except Exception as e: network[name] = dict(failed=f"{type(e).__name__}: {str(e).splitlines()[0][:120]}")
    tried("32 bits", whole)
    into = torch.empty_like(exact)
    tried("32 bits, scores into the same memory", lambda: whole(into))
    with fast_products():
        tried("factors in bfloat16", whole)
        tried("factors in bfloat16, scores into the same memory (kept)", lambda: whole(into))
        tried("the same, 64 rows of scores at a time", lambda: torch.cat([model.logits(o) for o in model.step(tokens, state)[0].split(64)]))
        known = torch.arange(4000)
        part, bias = model.emb.weight[known].contiguous(), model.bias[known].contiguous()
        network["the same, only 4,000 tokens"] = dict(ms=milliseconds(lambda: torch.nn.functional.linear(model.step(tokens, state)[0], part, bias)), worst=None)
    half = load_base("en").model.to(torch.bfloat16)
    low = [(h.bfloat16(), c.bfloat16()) for h, c in state]
    tried("everything in bfloat16", lambda: half.logits(half.step(tokens, low)[0]))
    tried("8 bits", lambda s=int8_step(model): s(tokens, state))
    flat = [t for pair in state for t in pair]
    module = Network(model).eval()
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
    choice = {"softmax and torch.multinomial": lambda: torch.multinomial(exact.softmax(-1), 1), "softmax in place, two searches (kept)": lambda: pick(probabilities(into.copy_(exact), Sampling()), uniform, Sampling()),
              "top-p .95 by sorting": by_sorting, "top-p .95 by asking after the pick (kept)": lambda: pick(p, uniform, limited)}
    print(json.dumps(dict(command="python bench/engine.py", rows=ROWS, peak_32_bits_ms=round(1e3 * 2 * ROWS * sum(w.numel() for n, w in model.named_parameters() if "bias" not in n) / matmul_peak("cpu", dtype=torch.float32), 2),
                          network=network, choice={k: dict(ms=milliseconds(f)) for k, f in choice.items()}, versions=dict(torch=torch.__version__)), indent=1))


if __name__ == "__main__":
    main()
