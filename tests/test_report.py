"Judging a voice, as a person does it: the commands, and the page that they write, in a real browser."
import json, math, shutil, subprocess

import pytest

from conftest import SAMPLE, failed, loaded_by, run
from browser import browser_page, shoot
from ulmtweet.core import read_json, sha256_file, write_checksums, write_json
from ulmtweet.evaluation.report import check_unseen, save_report
from ulmtweet.models.voice import EDITABLE, Voice


@pytest.fixture(scope="module")
def judged(home, tmp_path_factory):
    "What `ulmtweet report` prints about a copy of the small voice, and that copy's home."
    copy = tmp_path_factory.mktemp("judged")
    shutil.copytree(home, copy, dirs_exist_ok=True)
    done = run("report", "small", "--quick", "--json", home=copy)
    assert done.returncode == 0, done.stderr
    assert "Telling real from generated" in done.stderr and "left" in done.stderr
    return json.loads(done.stdout), copy


def test_report_says_what_the_voice_says(judged):
    report, home = judged
    folder = home/"voices"/"small"
    assert json.loads((folder/"report.json").read_text()) == {k: v for k, v in report.items() if k != "page"}
    meta = json.loads((folder/"voice.json").read_text())
    assert math.isclose(report["bits_per_character"]["voice"],
                        meta["metrics"]["test"]["bits_per_character"], rel_tol=1e-4)
    assert math.isclose(report["bits_per_character"]["base"],
                        meta["metrics"]["before"]["bits_per_character"], rel_tol=1e-4)
    bits = report["bits_per_character"]
    assert bits["uniform"] > bits["unigram"] > bits["kneser_ney_tokens"] > bits["voice"]
    for row in report["real_or_generated"].values():
        assert (row["interval"][0] <= row["accuracy"] <= row["interval"][1]
                and 0.4 < row["accuracy"] <= 1 and 0.3 < row["auc"] <= 1)
    originals = json.loads((folder/"originals.json").read_text())
    assert len(originals["days"]) == sum(len(originals[k]) for k in ("tweets", "valid", "test")) and report["months"]
    assert {row["tweets"] for row in report["real_or_generated"].values()} == {2 * len(originals["test"])}
    written = {row["generated"] for row in report["beside"]}
    assert written and not written & set(originals["test"])


@pytest.mark.slow
def test_a_voice_that_has_not_learnt_the_newest_tweets(few_tweets, tiny, tmp_path):
    "As voices were made before: their validation tweets are new to them, and stay so in an update."
    train, folder = ["train", few_tweets, "--base", tiny, "--name", "small", "--lr", "5e-3"], tmp_path/"voices"/"small"
    assert run(*train, "--epochs", 1, home=tmp_path).returncode == 0
    write_json(folder/"voice.json", {k: v for k, v in read_json(folder/"voice.json").items() if k != "newest"})
    write_checksums(folder, leave_out=EDITABLE)
    before = read_json(folder/"originals.json")
    report = json.loads(run("report", "small", "--quick", "--json", home=tmp_path).stdout)
    pile = {row["tweets"] for row in report["real_or_generated"].values()}
    assert pile == {2 * len(before["valid"] + before["test"])} and not report["voice"]["newest"]
    assert "newest tweets  " not in run("info", "small", home=tmp_path).stdout
    newer = tmp_path/"newer.csv"
    newer.write_text("\n".join(SAMPLE.read_text(encoding="utf-8").splitlines()[:400]) + "\n", encoding="utf-8")
    done = run("update", newer, "--voice", "small", "--lr", "2e-3", "--epochs", 1, home=tmp_path)
    after, voice = read_json(folder/"originals.json"), Voice.load(folder)
    assert done.returncode == 0 and after["earlier_valid"] == before["valid"], done.stderr
    assert after["tweets"][:len(before["tweets"])] == before["tweets"] and after["earlier"] == before["test"]
    assert set(before["valid"] + after["valid"]) <= set(voice.learnt) and len(after["test"]) < 10
    assert voice.unseen == before["test"] + after["test"] and not {*voice.unseen} & {*voice.learnt}
    check_unseen(voice) # those of the update alone are too few
    save_report(report | dict(made=report["made"] | dict(weights=voice.sha256)), folder/"report.html", voice)
    assert read_json(folder/"report.json")["judge"] == sha256_file(folder/"judge.safetensors")
    newer.write_text("\n".join(SAMPLE.read_text(encoding="utf-8").splitlines()[:500]) + "\n", encoding="utf-8")
    done = run("update", newer, "--voice", "small", "--lr", "2e-3", "--epochs", 1, home=tmp_path)
    again = read_json(folder/"originals.json")
    assert again["tweets"][:len(voice.learnt)] == voice.learnt and again["earlier_valid"] == [], done.stderr
    assert len(again["days"]) == sum(len(again[k]) for k in ("tweets", "valid", "test"))


def test_report_leaves_the_voice_whole_and_extends_its_card(judged):
    _, home = judged
    assert run("info", "small", home=home).returncode == 0
    card = (home/"voices"/"small"/"card.md").read_text()
    assert card.startswith("# small") and card.count("## How good it is") == 1 and "naive Bayes" in card
    assert run("predict", "The van", "-n", 1, home=home).returncode == 0


def test_predicting_loads_what_it_needs_and_no_more(judged):
    _, home = judged
    _, loaded = loaded_by("predict", "The van", "-n", 3, "--viable", "--voice", "small", "--home", home)
    assert {"torch", "tokenizers", "safetensors"} <= loaded, loaded
    assert not loaded & {"fastai", "sklearn", "scipy", "pandas", "matplotlib", "spacy",
                         "streamlit", "altair", "kaggle", "transformers"}
    assert not [name for name in loaded if name.startswith(("ulmtweet.data", "ulmtweet.training"))]


@pytest.mark.slow
def test_same_seed_same_report(judged):
    report, home = judged
    again = json.loads(run("report", "small", "--quick", "--json", "--out", home/"again.html", home=home).stdout)
    for key in ("bits_per_character", "real_or_generated", "originality", "topics", "beside"):
        assert again[key] == report[key]


def test_report_that_cannot_be_made(home, few_tweets, tmp_path):
    assert "--out" in failed(run("report", "small", "--out", tmp_path/"missing"/"r.html", home=home), 5)
    assert ".html" in failed(run("report", "small", "--out", tmp_path/"r.pdf", home=home), 2)
    assert "nobody" in failed(run("report", "nobody", home=home), 4)
    shutil.copytree(home/"voices"/"small", tmp_path/"bare")
    (tmp_path/"bare"/"originals.json").unlink()
    sums = [l for l in (tmp_path/"bare"/"SHA256SUMS").read_text().splitlines() if "originals" not in l]
    (tmp_path/"bare"/"SHA256SUMS").write_text("\n".join(sums) + "\n")
    assert "--no-originals" in failed(run("report", tmp_path/"bare", home=home), 2)


@pytest.mark.slow
def test_compare(home, tmp_path):
    shutil.copytree(home/"voices"/"small", tmp_path/"voices"/"small")
    shutil.copytree(home/"voices"/"small", tmp_path/"voices"/"twin")
    meta = json.loads((tmp_path/"voices"/"twin"/"voice.json").read_text())
    (tmp_path/"voices"/"twin"/"voice.json").write_text(json.dumps(meta | dict(name="twin")))
    subprocess.run("sha256sum $(cut -c67- SHA256SUMS) > new && mv new SHA256SUMS",
                   shell=True, cwd=tmp_path/"voices"/"twin", check=True)
    said = json.loads(run("compare", "small", "twin", "--text", "The van is late", "--json", home=tmp_path).stdout)
    assert {r["voice"] for r in said} == {"small", "twin"} and all(math.isclose(r["probability"], 0.5) for r in said)
    rows = json.loads(run("compare", "small", "twin", "--json", home=tmp_path).stdout)
    assert all(math.isclose(r["bits_per_character"], meta["metrics"]["test"]["bits_per_character"], rel_tol=1e-4)
               for r in rows)
    assert "recognised" in run("compare", "small", "twin", home=tmp_path).stdout
    failed(run("compare", "small", home=tmp_path), 2)
    failed(run("compare", "small", "twin", "--text", " ", home=tmp_path), 2)


@pytest.mark.slow
def test_stories(home):
    done = run("stories", "small", "--theme", "The rocket", "-n", 2, "--tweets", 3, "--seed", 1, "--json", home=home)
    stories = json.loads(done.stdout)
    assert done.returncode == 0 and len(stories) == 2
    for story in stories:
        assert (story["tweets"][0]["text"].startswith("The rocket") and 2 <= len(story["tweets"]) <= 3
                and 0 < story["topic"]["share"] <= 1)
    assert run("stories", "small", "--theme", "The rocket", "-n", 2, "--tweets", 3, "--seed", 1, "--json",
               home=home).stdout == done.stdout
    assert "generated" in run("stories", "small", "-n", 1, "--seed", 2, home=home).stderr
    failed(run("stories", "small", "--theme", "x" * 300, home=home), 2)


@pytest.mark.slow
def test_report_in_a_browser(judged):
    "No request, no error, nothing wider than the page, at a desk and on a phone."
    path = judged[1]/"voices"/"small"/"report.html"
    for width in (1280, 390):
        with browser_page(path.as_uri(), width) as page:
            assert page.locator("figure svg").count() == 8
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            shoot(page, f"report-{width}")
