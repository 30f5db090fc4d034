"""A base on WikiText-103's validation and test text, beside published figures, as JSON.

    python bench/wikitext.py [BASE] > bench/results/wikitext.json

BASE is en (the default) or the folder of a base. Needs the folders wikitext2 and wiki of ULMTWEET_DATA (default
../shared/data).

The text comes in WikiText's own spelling: words apart, ` @-@ ` inside words, `<unk>` for rare words. The model reads
what GPT-2 was given, too: the text as people write it (`as_written`), with `<unk>` left standing as five characters
that have to be predicted like all others. Bits per character are those of that text. Perplexity is per word as the
AWD-LSTM paper counts words: the sum of all surprise, divided by the number of words in the original text, `<unk>` and
one end per line included.
"""
import json, lzma, math, os, re, sys
from pathlib import Path

import torch
import torch.nn.functional as F

from ulmtweet.models.bases import load_base
from ulmtweet.models.tokens import EOT_ID
from ulmtweet.training.pretrain import corpus_files

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
# the text is read in so many parts side by side, so many tokens at a time, with the state carried on
ROWS, CHUNK = 32, 128
WORDS = dict(valid=217_646, test=245_569) # in the data, ends included (Merity et al. 2016, table 1)
PUBLISHED = { # word-level perplexity on the test text
    "LSTM, trained on WikiText-103 (Grave et al. 2017)": 48.7,
    "QRNN, trained on WikiText-103 (Merity et al. 2018)": 33.0,
    "GPT-2, 117M weights, trained on 40 GB of web pages (Radford et al. 2019)": 37.5,
    "Transformer-XL, 257M weights, trained on WikiText-103 (Dai et al. 2019)": 18.3}


def as_written(line):
    "WikiText's spelling undone."
    line = re.sub(r" @([-,.])@ ", r"\1", line.strip())
    line = re.sub(r' " ([^"]*?) " ', r' "\1" ', f" {line} ").strip()
    line = re.sub(r" ([.,:;?!)\]%]|'s|'t|n't|'re|'ve|'ll|'d|'m)(?= |$)", r"\1", line)
    return re.sub(r"([(\[$£]) ", r"\1", line).replace(" n't", "n't").replace(" '", "'")


def read(part):
    return lzma.open(DATA/"wikitext2"/f"{part}.txt.xz", "rt", encoding="utf-8").read().splitlines()


@torch.no_grad()
def nats(base, ids):
    "The surprise of a stream of ids, read in `ROWS` parts."
    length = math.ceil((len(ids) - 1) / ROWS)
    at = torch.arange(ROWS)[:, None] * length + torch.arange(length + 1)
    stream = torch.tensor(ids)[at.clamp(max=len(ids) - 1)]
    stream[:, 1:][at[:, 1:] >= len(ids)] = -100
    total, state = 0., None
    for i in range(0, length, CHUNK):
        x, y = stream[:, i:i + CHUNK], stream[:, i + 1:i + CHUNK + 1]
        x = x[:, :y.shape[1]].clamp(min=0)
        _, out, state = base.model.read(x, state)
        total += F.cross_entropy(base.model.logits(out).flatten(0, 1), y.flatten(),
                                 ignore_index=-100, reduction="sum").item()
    return total


def measure(base, part):
    lines = read(part)
    words = sum(len(line.split()) + 1 for line in lines)
    texts = [as_written(line) for line in lines if line.strip()]
    ids = [EOT_ID] + [i for text in texts for i in (*base.tokenizer.encode(text), EOT_ID)]
    surprise = nats(base, ids)
    return dict(words=words, words_published=WORDS[part], tokens=len(ids) - 1,
                characters=sum(len(t) + 1 for t in texts),
                bits_per_character=round(surprise / math.log(2) / sum(len(t) + 1 for t in texts), 4),
                perplexity_per_word=round(math.exp(surprise / words), 1))


def seen_articles(part):
    "Titles of the text that are also titles of the base's Wikipedia."
    titles = {line.strip(" =").lower() for line in read(part) if re.fullmatch(r" = [^=]+ = ?", line)}
    ours = {line.strip(" =\n").lower() for path in corpus_files([DATA/"wiki"])
            for line in lzma.open(path, "rt", encoding="utf-8") if line.startswith("= ")}
    clean = lambda t: re.sub(r" @(.)@ ", r"\1", t).replace(" ", "")
    return dict(articles=len(titles), also_in_corpus=len({clean(t) for t in titles} & {clean(t) for t in ours}))


def main(name="en"):
    base = load_base(name)
    print(json.dumps(dict(base=base.name, parameters=base.model.n_parameters,
                          command=f"python bench/wikitext.py {Path(name).name}",
                          **{part: measure(base, part) | seen_articles(part) for part in WORDS},
                          published_test_perplexity=PUBLISHED), indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
