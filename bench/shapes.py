"""Which shape and vocabulary should a base have on two cores? As JSON.

Each is pretrained for the same minutes, then fine-tuned.

    python bench/shapes.py [MINUTES] > bench/results/shapes.json

Needs the folders tweets, wiki, kaggle and people of ULMTWEET_DATA (default ../shared/data). Every shape reads tweets
of many people and Wikipedia for MINUTES (default 3), a fraction of what a base is given, with the tokeniser of its
size; it is measured on a shard of tweets whose authors it hasn't read. Then come three people with the defaults: bits
per character on the newest 10 % of their tweets, and the minutes that fine-tuning took. About eight minutes a shape.
"""
import json, os, sys, tempfile, time
from pathlib import Path

from ulmtweet.core import ASSETS
from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.sources import read_tweets
from ulmtweet.training.pretrain import Pretraining, Start, pretrain, train_tokenizer
from ulmtweet.training.pseudonyms import without_people
from ulmtweet.training.train import fine_tune

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
PEOPLE = dict(kaggle=DATA/"kaggle"/"data_elonmusk.csv", sample=ASSETS/"sample_tweets.csv",
              stevemartin=DATA/"people"/"stevemartin.twint.tsv")
SHAPES = [dict(vocab_size=16_000, emb_sz=224, n_hid=704, n_layers=2), # `en`
          dict(vocab_size=12_000, emb_sz=256, n_hid=768, n_layers=2),
          dict(vocab_size=8000, emb_sz=256, n_hid=880, n_layers=2),
          dict(vocab_size=12_000, emb_sz=256, n_hid=512, n_layers=3),
          dict(vocab_size=12_000, emb_sz=192, n_hid=920, n_layers=2),
          dict(vocab_size=16_000, emb_sz=160, n_hid=448, n_layers=2)]


def measure(shape, corpus, held_out, tokenizer, minutes, folder):
    recipe = Pretraining(epochs=1000, minutes=minutes, lr=6e-3, drop_mult=0., validations=1) # each takes of the minutes
    base = pretrain(corpus, folder/"base", Start(tokenizer=tokenizer, **shape), recipe, valid=[held_out])
    row = shape | dict(parameters=base.model.n_parameters,
                       megabytes=round((base.folder/"model.safetensors").stat().st_size / 1e6, 1),
                       pretraining_tokens=base.meta["log"][-1]["tokens"],
                       held_out=round(base.meta["metrics"]["valid"]["bits_per_character"], 3))
    for person, path in PEOPLE.items():
        began = time.perf_counter()
        voice = fine_tune(clean_tweets(read_tweets(path))[0].text.tolist(), "bench",
                          base=base.folder, home=folder, overwrite=True)
        row[person] = dict(fine_tuned=round(voice.meta["metrics"]["test"]["bits_per_character"], 3),
                           minutes=round((time.perf_counter() - began) / 60, 2))
    return row


def main(minutes=3.):
    rows, tokenizers = [], {}
    with tempfile.TemporaryDirectory() as folder:
        shards = [DATA/"tweets"/f"tweets-{i:02}.xz" for i in (0, 1, 6)]
        *tweets, held_out = without_people(shards, Path(folder)/"tweets")
        corpus = [*tweets, DATA/"wiki"/"wiki-00.xz"]
        for shape in SHAPES:
            size = shape["vocab_size"]
            if size not in tokenizers: tokenizers[size] = train_tokenizer(corpus, vocab_size=size)
            with tempfile.TemporaryDirectory() as own:
                rows.append(measure(shape, corpus, held_out, tokenizers[size], float(minutes), Path(own)))
            print(rows[-1], file=sys.stderr, flush=True)
    print(json.dumps(dict(rows=rows, command=f"python bench/shapes.py {minutes}", pretraining_minutes=float(minutes),
                          seed=0), indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
