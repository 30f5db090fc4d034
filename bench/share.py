"""How large is a voice as one HTML file, what does its rounding cost, and how fast does the page write, as JSON.

    make bench
    python bench/share.py [VOICE] > bench/results/share.json

VOICE is the folder of a voice; without it one is trained on the bundled sample with the defaults. The bits per
character are those of its newest tweets, which it has not learnt, in 16 bits and rounded to seven. The page runs in
headless Chromium, opened from disk, and writes fifty tweets three times (seeds 0 to 2, temperature 0.8, no beginning)
with as many workers as there are cores. Beside it Python writes the same on one core, four tweets at a time, as a
worker does, and 512. Where other programs run (`load`, of the last minute), the tweets for each second that the browser
had a core say what it would do alone. Five minutes on two cores, most of them for the training.
"""
import json, os, statistics, sys, tempfile, time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]/"tests"))
from browser import browser_page
from ulmtweet.core import ASSETS
from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.sources import read_tweets
from ulmtweet.generation.generate import READERS, first_tweets
from ulmtweet.models.awdlstm import bits_per_character
from ulmtweet.models.voice import Voice
from ulmtweet.sharing.html import rounded_voice, save_page
from ulmtweet.training.train import fine_tune

TWEETS, SEEDS = 50, (0, 1, 2)
WRITE = """([seed, n, temperature]) => writing.write({prompt: "", n, seed, temperature}, {writes() {}, wrote() {}})
    .then(({found}) => found)"""


def sample_voice():
    tweets = clean_tweets(read_tweets(ASSETS/"sample_tweets.csv"))[0].text.tolist()
    with tempfile.TemporaryDirectory() as home: return fine_tune(tweets, "sample", home=home)


def per_second(write):
    "Tweets a second of each seed, after one round that is not counted."
    write(99)
    rates = []
    for seed in SEEDS:
        begun = time.perf_counter()
        written = write(seed)
        rates.append(written / (time.perf_counter() - begun))
    return [round(r, 1) for r in rates]


def core_seconds(page):
    "Time that all processes of the browser have had a core for."
    session = page.context.browser.new_browser_cdp_session()
    return sum(p["cpuTime"] for p in session.send("SystemInfo.getProcessInfo")["processInfo"])


def in_browser(path):
    begun = time.perf_counter()
    with browser_page(path.as_uri()) as page:
        page.locator("#generate:enabled").wait_for()
        ready = time.perf_counter() - begun
        workers, before = page.evaluate("writing.workers.length"), core_seconds(page)
        rates = per_second(lambda seed: page.evaluate(WRITE, [seed, TWEETS, READERS.temperature]))
        per_core = (1 + len(SEEDS)) * TWEETS / (core_seconds(page) - before)
    return dict(seconds_until_ready=round(ready, 2), workers=workers, tweets_per_second=statistics.median(rates),
                rounds=rates, tweets_per_core_second=round(per_core, 1))


def in_python(voice, bs):
    rates = per_second(lambda seed: len(list(first_tweets(voice, "", TWEETS, READERS, seed, bs))))
    return dict(batch=bs, tweets_per_second=statistics.median(rates), rounds=rates)


def main():
    torch.set_num_threads(1)
    voice = Voice.load(sys.argv[1]) if len(sys.argv) > 1 else sample_voice()
    bits = lambda v: bits_per_character(v.model, v.tokenizer, v.held_out["test"])["bits_per_character"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/"voice.html"
        save_page(voice, path)
        size, page = path.stat().st_size, in_browser(path)
    whole, rounded = bits(voice), bits(rounded_voice(voice))
    print(json.dumps(dict(
        bytes=size, weights=voice.model.n_parameters, bytes_per_weight=round(size / voice.model.n_parameters, 3),
        bits_per_character=dict(sixteen_bits=round(whole, 4), seven_bits=round(rounded, 4),
                                percent_more=round(100 * (rounded / whole - 1), 3)),
        test_tweets=len(voice.held_out["test"]), page=page, python=[in_python(voice, bs) for bs in (4, 512)],
        cores=os.cpu_count(), load=round(os.getloadavg()[0], 1),
        command=" ".join(["python bench/share.py", *(Path(a).name for a in sys.argv[1:])])), indent=1))


if __name__ == "__main__":
    main()
