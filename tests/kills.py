"""Kill trainings at random moments, repeat the command until they are finished, and compare them with one that nobody killed.

    python tests/kills.py 300 > bench/results/kills.json

A kill is SIGKILL to `ulmtweet train` on the newest 300 tweets of the sample. Half of the trainings write a checkpoint after every
batch, so that many kills fall into a save; half write one every half second. "lost" counts finished trainings whose weights, metrics
or samples are not those of the straight training, bit for bit. 300 kills take some 25 minutes on two cores.
"""
import json, os, random, subprocess, sys, tempfile, time
from collections import Counter
from pathlib import Path

import torch

from ulmtweet.voice import Voice

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT/"ulmtweet"/"assets"/"sample_tweets.csv"


def outcome(home):
    "What has to be equal, of a finished voice."
    voice = Voice.load(home/"voices"/"v")
    return voice.model.state_dict(), voice.meta["metrics"], [(s["bits_per_character"], s["samples"]) for s in voice.meta["stages"]]


def equal(a, b):
    return a[0].keys() == b[0].keys() and all(torch.equal(a[0][k], b[0][k]) for k in a[0]) and a[1:] == b[1:]


def kill_often(kills, folder, seed=0, options=()):
    "Kill so many times; what came of it."
    rng, tweets = random.Random(seed), folder/"few.csv"
    tweets.write_text("\n".join(SAMPLE.read_text(encoding="utf-8").splitlines()[:330]) + "\n", encoding="utf-8")

    def start(home):
        every = "0" if home.name.endswith("0") else "0.5"
        command = [sys.executable, "-m", "ulmtweet.cli", "train", str(tweets), "--name", "v", "--epochs", "3", *options, "--checkpoint-seconds", every, "--home", str(home)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def said(process):
        text = process.communicate()[1]
        assert "Traceback" not in text and process.returncode in (0, -9), text
        places.update(line.partition(", epoch")[0] for line in text.splitlines() if line.startswith("resuming"))
        return process.returncode

    places, inside, finished, lost, done = Counter(), 0, 0, 0, 0
    began = time.monotonic()
    assert said(start(folder/"straight0")) == 0
    seconds, straight = time.monotonic() - began, outcome(folder/"straight0")
    while done < kills:
        home, code = folder/f"home{finished}-{finished % 2}", -9
        while code:
            process = start(home)
            try: process.wait(rng.uniform(0.2, 0.5) * seconds if done < kills else None)
            except subprocess.TimeoutExpired: process.kill()
            code = said(process)
            done += code != 0
            inside += any((home/"voices").glob(".v.*/.*.tmp")) if code else 0
        finished += 1
        lost += not equal(outcome(home), straight)
        print(f"{done} kills, {finished} trainings finished, {lost} lost", file=sys.stderr, flush=True)
    return dict(kills=done, inside_a_save=inside, finished=finished, lost=lost, resumed=dict(sorted(places.items())), seconds=round(time.monotonic() - began))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as tmp:
        print(json.dumps(dict(command=f"python tests/kills.py {sys.argv[1]}", **kill_often(int(sys.argv[1]), Path(tmp))), indent=1))
