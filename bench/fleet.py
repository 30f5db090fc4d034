"""Eight people at once beside one after the other, and shards of tweets by one worker and by two, as JSON.

    python bench/fleet.py > bench/results/fleet.json
    python bench/fleet.py --quick

Needs the folders people and kaggle of ULMTWEET_DATA (default ../shared/data): the four people, Kaggle's Elon Musk, the
sample, and of the two with the most tweets the older ones as if they were somebody else's. At most 1,600 tweets each
are learnt by the defaults, in real processes: one after the other by `ulmtweet train` with a thread a core, by
`ulmtweet fleet --workers 2`, and by `ulmtweet fleet --ray local` if Ray is installed. `ratio` is the first by the
second, start and reading included. Then one of the voices writes 20,000 tweets in four shards. Nothing else should run
meanwhile. 30 minutes on two cores; --quick takes 300 tweets of four people, and 2,000 tweets.
"""
import csv, importlib.util, json, os, platform, subprocess, sys, tempfile, time
from pathlib import Path

from engine import processor
from ulmtweet.core import ASSETS, read_json, sha256_file
from ulmtweet.data.sources import read_tweets
from ulmtweet.workers import cores

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
QUICK = "--quick" in sys.argv
PEOPLE, TWEETS, WRITTEN = (4, 300, 2000) if QUICK else (8, 1600, 20_000)
BEGUN = time.perf_counter()


def say(what):
    "Tell who waits what it is at."
    print(f"{time.perf_counter() - BEGUN:5.0f} s  {what}", file=sys.stderr, flush=True)


def write_people(folder):
    "A file a person."
    sources = [*sorted((DATA/"people").iterdir()), DATA/"kaggle"/"data_elonmusk.csv", ASSETS/"sample_tweets.csv"]
    texts = {p.stem.partition(".")[0]: read_tweets(p).text.tolist() for p in sources}
    most = sorted(texts, key=lambda name: -len(texts[name]))[:2]
    texts = {name: t[:TWEETS] for name, t in texts.items()} | {
        f"{name}-older": read_tweets(p).text.tolist()[TWEETS:2 * TWEETS]
        for p in sources if (name := p.stem.partition(".")[0]) in most}
    for name, tweets in [*texts.items()][:PEOPLE]:
        with open(folder/f"{name}.csv", "w", encoding="utf-8", newline="") as f:
            csv.writer(f).writerows([["text"], *([t] for t in tweets)])
    return sorted(folder.glob("*.csv"))


def timed(*args, threads, home):
    "Seconds of a real `ulmtweet`."
    env = os.environ | dict(OMP_NUM_THREADS=str(threads), ULMTWEET_HOME=str(home))
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ulmtweet.cli", *map(str, args)], check=True, env=env,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def trainings(files, work):
    "Seconds of each way."
    seconds = dict(one_after_the_other=0.)
    for file in files:
        seconds["one_after_the_other"] += timed("train", file, "--name", file.stem, threads=cores(), home=work/"one")
        say(f"one after the other: {file.stem}")
    ways = dict(workers=["--workers", cores()]) | (
        dict(ray=["--ray", "local", "--workers", cores()]) if importlib.util.find_spec("ray") else {})
    for way, options in ways.items():
        seconds[way] = timed("fleet", *files, "--out", work/way, *options, threads=1, home=work)
        say(f"{way}: {seconds[way]:.0f} seconds")
    weights = lambda way: [sha256_file(work/way/"voices"/f.stem/"model.safetensors") for f in files]
    assert all(weights(way) == weights("workers") for way in ways)
    return {k: round(v, 1) for k, v in seconds.items()}


def ray_start():
    "Seconds until Ray has done its first task, and without Ray."
    code = ("import time; from ulmtweet.workers import *; place = {}; t = time.perf_counter(); "
            "run_tasks(abs, dict(a=(1,)), place, lambda *o: None); print(time.perf_counter() - t)")
    def first(place):
        done = subprocess.run([sys.executable, "-c", f"if __name__ == '__main__':\n exec({code.format(place)!r})"],
                              check=True, capture_output=True, text=True)
        return round(float(done.stdout.split()[-1]), 1)
    return dict(local=first("Local(1)")) | (
        dict(ray=first("OnRay('local', 1)")) if importlib.util.find_spec("ray") else {})


def shards(voice, home, work):
    "Tweets a second by one worker and by two, the voice's loading included."
    rates, lists = {}, []
    for workers in (1, 2):
        (work/f"by{workers}").mkdir()
        out = work/f"by{workers}"/"tweets.jsonl"
        seconds = timed("generate", "--voice", voice, "-n", WRITTEN, "--shards", 4, "--workers", workers, "--out", out,
                        threads=1, home=home)
        lists.append(read_json(out.with_suffix(".shards.json"))["shards"])
        rates[f"workers_{workers}"] = round(sum(s["tweets"] for s in lists[-1]) / seconds, 1)
        say(f"shards by {workers}: {rates}")
    assert lists[0] == lists[1]
    return rates | dict(tweets=WRITTEN, shards=4, different=sum(s["tweets"] for s in lists[0]))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as tmp:
        work = Path(tmp)
        (work/"people").mkdir()
        files = write_people(work/"people")
        seconds = trainings(files, work)
        rows = read_json(work/"workers"/"fleet.json")["people"]
        shown = [{k: r[k] for k in ("name", "state", "tweets", "characters", "before", "bits_per_character", "minutes")}
                 for r in rows]
        print(json.dumps(dict(
            command=" ".join(["python bench/fleet.py", *sys.argv[1:]]), processor=processor(), cores=cores(),
            python=platform.python_version(), seconds=seconds,
            ratio=round(seconds["one_after_the_other"] / seconds["workers"], 2), first_task_seconds=ray_start(),
            people=shown, shards=shards(files[0].stem, work/"workers", work)), indent=1))
