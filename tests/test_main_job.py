"The main job from end to end with the defaults: a part of the bundled sample, and Kaggle's tweets of Elon Musk."
import csv, json
from functools import partial

import pytest

from conftest import SAMPLE, run
from ulmtweet.cli import making
from ulmtweet.generation.generate import weighted_length


def bundle(folder):
    "Let the sample be that of another folder."
    making.ASSETS = folder


@pytest.mark.slow
def test_demo_trains_once_and_prints_ten_tweets(tmp_path):
    newest = SAMPLE.read_text(encoding="utf-8").splitlines()[:156]
    (tmp_path/SAMPLE.name).write_text("\n".join(newest), encoding="utf-8")
    demo = partial(run, "demo", home=tmp_path, first=partial(bundle, tmp_path))
    first = demo()
    assert first.returncode == 0, first.stderr
    tweets = [line.strip() for line in first.stdout.splitlines() if line.startswith("  Tesla will")]
    assert len(set(tweets)) == 10
    assert "streamlit run app.py" in first.stderr
    again = demo()
    assert ("already" in again.stderr
            and [line.strip() for line in again.stdout.splitlines() if line.startswith("  Tesla will")] == tweets)


@pytest.mark.slow
def test_kaggle_file_reaches_its_figure(data, tmp_path):
    done = run("train", data/"kaggle"/"data_elonmusk.csv", "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    meta = json.loads(done.stdout)
    assert meta["name"] == "elonmusk"
    assert meta["metrics"]["test"]["bits_per_character"] <= 2.2
    assert meta["counts"]["test"] == meta["metrics"]["test"]["tweets"] == 253
    assert meta["metrics"]["test"]["bits_per_character"] < meta["metrics"]["before"]["bits_per_character"]
    epochs = list(csv.DictReader((tmp_path/"voices"/"elonmusk"/"log.csv").open()))
    assert (len({row["sample"] for row in epochs}) > 1
            and float(epochs[-1]["bits_per_character"]) < float(epochs[0]["bits_per_character"]))
    prompts = {tuple(x["prompt"] for x in s["samples"]) for s in meta["stages"]}
    assert len(prompts) == 1 and len(prompts.pop()) == 3
    assert (tmp_path/"voices"/"elonmusk"/"lr_find.png").read_bytes().startswith(b"\x89PNG")
    predicted = json.loads(run("predict", "Tesla will", "--seed", 1, "--json", home=tmp_path).stdout)
    assert len(predicted) == 10 and all(weighted_length(t["text"]) <= 280 for t in predicted)
