"Many people at once: whoever is killed, stopped, or out of disk, nothing is lost, and the voices are the same bits."
import json, os, random, resource, signal, socket, subprocess, time
from pathlib import Path

import pytest

from conftest import PROGRAM, SAMPLE, Started, failed, forked, free_ports, run
from kills import equal, outcome
from test_training import limit
from ulmtweet.core import ASSETS, UsageError, read_json, sha256_file
from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.sources import read_tweets
from ulmtweet.generation.engine import Sampling
from ulmtweet.generation.shards import records, write_shards
from ulmtweet.models.voice import Voice
from ulmtweet.training.fleet import WORK, Plan, train_fleet
from ulmtweet.training.learner import Recipe
from ulmtweet.training.train import TRAINING
from ulmtweet.training.update import update_voice
from ulmtweet.workers import Local, OnRay, outcome_of


class Here:
    "A place for tasks in this process; one of them may find the disk full."
    retries, has_room = 0, True
    def __init__(self, poor=None): self.poor, self.ended = poor, []

    @property
    def running(self): return [name for name, _ in self.ended]

    def start(self, name, work, args):
        if name == self.poor: limit(10_000)
        try: self.ended.append((name, outcome_of(work, args)))
        finally: limit(-1)

    def ready(self, seconds): return [self.ended.pop(0)]

    def stop(self): pass


@pytest.fixture(scope="module")
def crowd(tmp_path_factory, tiny):
    "A folder with 50 people of 70 tweets each, and the tiny base."
    folder, sample = tmp_path_factory.mktemp("crowd"), read_tweets(SAMPLE)
    (folder/"tiny").symlink_to(tiny)
    for i in range(50): sample[7 * i:7 * i + 70].to_csv(folder/f"p{i:03}.csv", index=False)
    return folder


def people(crowd, n): return [str(crowd/f"p{i:03}.csv") for i in range(n)]


def plan(crowd, epochs=2, **choices): return Plan(str(crowd/"tiny"), recipe=Recipe(lr=1e-2, epochs=epochs), **choices)


@pytest.fixture(scope="module")
def straight(crowd, tmp_path_factory):
    "The voices of four people, made one after the other."
    folder = tmp_path_factory.mktemp("straight")
    train_fleet(people(crowd, 4), folder, plan(crowd), place=Here)
    return folder


def same(folder, straight, names):
    "Whether all voices are there, with the same bytes and the same measures."
    for name in names:
        a, b = folder/"voices"/name, straight/"voices"/name
        for file in ("model.safetensors", "tokenizer.json", "originals.json"):
            assert (a/file).read_bytes() == (b/file).read_bytes(), (name, file)
        assert equal(outcome(a), outcome(b)), name
    left = [p.name for p in (*folder.iterdir(), *(folder/"voices").iterdir()) if p.name.startswith(".")]
    return not left or left


def names(n): return [f"p{i:03}" for i in range(n)]


def stamps(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"}


def test_a_broken_file_and_too_few_tweets_among_good_ones(crowd, straight, tmp_path):
    (tmp_path/"broken.json").write_text('[{"text": ')
    (tmp_path/"few.txt").write_text("One.\nTwo.\n")
    sources = [*people(crowd, 2), *(str(tmp_path/name) for name in ("broken.json", "few.txt", "missing.csv"))]
    rows = {row["name"]: row for row in train_fleet(sources, tmp_path/"out", plan(crowd), place=Here)}
    assert [rows[n]["state"] for n in ("p000", "p001", "broken", "few", "missing")] == [
        "finished", "finished", "left out", "left out", "left out"]
    assert "at least 50" in rows["few"]["reason"] and "cut off" in rows["broken"]["reason"]
    assert same(tmp_path/"out", straight, names(2)) is True
    before = stamps(tmp_path/"out")
    assert [*train_fleet(sources, tmp_path/"out", plan(crowd), place=Here)] == [*rows.values()]
    assert stamps(tmp_path/"out") == before


def cut(status):
    if status["state"] == TRAINING and status["fraction"] > 0.4: raise KeyboardInterrupt


def test_an_updated_voice_stays_in_its_fleet(crowd, tmp_path):
    ask = [people(crowd, 2), tmp_path, plan(crowd, 1)]
    train_fleet(*ask, place=Here)
    folder, tweets = tmp_path/"voices"/"p000", clean_tweets(read_tweets(SAMPLE))[0].text[:60].tolist()
    learns = dict(folder=folder, recipe=Recipe(lr=1e-2, epochs=1), home=tmp_path)
    with pytest.raises(KeyboardInterrupt): update_voice(tweets[:50], progress=cut, **learns)
    with pytest.raises(UsageError, match="unfinished.*--overwrite to throw it away$"): update_voice(tweets, **learns)
    updated = update_voice(tweets[:50], **learns)
    assert [row["state"] for row in train_fleet(*ask, place=Here)] == ["finished"] * 2
    assert Voice.load(folder).originals == updated.originals and set(tweets[:30]) <= set(updated.originals)


@pytest.mark.slow
def test_a_full_disk_in_one_task_leaves_the_others(crowd, straight, tmp_path):
    rows = train_fleet(people(crowd, 3), tmp_path, plan(crowd), place=lambda: Here("p001"))
    assert [r["state"] for r in rows] == ["finished", "failed", "finished"]
    assert "free some space" in rows[1]["reason"] and rows[1]["exit_code"] == 5
    assert read_json(tmp_path/"fleet.json")["people"][1]["state"] == "failed"
    train_fleet(people(crowd, 3), tmp_path, plan(crowd), place=Here)
    assert same(tmp_path, straight, names(3)) is True


class Deadly(Local):
    "Workers of whom one is killed now and then."
    def __init__(self, kills):
        super().__init__(2, retries=100, context=forked())
        self.kills, self.rng, self.killed = kills, random.Random(0), set()

    def ready(self, seconds):
        found = super().ready(self.rng.uniform(0, 0.3))
        busy = [w.process.pid for w in self.pool if w.task is not None]
        if busy and len(self.killed) < self.kills:
            self.killed.add(victim := self.rng.choice(busy))
            os.kill(victim, signal.SIGKILL)
        return found


@pytest.mark.slow
def test_twenty_kills_of_workers(crowd, straight, tmp_path):
    place = Deadly(20)
    rows = train_fleet(people(crowd, 4), tmp_path, plan(crowd, checkpoint_seconds=0), place=lambda: place)
    assert len(place.killed) == 20 and {r["state"] for r in rows} == {"finished"}
    assert same(tmp_path, straight, names(4)) is True


@pytest.mark.slow
def test_shards_are_the_same_whoever_is_killed(tmp_path):
    ask = dict(n=600, shards=6, prompts=["I", "The van"], sampling=Sampling(max_tokens=20), seed=5)
    for folder in ("one", "many"): (tmp_path/folder).mkdir()
    place = Deadly(6)
    one = write_shards(ASSETS/"en", tmp_path/"one"/"t.jsonl", place=Here, **ask)
    many = write_shards(ASSETS/"en", tmp_path/"many"/"t.jsonl", place=lambda: place, **ask)
    assert len(place.killed) == 6 and one == many and [p.name for p in (tmp_path/"many").glob(".*")] == []
    for row in one["shards"]:
        a, b = ((tmp_path/folder/row["file"]).read_bytes() for folder in ("one", "many"))
        assert a == b and sha256_file(tmp_path/"one"/row["file"]) == row["sha256"]
    texts = [t.casefold() for s in one["shards"] for i, (t, _) in enumerate(records(tmp_path/"one"/s["file"])) if i]
    assert len(texts) == len(set(texts)) == sum(s["tweets"] for s in one["shards"])


def listens(port):
    try: return socket.create_connection(("127.0.0.1", port)).close() is None
    except OSError: return False


def processes_of(pid):
    "The processes that a process has begun."
    try: return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError: return []


def is_alive(pid):
    try: return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError: return False


def waits(condition, seconds=300):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition(): return True
        time.sleep(0.02)
    return False


@pytest.mark.slow
def test_five_kills_of_the_command_and_two_stops(crowd, straight, tmp_path):
    rng, out = random.Random(1), tmp_path/"out"
    command = ["fleet", *people(crowd, 4), "--out", str(out), "--base", str(crowd/"tiny"), "--lr", "0.01", "--epochs",
               "2", "--checkpoint-seconds", "0", "--workers", "2"]
    for sign, code in [*[(signal.SIGKILL, -9)] * 5, (signal.SIGTERM, 143), (signal.SIGINT, 130)]:
        finished = len(list(out.glob("voices/[!.]*")))
        begun, process = time.time(), Started(*command)
        fresh = lambda: [p for p in (out/WORK).glob("*.status") if p.stat().st_mtime > begun]
        assert waits(lambda: not process.alive or fresh())
        time.sleep(rng.uniform(0, 0.2))
        workers = processes_of(process.pid)
        ended = process.end(sign)
        if ended == 0: break # it was quicker
        assert ended == code and "Traceback" not in process.said, process.said
        assert ("to go on from here" in process.said) == (code > 0)
        assert waits(lambda: not any(map(is_alive, workers))), "workers outlive their command"
        assert len(list(out.glob("voices/[!.]*"))) >= finished
    done = run(*command)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert same(out, straight, names(4)) is True
    before = stamps(out)
    again = run(*command, "--json")
    assert again.returncode == 0 and len(json.loads(again.stdout)) == 4 and stamps(out) == before
    assert "--overwrite" in failed(run(*command, "--seed", 1), 2) and stamps(out) == before


@pytest.mark.slow
def test_fifty_people_need_no_more_than_ten(crowd, tmp_path):
    seen = {}
    def look(status):
        n = sum(r["state"] == "finished" for r in status["rows"])
        memory = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        if n: seen[n] = memory, len(os.listdir("/proc/self/fd"))
    quickly = Plan(str(crowd/"tiny"), recipe=Recipe(lr=1e-2, epochs=1, all_at_once=True))
    train_fleet(people(crowd, 50), tmp_path, quickly, place=lambda: Local(2, context=forked()), progress=look)
    early, late = seen[min(n for n in seen if n >= 10)], seen[50]
    assert late[0] < 1.05 * early[0] and late[0] - early[0] < 20_000_000 and late[1] <= early[1], (early, late)
    print(f"driver at {min(n for n in seen if n >= 10)} people {early}, at 50 {late}")


@pytest.mark.slow
def test_a_machine_is_lost(crowd, straight, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_worker_niceness", "0") # by default Ray's workers wait for all other tests
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster
    small, gone = dict(num_cpus=1, object_store_memory=80_000_000), []
    cluster = Cluster(initialize_head=True, head_node_args=small | dict(include_dashboard=False))
    try:
        second = cluster.add_node(**small)
        ray.init(cluster.address, log_to_driver=False)
        def lose(status):
            if not gone and sum(0 < r["fraction"] < 1 for r in status["rows"]) > 1:
                gone.append(cluster.remove_node(second, allow_graceful=False))
        lasting = plan(crowd, checkpoint_seconds=0)
        rows = train_fleet(people(crowd, 4), tmp_path, lasting, place=lambda: OnRay("auto", 2), progress=lose)
        assert gone and {r["state"] for r in rows} == {"finished"}
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert same(tmp_path, straight, names(4)) is True


@pytest.mark.slow
def test_a_ray_that_somebody_else_has_begun(crowd, straight, tmp_path):
    "By its address, with the token that lies where `ray start` keeps it."
    pytest.importorskip("ray")
    port, client = free_ports(2)
    (tmp_path/".ray").mkdir()
    (tmp_path/".ray"/"auth_token").write_text("7" * 64)
    env = dict(HOME=str(tmp_path), RAY_worker_niceness="0", RAY_USAGE_STATS_ENABLED="0")
    head = subprocess.Popen([
        PROGRAM.with_name("ray"), "start", "--head", "--block", "--include-dashboard=false", "--num-cpus", "2",
        "--object-store-memory", "80000000", "--node-ip-address", "127.0.0.1", "--port", str(port),
        "--ray-client-server-port", str(client)],
        # a busy machine needs more than Ray's half minute to begin a client's server, and what gRPC does
        # after a fork, which is only for those who don't call `exec`, can crash that server's beginning
        env=os.environ | env | dict(RAY_AUTH_MODE="token", RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S="300",
                                    GRPC_ENABLE_FORK_SUPPORT="0"),
        stdout=subprocess.DEVNULL)
    try:
        assert waits(lambda: head.poll() is not None or listens(client)) and head.poll() is None
        done = run("fleet", *people(crowd, 2), "--base", crowd/"tiny", "--lr", "0.01", "--epochs", "2",
                   "--ray", f"ray://127.0.0.1:{client}", "--out", tmp_path/"out", env=env)
        assert done.returncode == 0 and same(tmp_path/"out", straight, names(2)) is True, done.stderr
    finally:
        head.terminate()
        head.wait(60)
