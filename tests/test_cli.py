"The commands as a person runs them: real processes, real exit codes."
import json, math, os, shutil, subprocess
from collections import Counter

import pytest

from conftest import PROGRAM, SAMPLE, failed, run
from kills import tiny_base
from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.sources import read_tweets
from ulmtweet.data.split import split_by_time
from ulmtweet.generation.generate import weighted_length


def test_predict_as_json(home):
    done = run("predict", "Tesla will", "-n", 10, "--seed", 3, "--json", home=home)
    tweets = json.loads(done.stdout)
    assert done.returncode == 0 and len(tweets) == 10
    assert all(t.keys() == {"text", "log_probability", "copied"} for t in tweets)
    assert all(t["text"].startswith("Tesla will") and weighted_length(t["text"]) <= 280 for t in tweets)
    assert len({t["text"] for t in tweets}) == 10
    scores = [t["log_probability"] for t in tweets]
    assert sum(scores[:5]) > sum(scores[5:]) and max(scores) < 0
    assert run("predict", "Tesla will", "--seed", 3, "--json", home=home).stdout == done.stdout
    assert run("predict", "Tesla will", "--seed", 4, "--json", home=home).stdout != done.stdout


def test_prompt_from_standard_input_or_none(home):
    typed = run("predict", "The van", "-n", 3, "--seed", 1, home=home).stdout
    assert len(typed.splitlines()) == 3
    assert run("predict", "-n", 3, "--seed", 1, home=home, stdin="The van\n").stdout == typed
    assert run("predict", "-", "-n", 3, "--seed", 1, home=home, stdin="The van").stdout == typed
    assert len(run("predict", "", "-n", 3, home=home).stdout.splitlines()) == 3
    closed = subprocess.run(f"{PROGRAM} predict -n 3 <&-", shell=True, capture_output=True, text=True,
                            env={**os.environ, "ULMTWEET_HOME": str(home)})
    assert len(closed.stdout.splitlines()) == 3 and "Traceback" not in closed.stderr


def test_settings_change_what_comes_out(home):
    ask = lambda *options: [t["text"] for t in json.loads(
        run("predict", "I", "-n", 8, "--seed", 1, "--json", *options, home=home).stdout)]
    assert len(ask("--temperature", 0)) == 1 and ask("--temperature", 0) == ask("--top-k", 1)
    assert set(ask("--top-p", 0.3)) != set(ask("--temperature", 1.5, "--top-k", 0, "--top-p", 1))


def test_no_voice_points_to_demo(tmp_path):
    assert "ulmtweet demo" in failed(run("predict", "Tesla will", home=tmp_path), 4)


def test_the_demo_leaves_a_voice_of_that_name_alone(tiny, tmp_path):
    (tmp_path/"mine.txt").write_text("\n".join(f"My day number {i} was a fine one" for i in range(90)) + "\nYes\nNo")
    train = ["train", tmp_path/"mine.txt", "--name", "juno", "--base", tiny, "--epochs", 1, "--lr", "1e-2"]
    done = run(*train, home=tmp_path)
    assert done.returncode == 0, done.stderr
    for again in ([], ["--overwrite"]):
        assert "not made from the sample" in failed(run("demo", *again, home=tmp_path), 2)
    assert "My day" in (tmp_path/"voices"/"juno"/"originals.json").read_text()


def test_voices_and_info(home):
    listed = json.loads(run("voices", "--json", home=home).stdout)
    assert [v["name"] for v in listed] == ["small"]
    info = json.loads(run("info", "small", "--json", home=home).stdout)
    assert info["metrics"]["test"].keys() == {"bits_per_character", "perplexity_per_token", "tweets", "characters"}
    assert info["metrics"]["test"]["bits_per_character"] < info["metrics"]["before"]["bits_per_character"]
    assert [s["name"] for s in info["stages"]] == ["last layer group", "last 2 layer groups", "all layers"]
    assert (all(len(s["samples"]) == 3 for s in info["stages"])
            and len({tuple(x["prompt"] for x in s["samples"]) for s in info["stages"]}) == 1)
    assert info["stages"][-1]["bits_per_character"] < info["stages"][0]["bits_per_character"]
    assert "bits per character" in run("info", home=home).stdout


def test_voice_folder_has_only_safe_files(home):
    names = {p.name for p in (home/"voices"/"small").iterdir()}
    assert names == {"model.safetensors", "tokenizer.json", "voice.json", "SHA256SUMS", "log.csv",
                     "card.md", "originals.json"}
    assert subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=home/"voices"/"small").returncode == 0


def test_one_changed_byte_anywhere_is_noticed(home, tmp_path):
    for name in ("model.safetensors", "tokenizer.json", "voice.json", "originals.json", "SHA256SUMS"):
        folder = tmp_path/name.replace(".", "")
        shutil.copytree(home/"voices"/"small", folder)
        raw = bytearray((folder/name).read_bytes())
        raw[len(raw) // 2] ^= 1
        (folder/name).write_bytes(raw)
        failed(run("predict", "x", "--voice", folder, home=home), 4)


def test_every_command_has_an_example():
    for command in ("demo", "train", "update", "predict", "stories", "voices", "info",
                    "report", "compare", "lr-find", "data", "pretrain"):
        done = run(command, "--help")
        assert done.returncode == 0 and f"Example: ulmtweet {command}" in done.stdout


BAD = {
    "missing": (None, "no file"),
    "empty": (b"", "empty"),
    "columns": (b"length,width\n1,2\n3,4\n5,6\n", "length, width"),
    "binary": (bytes(range(256)) * 20, "binary"),
    "retweets": (b"text\n" + b"".join(b"RT @a: tweet number %d\n" % i for i in range(99)), "99 retweet"),
    "ten": (b"text\n" + b"".join(b"this is tweet number %d\n" % i for i in range(10)), "10 tweets"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files(kind, tmp_path):
    content, says = BAD[kind]
    path = tmp_path/f"{kind}.csv"
    if content is not None:
        path.write_bytes(content)
    assert says in failed(run("train", path, home=tmp_path/"home"), 3)
    assert not (tmp_path/"home"/"voices").exists()


def test_bad_options(home, few_tweets, tmp_path):
    assert "small" in failed(run("predict", "x", "--voice", "nobody", home=home), 4)
    assert "--overwrite" in failed(run("train", few_tweets, "--name", "small", home=home), 2)
    place = ["--out", home/"voices"/"small", "--overwrite"] # which is no base
    assert "choose another --out" in failed(run("pretrain", few_tweets, *place, home=home), 2)
    assert "letters" in failed(run("train", few_tweets, "--name", "../small", home=home), 2)
    assert "embedded" in failed(run("train", few_tweets, "--name", "b", "--base", "klingon", home=home), 4)
    assert "--base none" in failed(run("train", few_tweets, "--name", "b", "--tokens", "char", home=home), 2)
    assert "temperature" in failed(run("predict", "x", "--temperature", -1, home=home), 2)
    assert run("predict", "x", "--no-such-option", home=home).returncode == 2


def test_unwritable_output(few_tweets, tmp_path):
    (tmp_path/"file").write_text("in the way")
    assert "writable" in failed(run("train", few_tweets, "--name", "a", "--lr", "5e-3", home=tmp_path/"file"), 5)


def test_data_report(few_tweets):
    done = run("data", few_tweets, "--no-replies", "--json")
    report = json.loads(done.stdout)
    assert report["read"] == report["kept"] + sum(report["dropped"].values()) and report["dropped"]["reply"] > 10
    assert "Read" in run("data", few_tweets).stdout


def character_frequency_bits(split):
    "Bits per character on the test tweets of a model that knows only how frequent characters are."
    counts = Counter("\0".join(split.train) + "\0")
    total = sum(counts.values()) + 1000
    text = "\0".join(split.test) + "\0"
    return -sum(math.log2((counts[c] + 1) / total) for c in text) / len(text)


def test_options_of_transformers(home, few_tweets, tmp_path):
    train = lambda *options: failed(run("train", few_tweets, "--name", "b", *options, home=home), 2)
    assert "--base smollm2" in train("--full")
    assert "huggingtweets" in train("--base", "smollm2", "--recipe", "mine")
    pretrain = run("pretrain", few_tweets, "--base", "smollm2", "--out", tmp_path/"b", home=home)
    assert "transformer" in failed(pretrain, 2)
    # a Python without the extra
    (tmp_path/"sitecustomize.py").write_text("import sys; sys.modules['peft'] = None")
    done = run("train", few_tweets, "--name", "b", "--base", "smollm2", home=home, env=dict(PYTHONPATH=str(tmp_path)))
    assert "pip install 'ulmtweet[transformers]'" in failed(done, 2)


@pytest.fixture(scope="module")
def transformers_home(tmp_path_factory, few_tweets):
    "A home folder with two voices of a tiny transformer, corrections to it and a whole one; and the base's folder."
    home = tmp_path_factory.mktemp("transformers")
    base = tiny_base(home/"tiny", read_tweets(SAMPLE).text[:300].tolist())
    (base/"README.md").write_text("---\nlicense: mit\n---\n")
    train = ["train", few_tweets, "--base", f"hf:{base}", "--lr", "3e-3", "--epochs", 1]
    for name, options in dict(corrected=[], whole=["--merge"]).items():
        done = run(*train, "--name", name, *options, home=home)
        assert done.returncode == 0, done.stderr
    return home, base


def test_what_a_transformer_voice_is_made_of(transformers_home):
    home, base = transformers_home
    listed = run("voices", home=home).stdout
    assert listed.count(" tiny (licence: mit)") == 2
    says = {name: run("info", name, home=home).stdout for name in ("corrected", "whole")}
    assert all("network: transformer (llama, 3 blocks)" in said for said in says.values())
    assert "learnt: corrections of rank" in says["corrected"] and "needs its base" in says["corrected"]
    assert "merged" in says["whole"] and "needs its base" not in says["whole"]
    cards = {name: (home/"voices"/name/"card.md").read_text() for name in says}
    assert all("transformer (llama" in card and "read the web" in card for card in cards.values())
    assert f"needs its base: hf:{base}, " in says["corrected"] # others needn't know where it lies
    assert str(base) not in "".join([listed, *cards.values()])
    assert "It needs its base" in cards["corrected"] and "It needs its base" not in cards["whole"]
    metas = [json.loads((home/"voices"/name/"voice.json").read_text()) for name in says]
    before, after = ([meta["metrics"][k]["bits_per_character"] for meta in metas] for k in ("before", "test"))
    assert before[0] == before[1] > after[0] and math.isclose(*after, rel_tol=1e-3)
    assert metas[0]["learnt"] == metas[1]["learnt"] and "lora" not in metas[1]["architecture"]


def test_a_merged_voice_writes_without_its_base(transformers_home):
    home, base = transformers_home
    base.rename(base.with_name("away"))
    try:
        assert run("predict", "The", "-n", 1, "--voice", "whole", home=home).returncode == 0
        assert "tiny" in failed(run("predict", "The", "--voice", "corrected", home=home), 4)
    finally:
        base.with_name("away").rename(base)


@pytest.mark.slow
def test_character_model_from_scratch(few_tweets, tmp_path):
    done = run("train", few_tweets, "--name", "c", "--base", "none", "--tokens", "char",
               "--lr", "1e-2", "--epochs", "5", "--json", home=tmp_path)
    meta = json.loads(done.stdout)
    split = split_by_time(clean_tweets(read_tweets(few_tweets))[0].text)
    assert (meta["tokens"] == "char"
            and meta["metrics"]["test"]["bits_per_character"] < character_frequency_bits(split) - 0.2)
    assert [s["name"] for s in meta["stages"]] == ["from scratch"]
    assert all(t.startswith("The")
               for t in run("predict", "The ", "-n", 2, "--seed", 1, home=tmp_path).stdout.splitlines())
    assert any(t[0].isalpha() for t in run("predict", "", "-n", 10, "--seed", 1, home=tmp_path).stdout.splitlines())


@pytest.mark.slow
def test_report_of_a_transformer(transformers_home):
    home, _ = transformers_home
    done = run("report", "corrected", "--quick", home=home)
    assert done.returncode == 0 and "read the web" in done.stdout, done.stderr
    folder = home/"voices"/"corrected"
    assert "read the web" in (folder/"report.html").read_text() and "scratch" not in done.stdout
    said = run("compare", "corrected", "whole", home=home)
    assert "read the web" in said.stderr and "recognised" in said.stdout


@pytest.mark.slow
def test_lr_find(few_tweets, tmp_path):
    done = run("lr-find", few_tweets, "--out", tmp_path/"rates.png", "--json", home=tmp_path)
    found = json.loads(done.stdout)
    assert 1e-4 < found["valley"] < 1 and 1e-3 <= found["learning_rate"] <= 1e-2
    assert (tmp_path/"rates.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path/"notes.png").write_text("mine")
    for name, says in [("notes.png", "no plot"), ("tweets.csv", "end it in .png"), ("no/rates.png", "no folder")]:
        assert says in failed(run("lr-find", few_tweets, "--out", tmp_path/name, home=tmp_path), 5 if "/" in name else 2)
