"Trainings that are killed, stopped, or run out of disk, and voice folders that were damaged or made to attack."
import csv, gc, io, json, pickle, random, resource, shlex, shutil, signal, struct, subprocess, time, zipfile
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from conftest import SAMPLE, Started, failed, run
from kills import equal, kill_often, outcome
from ulmtweet.core import ModelError, StorageError, read_json, write_checksums
from ulmtweet.models.voice import Voice, training_folder
from ulmtweet.training.checkpoint import Checkpoint, checkpoint_files, load_checkpoint, save_checkpoint
from ulmtweet.training.train import NEWEST


@pytest.fixture(scope="module")
def train(few_tweets, tiny):
    "A command that trains in two seconds, stage by stage."
    return ["train", few_tweets, "--base", tiny, "--name", "small", "--lr", "5e-3", "--epochs", "3"]


@pytest.fixture(scope="module")
def straight(train, tmp_path_factory):
    "The voice that it makes if nothing happens."
    home = tmp_path_factory.mktemp("straight")
    done = run(*train, home=home)
    assert done.returncode == 0, done.stderr
    return home/"voices"/"small"


def contents(folder):
    "What is in a folder, when it was written, and nothing hidden beside it."
    assert [p.name for p in folder.parent.iterdir() if p.name.endswith((".tmp", ".old"))] == []
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}


def same_voice(a, b):
    return equal(outcome(a), outcome(b))


@pytest.mark.slow
def test_twenty_kills_lose_nothing(tiny, tmp_path):
    counts = kill_often(20, tmp_path, options=["--base", tiny])
    assert counts["lost"] == 0 and counts["inside_a_save"], counts


def stop_after_a_stage(command, home, sign):
    "Start a training and stop it as soon as its first stage is done; its exit code and what it said."
    process, work = Started(*command, "--home", home), training_folder("small", home)
    process.wait_for(lambda: (found := load_checkpoint(work)) and found.state["done"])
    code = process.end(sign)
    assert "Traceback" not in process.said and not (home/"voices"/"small").exists()
    return code, process.said


@pytest.mark.slow
def test_a_kill_between_two_stages(train, straight, tmp_path):
    code, _ = stop_after_a_stage(train, tmp_path, signal.SIGKILL)
    again = run(*train, home=tmp_path)
    assert code == -9 and "resuming at stage 2, epoch 1, batch 1\n" in again.stderr, again.stderr
    assert same_voice(straight, tmp_path/"voices"/"small")


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    "A training on all of the sample: its command, and the voice that came of it."
    home = tmp_path_factory.mktemp("whole")
    command = ["train", SAMPLE, "--base", tiny, "--name", "small", "--lr", "5e-3", "--epochs", "1"]
    assert run(*command, home=home).returncode == 0
    return command, home/"voices"/"small"


@pytest.mark.slow
@pytest.mark.parametrize("sign, code", [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_stop_while_the_newest_tweets_are_learnt(whole, tmp_path, sign, code):
    (command, straight), work = whole, training_folder("small", tmp_path)
    process = Started(*command, "--home", tmp_path)
    process.wait_for(lambda: (work/"status.json").exists() and read_json(work/"status.json")["state"] == NEWEST)
    assert process.end(sign) == code and ("to go on from here" in process.said) == (sign == signal.SIGINT)
    again = run(*command, home=tmp_path)
    assert "resuming at the newest tweets\n" in again.stderr, again.stderr
    assert same_voice(straight, tmp_path/"voices"/"small")


@pytest.mark.slow
def test_a_stopped_training_goes_on_by_the_command_that_it_prints(train, straight, tmp_path):
    voice = tmp_path/"voices"/"small"
    code, said = stop_after_a_stage(train, tmp_path, signal.SIGTERM)
    assert code == 143, said
    program, *args = shlex.split(said.partition("to go on from here: ")[2].splitlines()[0])
    assert program == "ulmtweet"
    process = Started(*args)
    process.wait_for(lambda: "resuming at stage 2" in process.said)
    assert process.end(signal.SIGINT) == 130
    again = run(*args)
    assert again.returncode == 0 and "resuming at stage 2" in again.stderr and same_voice(straight, voice), again.stderr
    before = contents(voice)
    third = run(*args)
    assert (third.returncode == 0 and "is finished; nothing is changed" in third.stderr
            and contents(voice) == before), third.stderr
    assert "--overwrite" in failed(run(*train, "--seed", 1, home=tmp_path), 2) and contents(voice) == before


@pytest.mark.slow
def test_a_second_training_waits_and_says_for_whom(train, few_tweets, tmp_path):
    first = Started("train", few_tweets, "--name", "other", "--epochs", 50, "--home", tmp_path)
    first.wait_for((tmp_path/"training.json").exists)
    second = Started(*train, "--home", tmp_path)
    said = second.wait_for(lambda: "waiting for" in second.said and second.said)
    assert f"the training of other (process {first.pid})" in said
    first.end(signal.SIGKILL) # a lock dies with its process
    second.wait_for(lambda: "last layer group" in second.said)
    assert second.end(signal.SIGTERM) == 143


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
def test_a_full_disk_keeps_the_last_checkpoint(train, straight, tmp_path):
    command, work = [*train, "--checkpoint-seconds", 0, "--home", tmp_path], training_folder("small", tmp_path)
    process = Started(*command)
    process.wait_for(lambda: len(checkpoint_files(work)) >= 2)
    process.end(signal.SIGKILL)
    for left in work.glob(".*.tmp"): left.unlink()
    kept = [p.read_bytes() for p in checkpoint_files(work)]
    full = run(*command, first=partial(limit, len(kept[0]) // 2))
    error = failed(full, 5)
    assert error.startswith("error: cannot write") and "free some space" in error
    assert [p.read_bytes() for p in checkpoint_files(work)] == kept and not list(work.glob(".*.tmp"))
    again = run(*train, home=tmp_path)
    assert again.returncode == 0 and "resuming at stage 1" in again.stderr, again.stderr
    assert same_voice(tmp_path/"voices"/"small", straight)


@contextmanager
def mounted(folder, options):
    "A file system in memory."
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True).returncode:
        pytest.skip("only root may mount a file system")
    try: yield folder
    finally: subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_an_update_that_was_cut_right_at_its_end(straight, tmp_path):
    voice, tweets = shutil.copytree(straight, tmp_path/"voices"/"small"), SAMPLE.read_text().splitlines()
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
    command = ["train", few_tweets, "--name", "small", "--lr", "5e-3", "--overwrite"]
    with mounted(tmp_path, "size=24m") as disk:
        shutil.copytree(home/"voices"/"small", disk/"voices"/"small")
        before = contents(disk/"voices"/"small")
        assert "free some space" in failed(run(*command, home=disk), 5)
        assert contents(disk/"voices"/"small") == before
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        refused = run(*command, "--seed", 1, home=disk)
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
    "Whether a voice folder is refused, within two seconds of work at the best of three times; and what was said."
    for _ in range(3):
        began = time.process_time()
        with pytest.raises(ModelError) as error: Voice.load(folder)
        if (seconds := time.process_time() - began) < 2: break
    assert seconds < 2
    return str(error.value)


@pytest.mark.slow
def test_a_damaged_voice_can_be_replaced(train, straight, tmp_path):
    victim = shutil.copytree(straight, tmp_path/"voices"/"small")
    (victim/"tokenizer.json").write_bytes((victim/"tokenizer.json").read_bytes() + b" ")
    assert "--overwrite puts a new one in its place" in failed(run(*train, home=tmp_path), 4)
    assert run(*train, "--overwrite", home=tmp_path).returncode == 0 and same_voice(straight, victim)


@pytest.mark.slow
def test_damage_is_noticed(straight, tmp_path):
    victim = shutil.copytree(straight, tmp_path/"voices"/"small")
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
