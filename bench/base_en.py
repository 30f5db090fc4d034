"""Make the embedded base `en`: tweets of many people and a part of Wikipedia, in which no handle is anybody's.

    python bench/base_en.py FOLDER [--device cuda --minutes 4]

Needs the folders tweets and wiki of ULMTWEET_DATA (default ../shared/data), and goes on where it was stopped. FOLDER
gets the corpus without people, the tokeniser and a base for each phase, en-1, en-2 ...; each goes on with the weights
of the one before, and the last is en. With --minutes, for a GPU, there is one phase of that length instead, in large
batches, and then one as long for a larger shape, en-large. The last shard of the tweets is not read: its authors
occur nowhere else, so it is what the base is measured on. None of the people whom the benchmarks score are in the
corpus.
"""
import argparse, os, sys
from dataclasses import replace
from pathlib import Path

from ulmtweet.models.tokens import load_tokenizer
from ulmtweet.models.voice import Voice
from ulmtweet.training.pretrain import Pretraining, Start, base_card, pretrain, train_tokenizer
from ulmtweet.training.pseudonyms import without_people

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
WIKI = sorted((DATA/"wiki").glob("*.xz"))
SHAPE = dict(emb_sz=224, n_hid=704, n_layers=2)
LARGE = dict(emb_sz=400, n_hid=1152, n_layers=3)
VOCABULARY = 16_000
PHASES = [(WIKI[:1], Pretraining(epochs=0.66, lr=6e-3, drop_mult=0.)),
          (WIKI[1:4], Pretraining(epochs=0.65, lr=4e-3, drop_mult=0., seed=1))]
GPU = Pretraining(epochs=1000, bs=512, lr=6e-3, drop_mult=0., checkpoint_steps=1000, validations=4)
DESCRIPTION = (
    "A small English base. Its corpus is 1.3 million public tweets of more than 31,000 people, most of them from "
    "archives and data sets that are public on GitHub, and articles of the English Wikipedia (a 2015 dump, "
    "WikiExtractor's prose). Before it read them every handle became a made-up one, and e-mail addresses and "
    "telephone numbers were taken out. It has read no tweet of Elon Musk's, of Steve Martin's, of Elm's people or of "
    "the bundled sample. Wikipedia text has the licence CC BY-SA, and so have these weights.")


def show(status):
    if status.get("tokens_per_second"):
        row = status["log"][-1] if status["log"] else {}
        print(f"{status['fraction']:.3f} {status['tokens_per_second']:,.0f} tokens/s loss {status['train_loss']:.3f} "
              f"left {status['seconds_left'] / 60:.0f} min {row.get('bits_per_character')} {row.get('samples')}",
              file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", choices=["cpu", "cuda"])
    parser.add_argument("--minutes", type=float)
    asked = parser.parse_args()
    folder = asked.folder
    if not (folder/"tweets").exists():
        without_people(sorted((DATA/"tweets").glob("*.xz")), folder/"tweets-unfinished")
        (folder/"tweets-unfinished").rename(folder/"tweets")
    *tweets, held_out = sorted((folder/"tweets").iterdir())
    if not (folder/"tokenizer.json").exists():
        train_tokenizer([*tweets, *WIKI[:1]], vocab_size=VOCABULARY).save(folder/"tokenizer.json")
    made = dict(valid=[held_out], device=asked.device, description=DESCRIPTION, progress=show)
    begin = lambda shape: Start(tokenizer=load_tokenizer(folder/"tokenizer.json"), **shape)
    if asked.minutes:
        for name, shape in (("en", SHAPE), ("en-large", LARGE)):
            pretrain([*tweets, *WIKI[:4]], folder/name, begin(shape), replace(GPU, minutes=asked.minutes), **made)
        return
    start = begin(SHAPE)
    for i, (wiki, recipe) in enumerate(PHASES, 1):
        out = folder/f"en-{i}"
        if not out.exists(): pretrain([*tweets, *wiki], out, start, recipe, **made)
        start = Start(base=Voice.load(out))
    meta = start.base.meta | dict(name="en", description=DESCRIPTION)
    replace(start.base, meta=meta, files={"README.md": base_card(meta, start.base.model)}).save(folder/"en")


if __name__ == "__main__":
    main()
