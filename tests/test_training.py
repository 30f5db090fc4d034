"Trainings that are killed, stopped, or run out of disk, and voice folders that were damaged or made to attack."
import csv, gc, io, json, pickle, random, resource, shlex, shutil, signal, struct, subprocess, time, zipfile
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file, save_file

from conftest import PROGRAM, SAMPLE, failed, run
from kills import equal, kill_often, outcome
from ulmtweet.core import ModelError, StorageError, read_json, write_checksums
from ulmtweet.models.voice import Voice, training_folder
from ulmtweet.training.checkpoint import Checkpoint, checkpoint_files, load_checkpoint, save_checkpoint
from ulmtweet.training.train import NEWEST


def start(*args, home, **kwargs):
    return subprocess.Popen([str(PROGRAM), *map(str, args), "--home", str(home)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **kwargs)


def contents(folder):
    "What is in a folder, when it was written, and nothing hidden beside it."
    assert [p.name for p in folder.parent.iterdir() if p.name.endswith((".tmp", ".old"))] == []
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}


def same_voice(a, b):
    return equal(outcome(a), outcome(b))


SMALL = ["--name", "small", "--lr", "5e-3", "--epochs", "3"] # as the voice of `home`


@pytest.mark.slow
def test_twenty_kills_lose_nothing(tiny, tmp_path):
    counts = kill_often(20, tmp_path, options=["--base", tiny])
    assert counts["lost"] == 0 and counts["inside_a_save"], counts


def stop(process, work, sign):
    "Stop a training as soon as its first stage is done; what it said."
    while not ((found := load_checkpoint(work)) and found.state["done"]):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(sign)
    said = process.communicate(timeout=60)[1]
    assert "Traceback" not in said and not (work.parent/"small").exists()
    return said


@pytest.mark.slow
def test_a_kill_between_two_stages(few_tweets, home, tmp_path):
    process = start("train", few_tweets, *SMALL, home=tmp_path)
    stop(process, training_folder("small", tmp_path), signal.SIGKILL)
    again = run("train", few_tweets, *SMALL, home=tmp_path)
    assert process.returncode == -9 and "resuming at stage 2, epoch 1, batch 1\n" in again.stderr, again.stderr
    assert same_voice(home/"voices"/"small", tmp_path/"voices"/"small")


@pytest.mark.slow
@pytest.mark.parametrize("sign, code", [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_stop_while_the_newest_tweets_are_learnt(few_tweets, home, tmp_path, sign, code):
    process, work = start("train", few_tweets, *SMALL, home=tmp_path), training_folder("small", tmp_path)
    while not ((work/"status.json").exists() and read_json(work/"status.json")["state"] == NEWEST):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(sign)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == code and ("to go on from here" in said) == (sign == signal.SIGINT), said
    again = run("train", few_tweets, *SMALL, home=tmp_path)
    assert "resuming at the newest tweets\n" in again.stderr, again.stderr
    assert same_voice(home/"voices"/"small", tmp_path/"voices"/"small")


@pytest.mark.slow
def test_a_stopped_training_goes_on_by_the_command_that_it_prints(few_tweets, home, tmp_path):
    voice = tmp_path/"voices"/"small"
    process = start("train", few_tweets, *SMALL, home=tmp_path)
    said = stop(process, training_folder("small", tmp_path), signal.SIGTERM)
    assert process.returncode == 143, said
    program, *args = shlex.split(said.partition("to go on from here: ")[2].splitlines()[0])
    assert program == "ulmtweet"
    process = subprocess.Popen([str(PROGRAM), *args], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while "resuming at stage 2" not in (line := process.stderr.readline()): assert line, "it did not go on"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) and process.returncode == 130
    again = run(*args)
    assert (again.returncode == 0 and "resuming at stage 2" in again.stderr
            and same_voice(home/"voices"/"small", voice)), again.stderr
    before = contents(voice)
    third = run(*args)
    assert (third.returncode == 0 and "is finished; nothing is changed" in third.stderr
            and contents(voice) == before), third.stderr
    assert ("--overwrite" in failed(run("train", few_tweets, *SMALL, "--seed", 1, home=tmp_path), 2)
            and contents(voice) == before)


@pytest.mark.slow
def test_a_second_training_waits_and_says_for_whom(few_tweets, tmp_path):
    first = start("train", few_tweets, "--name", "small", "--epochs", 50, home=tmp_path)
    while not (tmp_path/"training.json").exists():
        assert first.poll() is None
        time.sleep(0.05)
    second = start("train", few_tweets, *SMALL[2:], "--name", "other", home=tmp_path)
    while "waiting for" not in (line := second.stderr.readline()): assert line, "it did not wait"
    assert f"the training of small (process {first.pid})" in line
    first.kill() # a lock dies with its process
    while "last layer group" not in (line := second.stderr.readline()): assert line, "it did not go on"
    second.terminate()
    assert second.wait(60) == 143


@pytest.mark.slow
def test_a_tracker_gets_figures_and_no_tweets(few_tweets, tiny, tmp_path):
    command = ["train", few_tweets, "--base", tiny, "--name", "tracked", "--lr", "5e-3", "--epochs", "1"]
    assert "wandb or tensorboard" in failed(run(*command, "--track", "paper", home=tmp_path), 2)
    done = run(*command, "--track", "wandb", home=tmp_path, env=dict(WANDB_MODE="offline"))
    assert done.returncode == 0, done.stderr
    voice = Voice.load(tmp_path/"voices"/"tracked")
    files = {p: p.read_bytes() for p in (tmp_path/"runs").rglob("*") if p.is_file() and not p.is_symlink()}
    to_send = [p for p in files if p.suffix != ".log"] # those stay here
    assert sum(files[p].count(b"bits_per_character") for p in to_send) >= len(voice.meta["stages"])
    assert (sum(p.suffix == ".html" for p in to_send)
            == len(voice.meta["stages"]) + len(list(csv.DictReader((voice.folder/"log.csv").open()))))
    for p in to_send:
        assert (str(few_tweets).encode() not in files[p]
                and not [t for t in voice.originals if len(t) > 20 and t.encode() in files[p]]), p


def limit(size):
    "Let no file of this process be larger than so many bytes; -1 ends that."
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def test_a_full_disk_leaves_the_voice_as_it_was(home, tmp_path):
    folder = shutil.copytree(home/"voices"/"small", tmp_path/"voices"/"small")
    voice, before, largest = Voice.load(folder), contents(folder), (folder/"model.safetensors").stat().st_size
    for size in [0, *random.Random(0).sample(range(largest), 19)]:
        limit(size)
        try:
            with pytest.raises(StorageError, match="free some space"): voice.save(folder)
        finally: limit(-1)
        assert contents(folder) == before
    voice.save(folder)
    assert contents(folder) != before and same_voice(folder, home/"voices"/"small")


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_checkpoint(few_tweets, home, tmp_path):
    process, work = (start("train", few_tweets, *SMALL, "--checkpoint-seconds", 0, home=tmp_path),
                     training_folder("small", tmp_path))
    while len(checkpoint_files(work)) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    for left in work.glob(".*.tmp"): left.unlink()
    kept = [p.read_bytes() for p in checkpoint_files(work)]
    full = start("train", few_tweets, *SMALL, "--checkpoint-seconds", 0, home=tmp_path,
                 preexec_fn=lambda: limit(1_000_000))
    said = full.communicate(timeout=120)[1]
    assert (full.returncode == 5 and said.splitlines()[-1].startswith("error: cannot write")
            and "free some space" in said and "Traceback" not in said), said
    assert [p.read_bytes() for p in checkpoint_files(work)] == kept and not list(work.glob(".*.tmp"))
    again = run("train", few_tweets, *SMALL, home=tmp_path)
    assert (again.returncode == 0 and "resuming at stage 1" in again.stderr
            and same_voice(tmp_path/"voices"/"small", home/"voices"/"small")), again.stderr


@contextmanager
def mounted(folder, options):
    "A file system in memory."
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True).returncode:
        pytest.skip("only root may mount a file system")
    try: yield folder
    finally: subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_an_update_that_was_cut_right_at_its_end(few_tweets, home, tmp_path):
    voice, tweets = shutil.copytree(home/"voices"/"small", tmp_path/"voices"/"small"), SAMPLE.read_text().splitlines()
    newer = [tmp_path/name for name in ("newer.csv", "newest.csv")]
    for path, end in zip(newer, (400, 500)): path.write_text("\n".join(tweets[:end]) + "\n")
    update = lambda path: run("update", path, "--voice", "small", "--lr", "2e-3", "--epochs", 1, home=tmp_path)
    assert update(newer[0]).returncode == 0
    meta = json.loads((voice/"voice.json").read_text())
    training_folder("small", tmp_path).mkdir()
    save_checkpoint(training_folder("small", tmp_path),
                    Checkpoint(load_file(voice/"model.safetensors"), dict(fingerprint=meta["fingerprint"])))
    done = update(newer[1])
    assert done.returncode == 0 and len(json.loads((voice/"voice.json").read_text())["history"]) == 2, done.stderr


@pytest.mark.slow
def test_a_small_disk_and_a_read_only_one(few_tweets, home, tmp_path):
    with mounted(tmp_path, "size=24m") as disk:
        shutil.copytree(home/"voices"/"small", disk/"voices"/"small")
        before = contents(disk/"voices"/"small")
        assert "free some space" in failed(run("train", few_tweets, *SMALL, "--overwrite", home=disk), 5)
        assert contents(disk/"voices"/"small") == before
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        refused = run("train", few_tweets, *SMALL, "--seed", 1, "--overwrite", home=disk)
        assert "writable folder" in failed(refused, 5) and "epoch" not in refused.stderr, refused.stderr
        asked = [run("predict", "The", "-n", 3, "--seed", 1, home=h) for h in (disk, home)]
        assert asked[0].returncode == 0 and asked[0].stdout == asked[1].stdout, asked[0].stderr


@pytest.fixture
def victim(home, tmp_path):
    "A voice in a home folder, to be damaged. What other tests have left in memory is not collected while it is timed."
    gc.freeze()
    yield shutil.copytree(home/"voices"/"small", tmp_path/"voices"/"small")
    gc.unfreeze()


def refused(folder):
    "Whether a voice folder is refused, within half a second of work; and what was said."
    began = time.process_time()
    with pytest.raises(ModelError) as error: Voice.load(folder)
    assert time.process_time() - began < 0.5
    return str(error.value)


@pytest.mark.slow
def test_damage_is_noticed(victim):
    rng, files = random.Random(0), [p for p in victim.iterdir() if p.name not in ("card.md", "log.csv")]
    for i in range(1200):
        path = rng.choice(files)
        good = path.read_bytes()
        at = rng.randrange(len(good))
        path.write_bytes(good[:at] + (bytes([good[at] ^ 1 << rng.randrange(8)]) + good[at + 1:] if i < 1000 else b""))
        assert str(victim) in refused(victim)
        if i % 120 == 0: failed(run("predict", "x", home=victim.parent.parent), 4)
        path.write_bytes(good)
    Voice.load(victim)


def test_damage_with_right_checksums_is_noticed(victim):
    good = load_file(victim/"model.safetensors")
    def resaved(weights=good, **meta):
        save_file(weights, victim/"model.safetensors")
        described = json.loads((victim/"voice.json").read_text())
        (victim/"voice.json").write_text(json.dumps(described | meta))
        write_checksums(victim, leave_out=("card.md", "log.csv"))
        return described
    shape = resaved()["architecture"]
    for name in good:
        resaved(good | {name: torch.zeros(*good[name].shape, 2, dtype=torch.float16)})
        assert "don't fit" in refused(victim)
        resaved({k: v for k, v in good.items() if k != name})
        assert name == "start" and Voice.load(victim) or "don't fit" in refused(victim)
    resaved(good | {"bias": good["bias"] * float("nan")})
    assert "not finite" in refused(victim)
    resaved(architecture=shape | dict(vocab_size=shape["vocab_size"] + 1))
    assert "don't belong together" in refused(victim)
    resaved(architecture=shape | dict(n_hid=8192))
    assert "don't fit" in refused(victim)
    resaved(architecture=shape, format=99)
    assert "update ulmtweet" in refused(victim)
    resaved(format=1)
    Voice.load(victim)
    (victim/"model.safetensors").write_bytes(struct.pack("<Q", 2**63) + b"{}")
    write_checksums(victim, leave_out=("card.md", "log.csv"))
    assert "not a readable safetensors file" in refused(victim)


class Attack:
    "Leaves a file behind when it is unpickled."
    def __init__(self, trace): self.trace = trace
    def __reduce__(self): return open, (str(self.trace), "w")


def hostile(trace):
    "Ten files that run code when they are unpickled."
    yield from (pickle.dumps(Attack(trace), protocol=p) for p in range(pickle.HIGHEST_PROTOCOL + 1))
    yield pickle.dumps({"model": [Attack(trace)]})
    for legacy in (True, False):
        out = io.BytesIO()
        torch.save(Attack(trace), out, _use_new_zipfile_serialization=not legacy)
        yield out.getvalue()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z: z.writestr("archive/data.pkl", pickle.dumps(Attack(trace)))
    yield out.getvalue()


def test_hostile_pickles_are_not_run(victim, tmp_path):
    trace = tmp_path/"trace"
    pickle.loads(next(hostile(trace))).close()
    assert trace.exists() # the attack works
    trace.unlink()
    tried = 0
    for name in ("model.safetensors", "tokenizer.json", "voice.json", "originals.json"):
        good = (victim/name).read_bytes()
        for content in hostile(trace):
            (victim/name).write_bytes(content)
            write_checksums(victim, leave_out=("card.md", "log.csv"))
            assert str(victim) in refused(victim)
            tried += 1
        failed(run("predict", "x", home=tmp_path), 4)
        (victim/name).write_bytes(good)
    assert tried == 40 and not trace.exists()
