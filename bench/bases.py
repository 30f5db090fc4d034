"""Every base on three people: before and after fine-tuning, and from scratch, as JSON.

    python bench/bases.py [FOLDER_OF_A_BASE...] > bench/results/bases.json

Needs the folders kaggle and people of ULMTWEET_DATA (default ../shared/data). Defaults everywhere, seed 0; bits per
character on the newest 10 % of the tweets, counting one character more a tweet for its end. wt103 is left out when it
can't be downloaded. About 25 minutes on two cores; at most 40, since what would begin after half an hour is left out
and named.
"""
import json, os, platform, sys, tempfile, time
from pathlib import Path

from ulmtweet.core import ASSETS, NetworkError
from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.sources import read_tweets
from ulmtweet.models.bases import load_base
from ulmtweet.training.train import fine_tune

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
PEOPLE = dict(kaggle=DATA/"kaggle"/"data_elonmusk.csv", sample=ASSETS/"sample_tweets.csv",
              stevemartin=DATA/"people"/"stevemartin.twint.tsv")
LAST_START = 30 * 60 # seconds after which nothing new is begun


def train(tweets, home, **choices):
    "Fine-tune with the defaults; the voice's description, its minutes, weights and size."
    start = time.perf_counter()
    voice = fine_tune(tweets, "bench", home=home, overwrite=True, **choices)
    return dict(metrics=voice.meta["metrics"], minutes=round((time.perf_counter() - start) / 60, 2),
                parameters=voice.model.n_parameters,
                megabytes=round((voice.folder/"model.safetensors").stat().st_size / 1e6, 2))


def bits(measure): return measure and round(measure["bits_per_character"], 4)


def main(folders):
    began, rows, left_out, scratch = time.perf_counter(), [], [], {}
    with tempfile.TemporaryDirectory() as home:
        bases = [("en", "subword"), *((f, "subword") for f in folders), ("wt103", "word"),
                 ("none", "word"), ("none", "char")]
        for base, tokens in bases:
            name = Path(base).name if base != "none" else f"none, {tokens}"
            for person, path in PEOPLE.items():
                if time.perf_counter() - began > LAST_START:
                    left_out.append([name, person, "no time left"])
                    continue
                tweets = clean_tweets(read_tweets(path))[0].text.tolist()
                try:
                    if base != "none":
                        tokens = load_base(base, home).tokenizer.kind
                    if (tokens, person) not in scratch:
                        scratch[tokens, person] = train(tweets, home, base="none", tokens=tokens)
                    one = train(tweets, home, base=base) if base != "none" else None
                except NetworkError as e:
                    left_out.append([name, person, str(e)])
                    break
                source = one or scratch[tokens, person]
                rows.append(dict(base=name, data=person, parameters=source["parameters"], megabytes=source["megabytes"],
                                 zero_shot=bits(one["metrics"]["before"]) if one else None,
                                 fine_tuned=bits(one["metrics"]["test"]) if one else None,
                                 scratch=bits(scratch[tokens, person]["metrics"]["test"]), minutes=source["minutes"]))
                print(rows[-1], file=sys.stderr, flush=True)
    print(json.dumps(dict(rows=rows, left_out=left_out,
                          command="python bench/bases.py " + " ".join(Path(f).name for f in folders), seed=0,
                          minutes=round((time.perf_counter() - began) / 60, 1),
                          python=platform.python_version()), indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
