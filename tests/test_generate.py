"Generating: the same tweets whatever the batch, files that survive being killed, and the options that look inside."
import copy, csv, json, random, signal, time

import pytest
import torch

from conftest import Started, failed, run
from ulmtweet.generation.engine import Request, Sampling, rules_of, sample_ids, tweet_uniforms
from ulmtweet.models.bases import load_base
from ulmtweet.models.tokens import EOT_ID


@pytest.mark.slow
def test_tweets_are_the_same_in_batches_of_1_7_and_512():
    # rounding is that of 32-bit sums; every edge between two tokens' shares of the probability may be off by it
    en, rounding = load_base("en"), 1e-6
    exact, rules = copy.deepcopy(en.model).double(), rules_of(en.tokenizer)
    prompts = [en.tokenizer.encode(p) for p in ("Tesla will", "", "In the year 1900")]
    ask = lambda bs, n: {i: ids for i, ids, _ in sample_ids(
        en.model, (Request(i, prompts[i % 3]) for i in range(n)), Sampling(max_tokens=60), 11, bs, rules)}
    one, seven, many = ask(1, 150), ask(7, 200), ask(512, 600)
    assert (len(one), len(seven), len(many)) == (150, 200, 600)
    flips = [(i, ids, a[i]) for a, b in ((one, seven), (one, many), (seven, many)) for i, ids in b.items()
             if i in a and ids != a[i]]
    print(f"{len({i for i, _, _ in flips})} of 600 tweets differ")
    # wherever they part, the random number falls on the edge between the two tokens, by 64-bit arithmetic
    for i, ids, others in flips:
        at = next(k for k, (a, b) in enumerate(zip(ids, others)) if a != b)
        with torch.no_grad():
            scores = exact.logits(exact.read(torch.tensor([[EOT_ID, *prompts[i % 3], *ids[:at]]]))[0][0, -1])
        if not at: scores[rules.inner], scores[EOT_ID] = -torch.inf, -torch.inf
        right_edge = scores.softmax(-1).cumsum(-1)
        low, high = sorted((ids[at], others[at]))
        edges = right_edge[low:high] - tweet_uniforms(11, i, 60)[at, 0]
        assert edges.abs().max() < rounding, (i, at, low, high)


@pytest.mark.slow
def test_a_killed_file_goes_on_without_a_repeat_or_a_gap(home, tmp_path):
    ask = ["generate", "-n", 1500, "--seed", "5", "--prompt", "I", "--prompt", "The van",
           "--invent", "--max-copied", "1"]
    whole = run(*ask, "--out", tmp_path/"whole.jsonl", home=home)
    assert whole.returncode == 0, whole.stderr
    rng = random.Random(2)
    for sign in (signal.SIGKILL, signal.SIGKILL, signal.SIGINT):
        part = tmp_path/".parts.jsonl.part"
        size = part.stat().st_size if part.exists() else 0
        process = Started(*ask, "--out", tmp_path/"parts.jsonl", "--home", home)
        process.wait_for(lambda: part.exists() and part.stat().st_size > size + 5000)
        time.sleep(0.2 * rng.random())
        assert process.end(sign) == (-9 if sign == signal.SIGKILL else 130), process.said
    assert not list(tmp_path.glob("parts*"))
    went_on = run(*ask, "--out", tmp_path/"parts.jsonl", "--json", home=home)
    assert went_on.returncode == 0, went_on.stderr
    assert (tmp_path/"parts.jsonl").read_bytes() == (tmp_path/"whole.jsonl").read_bytes()
    assert (json.loads(went_on.stdout)["tweets"] == 1500
            and sorted(p.name for p in tmp_path.iterdir()) == ["parts.jsonl", "whole.jsonl"])
    rows = [json.loads(line) for line in (tmp_path/"parts.jsonl").read_text().splitlines()]
    assert rows[0]["generated"] and rows[0]["seed"] == 5 and len({r["text"].casefold() for r in rows[1:]}) == 1500
    assert "there already" in failed(run(*ask, "--out", tmp_path/"parts.jsonl", home=home), 2)


def test_prompt_file_and_csv(home, tmp_path):
    (tmp_path/"prompts.txt").write_text("@nasa I\n\nThe van\n")
    done = run("generate", "-n", 40, "--prompts", tmp_path/"prompts.txt", "--mask-handles",
               "--avoid", "the moon", "--avoid", "is", "--max-length", 100, "--out", tmp_path/"t.csv", home=home)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(open(tmp_path/"t.csv", newline="")))
    assert len(rows) == 40 and {r["generated"] for r in rows} == {"True"}
    assert all(r["text"].startswith(("'@user I", "The van")) and len(r["text"]) <= 101 and " is " not in r["text"]
               for r in rows)
    assert "none.txt" in failed(run("generate", "--prompts", tmp_path/"none.txt",
                                    "--out", tmp_path/"u.csv", home=home), 2)
    (tmp_path/"empty.txt").write_text("\n")
    assert "no prompts" in failed(run("generate", "--prompts", tmp_path/"empty.txt",
                                      "--out", tmp_path/"u.csv", home=home), 2)
    assert ".jsonl" in failed(run("generate", "--out", tmp_path/"u.pdf", home=home), 2)
    assert "no folder" in failed(run("generate", "--out", tmp_path/"nowhere"/"u.txt", home=home), 5)


def test_a_look_inside(home):
    words = json.loads(run("predict", "The van", "--words", "-n", 5, "--json", home=home).stdout)
    for ignored in (["--stream"], ["--explain"], ["--temperature", 0.1], ["--topic", "time"]):
        assert "--words" in failed(run("predict", "The van", "--words", *ignored, home=home), 2)
    assert len(words) == 5 and [w["probability"] for w in words] == sorted(
        (w["probability"] for w in words), reverse=True)
    tweet = json.loads(run("predict", "The van", "-n", 1, "--seed", 1, "--explain", "--json", home=home).stdout)[0]
    assert "".join(p["piece"] for p in tweet["pieces"]).strip() == tweet["text"]
    assert all(0 < p["probability"] <= 1 and len(p["alternatives"]) == 3 for p in tweet["pieces"])
    assert "rather" in run("predict", "The van", "-n", 1, "--seed", 1, "--explain", home=home).stdout
    assert len(run("predict", "The van", "-n", 5, "--stream", "--seed", 1, home=home).stdout.splitlines()) == 5


def test_blend_and_viable(home, tmp_path):
    alone, blended = (run("predict", "The van", "-n", 3, "--seed", 1, *o, home=home)
                      for o in ((), ("--blend", "small:0.5")))
    assert blended.stdout == alone.stdout # with itself
    assert "juno:0.3" in failed(run("predict", "--blend", "small", home=home), 2)
    assert "share" in failed(run("predict", "--blend", "small:2", home=home), 2)
    assert "ulmtweet report" in failed(run("predict", "--viable", home=home), 2)
