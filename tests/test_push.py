"Voices through the Hub: what it gets, that the same voice comes back, and a Hub in trouble."
import errno, json, re, shutil, sys, time
from dataclasses import replace

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from conftest import run
from keeping_hub import TOKEN, KeepingHub
from ulmtweet.cli.__main__ import app
from ulmtweet.core import NetworkError, UsageError
from ulmtweet.generation.generate import generate_tweets
from ulmtweet.generation.originality import folded_words
from ulmtweet.models.voice import Voice
from ulmtweet.sharing import pull, push
from ulmtweet.sharing.html import share_page

FILES = {"model.safetensors", "tokenizer.json", "voice.json", "SHA256SUMS", "README.md"}


@pytest.fixture
def hub():
    hub = KeepingHub()
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def files(home):
    "What goes of the small voice, by name."
    found = push.pushed_files(Voice.load(home/"voices"/"small"), "ada/juno")
    return {name: f if isinstance(f, bytes) else f.read_bytes() for name, f in found.items()}


@pytest.fixture
def command(hub, home, tmp_path, monkeypatch):
    "A command in this process, with the stand-in as its Hub."
    constants = "huggingface_hub.constants."
    monkeypatch.setattr(constants + "ENDPOINT", hub.url)
    monkeypatch.setattr(constants + "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants + "HF_TOKEN_PATH", str(tmp_path/"token"))
    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"): monkeypatch.setattr(constants + name, 0.5)
    for module in (push, pull): monkeypatch.setattr(module, "TIMEOUT", 0.5)
    monkeypatch.setattr(time, "sleep", lambda seconds: None) # between tries
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    def command(*args, home=home, token=True):
        if not token: monkeypatch.delenv("HF_TOKEN")
        done = CliRunner().invoke(app, [*map(str, args), "--home", str(home)])
        said = done.stdout + done.stderr
        assert TOKEN not in said and "secret" not in said and "Traceback" not in said, said
        return done
    return command


def refused(done, code):
    assert done.exit_code == code and done.stderr.count("\n") == 1 and done.stderr.startswith("error: "), done.stderr
    return done.stderr


@pytest.fixture
def sent(hub, command, files):
    "The Hub with the small voice."
    hub.add("ada/juno", private=True, **files)
    return hub


@pytest.mark.slow
def test_there_and_back_it_is_the_same_voice(hub, home, tmp_path):
    "The real program, as the Hub's client reads its environment once."
    env = dict(HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path/"hf"), HF_TOKEN=TOKEN)
    done = run("push", "small", "ada/juno", "--json", home=home, env=env)
    assert done.returncode == 0 and not done.stderr, done.stderr
    told = json.loads(done.stdout)
    assert (told["url"], told["private"], told["commit"]) == (f"{hub.url}/ada/juno", True, hub.repos["ada/juno"]["sha"])
    done = run("pull", "ada/juno", "--name", "back", home=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "the voice back is here; try: ulmtweet predict --voice back\n")
    assert hub.tokens == dict(hub={"Bearer " + TOKEN}, store={None}) # the token goes to the Hub, and to nobody else
    before, after = Voice.load(home/"voices"/"small"), Voice.load(tmp_path/"voices"/"back")
    for name in ("model.safetensors", "tokenizer.json"):
        assert (after.folder/name).read_bytes() == (before.folder/name).read_bytes()
    assert {p.name for p in after.folder.iterdir()} == FILES - {"README.md"} | {"card.md"}
    assert after.name == "back" and (after.folder/"card.md").read_text().startswith("# back\n")
    assert not after.learnt and not after.unseen
    bare = replace(before, originals=[], held_out={})
    texts = [[t.text for t in generate_tweets(v, "The van", 5, seed=3)] for v in (bare, after)]
    assert texts[0] == texts[1] and len(texts[0]) == 5
    shown = CliRunner().invoke(app, ["info", "back", "--home", str(tmp_path)])
    assert shown.exit_code == 0 and "newest tweets: " in shown.stdout and "\n\n" not in shown.stdout


def test_nothing_of_the_person_goes(hub, command, home, tmp_path):
    shutil.copytree(home/"voices"/"small", tmp_path/"voices"/"small")
    folder = tmp_path/"voices"/"small"
    for name in ("report.json", "report.html", "judge.safetensors", "notes.txt"): (folder/name).write_text("secret")
    (folder/"card.md").write_text("# small\n\nmy best tweet is secret")
    assert command("push", "small", "ada/juno", home=tmp_path).exit_code == 0
    sent, voice = hub.repos["ada/juno"]["files"], Voice.load(folder)
    assert sent.keys() == FILES
    texts = " ".join(sent[name].decode() for name in FILES - {"model.safetensors", "tokenizer.json"})
    assert "secret" not in texts and voice.meta["fingerprint"] not in texts
    text = " ".join(["", *folded_words(texts), ""])
    said = map(folded_words, voice.learnt + voice.unseen)
    runs = {" ".join(w[i:i + 4]) for w in said for i in range(len(w) - 3)}
    assert len(runs) > 1000 and not [r for r in runs if f" {r} " in text]
    samples = [s["text"] for stage in voice.meta["stages"] for s in stage["samples"]]
    assert samples and not [s for s in samples if s in texts]


SMALL = {"model.safetensors": b"some weights", "voice.json": b"{}", "README.md": b"---\na: 1\n---\n"} # sent faster


def test_private_unless_public(hub, command):
    assert command("push", "small", "ada/a", "--public").exit_code == 0
    push.push_files("ada/b", SMALL)
    assert [hub.repos[name]["private"] for name in ("ada/a", "ada/b")] == [False, True]
    before = dict(hub.repos["ada/a"]["files"])
    assert "is there and public" in refused(command("push", "small", "ada/a"), 2)
    assert hub.repos["ada/a"]["files"] == before
    assert push.push_files("ada/b", SMALL, public=True)["private"] # which it was, and it says so


def test_something_else_is_not_replaced(hub, command):
    hub.add("ada/other", private=True, **{"README.md": b"", "config.json": b"{}"})
    with pytest.raises(UsageError, match="holds something else .config.json."): push.push_files("ada/other", SMALL)
    assert hub.repos["ada/other"]["files"].keys() == {"README.md", "config.json"}
    hub.add("ada/voice", private=True, **{"voice.json": b"older"})
    larger, told = SMALL | {"model.safetensors": bytes(3_000_000)}, []
    push.push_files("ada/voice", larger, progress=told.append)
    assert hub.repos["ada/voice"]["files"] == larger and told[-1] == 1 and len(told) > 10


def test_a_space_is_the_page(hub, command, home):
    done = command("push", "small", "ada/writes", "--space", "--bare")
    assert done.exit_code == 0 and "guessed" not in done.stderr
    space = hub.repos["spaces/ada/writes"]
    assert space["sdk"] == "static" and space["private"] and space["files"].keys() == {"index.html", "README.md"}
    voice = Voice.load(home/"voices"/"small")
    assert space["files"]["index.html"].decode() == share_page(voice, bare=True)
    assert 'sdk: "static"' in space["files"]["README.md"].decode()
    done = command("push", "small", "ada/writes", "--space", "--json")
    assert json.loads(done.stdout) and "a guessed tweet can be confirmed; --bare" in done.stderr.splitlines()[0]


def test_somebody_s_own_site_is_kept(hub, command):
    site = {"index.html": b"<h1>Ada", "README.md": b"---\nsdk: static\n---\n"}
    hub.add("spaces/ada/site", private=True, **site)
    assert "holds something else (index.html)" in refused(command("push", "small", "ada/site", "--space", "--bare"), 2)
    assert hub.repos["spaces/ada/site"]["files"] == site


def test_a_space_whose_first_push_broke_off(hub, command):
    hub.does = "refuse 503 at commit"
    assert "try again" in refused(command("push", "small", "ada/late", "--space", "--bare"), 6)
    hub.does = ""
    assert command("push", "small", "ada/late", "--space", "--bare").exit_code == 0
    assert hub.repos["spaces/ada/late"]["files"]["index.html"].startswith(b"<!DOCTYPE html>")


def test_the_card_of_several_people_and_of_a_transformer(home):
    voice = Voice.load(home/"voices"/"small")
    several = replace(voice, meta=voice.meta | dict(people=dict(ada=40, bob=60)))
    meta = push.pushed_meta(several)
    assert push.pushed_meta(replace(voice, meta=meta)) == meta # who has pulled it may push it on
    assert "tweets of 2 people" in push.pushed_card(meta, "ada/both") and "bob" not in json.dumps(meta)
    network = dict(model_type="gpt2", n_layers=2, vocab_size=9)
    card = push.pushed_card(meta | dict(architecture=network), "ada/both")
    assert "pip install 'ulmtweet[transformers]'\nulmtweet pull ada/both" in card


PUSHES = [
    ("refuse 401", "the Hub refuses the token"), ("refuse 403", "you may not write to ada/juno"),
    ("refuse 404", "knows no ada"), ("refuse 503 at create", "answers 503"),
    ("nonsense at create", "answer can't be read"),
    ("nonsense at preupload", "cannot push"), ("nonsense at batch", "cannot push"),
    ("nonsense at commit", "answer can't be read"),
    ("break at create", "cannot push"), ("break at /store", "cannot push"), ("stall at create", "timeout"),
    ("stall at commit", "timeout"), ("refuse 507 at /store", "answers 507"), ("refuse 403 at commit", "may not write")]


@pytest.mark.parametrize("does, says", PUSHES)
def test_a_hub_that_does_not_take_it(hub, command, does, says):
    hub.does = does
    with pytest.raises(NetworkError, match=says) as raised: push.push_files("ada/juno", SMALL)
    assert not re.search(f"\n|secret|{TOKEN}", str(raised.value))
    assert not any(repo["files"] for repo in hub.repos.values())


def test_without_a_token_it_says_how(hub, command):
    assert "asks who you are; run `hf auth login` or set HF_TOKEN" in refused(
        command("push", "small", "ada/juno", token=False), 6)


PULLS = [
    ("refuse 401", 6, "refuses the token"), ("refuse 403 at resolve", 6, "answers 403"),
    ("refuse 404 RepoNotFound", 6, "no public model"), ("refuse 404 RevisionNotFound", 6, "no revision main"),
    ("refuse 503 at api", 6, "answers 503"), ("nonsense at api", 6, "its answer can't be read"),
    ("nonsense at resolve", 6, "cannot fetch ada/juno"), ("break at api", 6, "cannot fetch"),
    ("break at resolve", 6, "cannot fetch"), ("half", 6, "cannot fetch"), ("stall at api", 6, "timeout"),
    ("stall at /store", 6, "timeout"), ("damage", 4, "ada/juno on the Hub: model.safetensors has changed"),
    ("huge", 4, "5,000,000 at most")]


@pytest.mark.parametrize("does, code, says", PULLS)
def test_a_hub_that_does_not_give_it(sent, command, tmp_path, does, code, says):
    sent.does = does
    assert says in refused(command("pull", "ada/juno", home=tmp_path/"home"), code)
    assert not [*(tmp_path/"home").glob("voices/*")]


@pytest.mark.parametrize("name, content, says", [
    ("voice.json", None, "it is not a voice that `ulmtweet push` sent"),
    ("voice.json", b"{}", "does not describe a voice"), ("voice.json", b"[" * 9999, "be read as JSON"),
    ("SHA256SUMS", b"x  ../../y\n", "does not list"),
    ("tokenizer.json", b"{}", "tokenizer.json has changed")])
def test_what_is_no_voice_stays_there(sent, command, tmp_path, name, content, says):
    files = sent.repos["ada/juno"]["files"]
    files[name] = content
    if content is None: del files[name]
    error = refused(command("pull", "ada/juno", home=tmp_path/"home"), 4)
    assert says in error and str(tmp_path) not in error, error
    assert not [*(tmp_path/"home").glob("voices/*")]


def test_a_voice_that_is_there_is_kept(sent, command, home, tmp_path):
    shutil.copytree(home/"voices"/"small", tmp_path/"voices"/"juno")
    before = {p.name: p.read_bytes() for p in (tmp_path/"voices"/"juno").iterdir()}
    assert "there is a voice 'juno' already" in refused(command("pull", "ada/juno", home=tmp_path), 2)
    sent.does = "half"
    refused(command("pull", "ada/juno", "--overwrite", home=tmp_path), 6)
    assert before == {p.name: p.read_bytes() for p in (tmp_path/"voices"/"juno").iterdir()}
    sent.does = ""
    told = []
    pull.pull_voice(f"ada/juno@{sent.repos['ada/juno']['sha']}", home=tmp_path, overwrite=True, progress=told.append)
    assert told == sorted(told) and told[-1] == 1
    assert not Voice.load(tmp_path/"voices"/"juno").originals
    assert [p.name for p in (tmp_path/"voices").iterdir()] == ["juno"]


def test_a_training_beside_a_pull(sent, command, tmp_path):
    "What somebody else makes meanwhile is kept, finished or not; who is about to write it is waited for."
    target, unfinished = tmp_path/"voices"/"juno", tmp_path/"voices"/".juno.12345678.tmp"
    unfinished.mkdir(parents=True)
    def made(share): target.mkdir(exist_ok=True)
    with pytest.raises(UsageError, match="there is a voice 'juno' already"):
        pull.pull_voice("ada/juno", home=tmp_path, progress=made)
    assert {p.name for p in target.parent.iterdir()} == {"juno", unfinished.name} and not [*target.iterdir()]
    training, told = FileLock(tmp_path/"training.lock"), []
    def waiting(whose):
        told.append((whose, unfinished.exists()))
        training.release()
    with training: pull.pull_voice("ada/juno", home=tmp_path, overwrite=True, waiting=waiting)
    assert told == [("another training", True)] and Voice.load(target).meta["counts"]["train"]


@pytest.mark.parametrize("wrong, says", [
    (dict(created="9999-01-01T00:00:00Z"), "can't be"), (dict(advice=["\x1b]0;owned\x07"]), "invisible characters"),
    (dict(architecture=dict(lora=dict(base=dict(name="hf:eve/other@0123")))), "hf download eve/other --revision 0123"),
    (dict(base=dict(name="hf:/etc")), "no base that others have")])
def test_a_description_that_would_deceive(sent, command, tmp_path, wrong, says):
    files = sent.repos["ada/juno"]["files"]
    files["voice.json"] = json.dumps(json.loads(files["voice.json"]) | wrong).encode()
    assert says in refused(command("pull", "ada/juno", home=tmp_path/"home"), 4)
    assert not [*(tmp_path/"home").glob("voices/*")] and not [line for line in sent.log if "model.safetensors" in line]


def test_a_base_comes_into_the_same_home(sent, command, tmp_path, monkeypatch):
    files, asked = sent.repos["ada/juno"]["files"], []
    monkeypatch.setattr(pull, "find_hub", lambda base, home, progress: asked.append((base, home)))
    lora = dict(architecture=dict(lora=dict(base=dict(name="smollm2"))))
    files["voice.json"] = json.dumps(json.loads(files["voice.json"]) | lora).encode()
    refused(command("pull", "ada/juno", home=tmp_path), 4) # which it is not
    assert asked == [("smollm2", tmp_path)]


def test_a_full_disk_and_another_pull(sent, command, tmp_path, monkeypatch):
    def full(*args, **kwargs): raise OSError(errno.ENOSPC, "No space left on device")
    with FileLock(tmp_path/"pull.lock"):
        assert "another voice is being pulled" in refused(command("pull", "ada/juno", home=tmp_path), 2)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    assert "free some space for the home folder" in refused(command("pull", "ada/juno", home=tmp_path), 5)
    assert not [*tmp_path.glob("voices/*")]


def test_without_the_extra_it_says_how(hub, command, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for args in (("push", "small", "ada/juno"), ("pull", "ada/elsewhere")):
        assert "pip install 'ulmtweet[hub]'" in refused(command(*args), 2)
