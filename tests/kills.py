"""Kill trainings at random moments, and repeat the command until they are finished.

They are compared with one that nobody killed.

    python tests/kills.py 300 > bench/results/kills.json

A kill is SIGKILL to `ulmtweet train` on the newest 145 tweets of the sample: one in four at any time, one in four
while a checkpoint is being written, the others some time after the first checkpoint. Half of the trainings write a
checkpoint after every batch, half every half second. "lost" counts finished trainings whose weights, metrics or
samples are not those of the straight training, bit for bit. The processes are forked from one that has imported
everything, which would take longer than the trainings. 300 kills take some 28 minutes on two cores.
"""
import json, multiprocessing, os, random, sys, tempfile, time
from collections import Counter
from pathlib import Path

import torch

from conftest import SAMPLE
from ulmtweet.cli.__main__ import app
from ulmtweet.models.voice import Voice, training_folder
from ulmtweet.training.checkpoint import checkpoint_files


def outcome(folder):
    "What has to be equal, of a finished voice."
    voice = Voice.load(folder)
    return voice.model.state_dict(), voice.meta["metrics"], [
        (s["bits_per_character"], s["samples"]) for s in voice.meta["stages"]]


def equal(a, b):
    return a[0].keys() == b[0].keys() and all(torch.equal(a[0][k], b[0][k]) for k in a[0]) and a[1:] == b[1:]


def ulmtweet(args, errors):
    "The command, in a process of its own whose standard error is a file."
    with open(errors, "w") as file: os.dup2(file.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    app(args)


def kill_often(kills, folder, seed=0):
    "Kill so many times; what came of it."
    fork = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload(["ulmtweet.training.train", "ulmtweet.data.clean", "ulmtweet.data.sources"])
    rng, tweets, errors = random.Random(seed), folder/"few.csv", folder/"stderr.txt"
    tweets.write_text("\n".join(SAMPLE.read_text(encoding="utf-8").splitlines()[:156]) + "\n", encoding="utf-8")
    places, inside, finished, lost, done = Counter(), 0, 0, 0, 0

    def train(home, seconds=None, moment=None):
        "Train, until a moment so many seconds away; whether the training came to its end, and whether a save was cut."
        work, every = training_folder("v", home), "0.5" if finished % 2 else "0"
        errors.unlink(missing_ok=True)
        process = fork.Process(target=ulmtweet, args=(
            ["train", str(tweets), "--name", "v", "--epochs", "2", "--checkpoint-seconds", every, "--home", str(home)],
            errors))
        process.start()
        in_a_save = lambda: any(work.glob(f".checkpoint-*.{process.pid}.tmp"))
        while moment in ("later", "in a save") and process.is_alive() and not checkpoint_files(work): time.sleep(0.01)
        process.join(seconds)
        while moment == "in a save" and process.is_alive() and not in_a_save(): time.sleep(0.001)
        process.kill()
        process.join()
        said = errors.read_text() if errors.exists() else ""
        assert "Traceback" not in said and process.exitcode in (0, -9), said
        places.update(line.partition(", epoch")[0] + line.endswith("epoch 1, batch 1") * ", at its beginning"
                      for line in said.splitlines() if line.startswith("resuming"))
        return process.exitcode == 0, in_a_save()

    train(folder/"warm-up")
    began = time.monotonic()
    train(folder/"straight")
    seconds, straight = time.monotonic() - began, outcome(folder/"straight"/"voices"/"v")
    while done < kills:
        home = folder/f"home{finished}"
        while done < kills:
            whole, cut = train(home, rng.uniform(0, 0.3) * seconds,
                               rng.choice(["any time", "in a save", "later", "later"]))
            if whole: break
            done += 1
            inside += cut
        else: train(home)
        finished += 1
        lost += not equal(outcome(home/"voices"/"v"), straight)
        print(f"{done} kills, {finished} trainings finished, {lost} lost", file=sys.stderr, flush=True)
    return dict(kills=done, inside_a_save=inside, finished=finished, lost=lost,
                resumed=dict(sorted(places.items())), seconds=round(time.monotonic() - began))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as tmp:
        print(json.dumps(dict(command=f"python tests/kills.py {sys.argv[1]}",
                              **kill_often(int(sys.argv[1]), Path(tmp))), indent=1))
