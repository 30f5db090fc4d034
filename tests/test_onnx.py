"A voice as ONNX and its tweets for other kits: the same scores and tweets, without PyTorch, and what can't leave."
import json, os, shutil, subprocess, sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnxruntime import InferenceSession
from typer.testing import CliRunner

from conftest import run
from ulmtweet.cli.__main__ import app
from ulmtweet.generation.generate import tokens_needed
from ulmtweet.models.awdlstm import AWDLSTM
from ulmtweet.models.tokens import train_char
from ulmtweet.models.voice import Voice
from ulmtweet.sharing.onnx import start_arrays, step_graph


@pytest.fixture(scope="module")
def exported(home, tmp_path_factory):
    "The small voice, and the folder that the command makes of it."
    folder = tmp_path_factory.mktemp("onnx")/"small"
    done = run("export", "small", "--onnx", "--out", folder, "--json", home=home)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["files"] == {p.name: p.stat().st_size for p in folder.iterdir()}
    return Voice.load(home/"voices"/"small"), folder


def read_step_by_step(session, model, ids):
    "Scores after every token (length, tweets, vocab_size); the graph reads them one by one."
    state = {k: np.repeat(v, ids.shape[1], 1) for k, v in start_arrays(model).items()}
    for row in ids:
        scores, *after = session.run(None, dict(ids=row[None], **state))
        state = dict(zip(state, after))
        yield scores


@pytest.mark.parametrize("tweets", [1, 2, 33])
def test_scores_are_those_of_the_network(exported, tweets):
    voice, folder = exported
    ids = torch.randint(len(voice.tokenizer), (12, tweets), generator=torch.Generator().manual_seed(tweets))
    with torch.no_grad(): expected = voice.model.logits(voice.model.read(ids.T)[1]).transpose(0, 1).numpy()
    found = np.stack([*read_step_by_step(InferenceSession(folder/"step.onnx"), voice.model, ids.numpy())])
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("n_layers", [1, 3])
def test_any_number_of_layers(n_layers):
    torch.manual_seed(0)
    model = AWDLSTM(50, emb_sz=6, n_hid=9, n_layers=n_layers).eval()
    for p in model.parameters(): torch.nn.init.normal_(p)
    model.start.normal_()
    graph, ids = step_graph(model), torch.randint(50, (7, 4))
    onnx.checker.check_model(graph, full_check=True)
    with torch.no_grad(): expected = model.logits(model.read(ids.T)[1]).transpose(0, 1)
    found = np.stack([*read_step_by_step(InferenceSession(graph.SerializeToString()), model, ids.numpy())])
    torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-4, atol=1e-4)


def written(folder, *args):
    "What the script writes where there is neither PyTorch nor ulmtweet."
    blocked = folder.parent/"without"
    blocked.mkdir(exist_ok=True)
    for name in ("torch", "ulmtweet", "fastai"): (blocked/f"{name}.py").write_text("raise SystemExit('not here')")
    env = os.environ | dict(PYTHONPATH=str(blocked))
    done = subprocess.run([sys.executable, folder/"generate.py", *args], capture_output=True, encoding="utf-8", env=env)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("prompt", ["The van", "@til It's 100% 日本"])
def test_the_script_writes_the_same_likeliest_tweet(exported, prompt):
    voice, folder = exported
    ids = [0, *voice.tokenizer.encode(prompt)]
    longest = len(ids) + tokens_needed(voice)
    with torch.no_grad(): # reads everything again for each token, and keeps no state
        while (ids[-1] or len(ids) == 1) and len(ids) < longest:
            ids.append(int(voice.model.logits(voice.model.read(torch.tensor([ids]))[1][0, -1]).argmax()))
    whole = not ids[-1]
    assert written(folder, prompt, "2", "0") == [voice.tokenizer.decode(ids)] * 2 * whole


def test_the_script_writes_whole_tweets_only(exported, tmp_path):
    voice, folder = exported
    script, longest = (folder/"generate.py").read_text(encoding="utf-8"), f" {tokens_needed(voice)} #"
    assert script.count(longest) == 1
    shutil.copytree(folder, tmp_path/"short")
    (tmp_path/"short"/"generate.py").write_text(script.replace(longest, " 1 #"), encoding="utf-8")
    assert written(tmp_path/"short", "The van", "5", "0") == []


def test_the_script_writes_different_tweets(exported):
    tweets = written(exported[1])
    assert len(tweets) == len(set(tweets)) == 5 and not any("<eot>" in t for t in tweets)


def export(*args): return CliRunner().invoke(app, ["export", *map(str, args)])


def test_only_what_onnx_can_hold(exported, tmp_path):
    voice, folder = exported
    reader = train_char(["abc"], min_count=1)
    replace(voice, tokenizer=reader, model=AWDLSTM(len(reader), 4, 4)).save(tmp_path/"letters")
    done = export(tmp_path/"letters", "--onnx", "--out", tmp_path/"out")
    assert done.exit_code == 4 and "ONNX can hold an AWD-LSTM" in done.stderr and not (tmp_path/"out").exists()
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    done = export(voice.folder, "--onnx", "--out", folder)
    assert done.exit_code == 2 and "is there already" in done.stderr
    assert before == {p.name: p.read_bytes() for p in folder.iterdir()}


def test_without_the_extra_it_says_how(exported, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    done = export(exported[0].folder, "--onnx", "--out", tmp_path/"out")
    assert done.exit_code == 2 and "pip install 'ulmtweet[onnx]'" in done.stderr and not [*tmp_path.iterdir()]


def test_a_folder_that_cannot_be_written(exported, tmp_path):
    (tmp_path/"file").write_text("no folder")
    done = export(exported[0].folder, "--onnx", "--out", tmp_path/"file"/"out")
    assert done.exit_code == 5 and done.stderr.count("\n") == 1, done.stderr


def test_chat_has_what_was_learnt_and_nothing_newer(exported, home, tmp_path):
    voice, _ = exported
    done = export("small", "--chat", "--out", tmp_path/"small.jsonl", "--home", home)
    assert done.exit_code == 0 and "use your own only" in done.stderr, done.stderr
    rows = [json.loads(line)["messages"] for line in (tmp_path/"small.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [[m["role"] for m in row] for row in rows] == [["system", "user", "assistant"]] * len(voice.learnt)
    assert [row[-1]["content"] for row in rows] == voice.learnt
    assert len(voice.unseen) > 20 and not {*voice.unseen} & {row[-1]["content"] for row in rows}


def test_chat_without_tweets_is_one_line(exported, tmp_path):
    replace(exported[0], originals=[], held_out={}, days=[]).save(tmp_path/"bare")
    done = export(tmp_path/"bare", "--chat", "--out", tmp_path/"a.jsonl")
    assert done.exit_code == 3 and done.stderr.count("\n") == 1 and "keeps no tweets" in done.stderr
    assert not (tmp_path/"a.jsonl").exists()
