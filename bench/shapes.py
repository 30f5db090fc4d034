"""Which shape and vocabulary should a base have on two cores? As JSON.

Each is pretrained for the same minutes, then fine-tuned.

    python bench/shapes.py [MINUTES] > bench/results/shapes.json

Needs the folders wiki and kaggle of ULMTWEET_DATA (default ../shared/data). Every shape reads Wikipedia for MINUTES
(default 4) at the speed that its first steps show, with a tokeniser of its own; then come the Kaggle file and the
sample with the defaults. Bits per character on the newest 10 % of the tweets, and the minutes that fine-tuning took.
About eight minutes a shape.
"""
import json, os, sys, tempfile, time
from pathlib import Path

from ulmtweet.core import ASSETS
from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.sources import read_tweets
from ulmtweet.training.pretrain import Pretraining, Start, pretrain, train_tokenizer
from ulmtweet.training.train import fine_tune

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
CORPUS = [DATA/"wiki"/"wiki-00.xz"]
PEOPLE = dict(kaggle=DATA/"kaggle"/"data_elonmusk.csv", sample=ASSETS/"sample_tweets.csv")
SHAPES = [dict(vocab_size=8000, emb_sz=256, n_hid=640, n_layers=2),
          dict(vocab_size=8000, emb_sz=192, n_hid=448, n_layers=2),
          dict(vocab_size=8000, emb_sz=320, n_hid=1024, n_layers=2),
          dict(vocab_size=12_000, emb_sz=256, n_hid=640, n_layers=2)]


class Enough(Exception):
    "The speed is known."


def tokens_per_second(start, folder):
    "From the first 40 steps."
    seen = []
    def watch(status):
        seen.append(status.get("tokens_per_second"))
        if len(list(filter(None, seen))) == 4:
            raise Enough
    try:
        pretrain(CORPUS, folder, start, progress=watch)
    except Enough:
        return seen[-1]


def measure(shape, minutes, folder):
    start = Start(tokenizer=train_tokenizer(CORPUS, vocab_size=shape["vocab_size"]), **shape)
    rate = tokens_per_second(start, folder/"speed")
    tokens = json.loads((folder/".speed.training"/"corpus.json").read_text(encoding="utf-8"))["counts"]["tokens"]
    base = pretrain(CORPUS, folder/"base", start, Pretraining(epochs=rate * minutes * 60 / tokens, lr=6e-3))
    row = shape | dict(parameters=base.model.n_parameters,
                       megabytes=round((base.folder/"model.safetensors").stat().st_size / 1e6, 1),
                       pretraining_tokens=base.meta["log"][-1]["tokens"],
                       bits_per_character_wikipedia=round(base.meta["metrics"]["valid"]["bits_per_character"], 3))
    for person, path in PEOPLE.items():
        began = time.perf_counter()
        voice = fine_tune(clean_tweets(read_tweets(path))[0].text.tolist(), "bench",
                          base=base.folder, home=folder, overwrite=True)
        row[person] = dict(fine_tuned=round(voice.meta["metrics"]["test"]["bits_per_character"], 3),
                           minutes=round((time.perf_counter() - began) / 60, 2))
    return row


def main(minutes=4.):
    rows = []
    for shape in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(shape, float(minutes), Path(folder)))
        print(rows[-1], file=sys.stderr, flush=True)
    print(json.dumps(dict(rows=rows, command="python bench/shapes.py",
                          pretraining_minutes=float(minutes), seed=0), indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
