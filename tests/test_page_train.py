"The page's Train room: without a browser, and the whole way in one."
import csv, json, os, signal, time, zipfile
from contextlib import contextmanager

import pytest
from streamlit.testing.v1 import AppTest

from browser import accessible, browser_page, server, settled, shoot
from conftest import ROOT, SAMPLE
from ulmtweet.page import trainings

VOICE = dict( # as much of a `voice.json` as lists need
    name="ann", created="2026-01-01T00:00:00Z", base=dict(name="en"), counts=dict(train=900, valid=100, test=100),
    metrics=dict(before=None, test=dict(bits_per_character=2., tweets=100)), stages=[
        dict(name="all layers", epochs=6, seconds=60., bits_per_character=2., samples=[dict(prompt="", text="*I*")])])


@pytest.fixture
def empty(tmp_path, monkeypatch):
    "An empty home folder, which the page uses."
    monkeypatch.setenv("ULMTWEET_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(ROOT)
    return tmp_path


def put_voice(home, name, content=None):
    folder = home/"voices"/name
    folder.mkdir(parents=True)
    (folder/"voice.json").write_text(json.dumps(VOICE | dict(name=name)) if content is None else content)


def put_training(home, name, said="", status=None, number=1):
    "What a training that is no longer alive has left."
    folder = home/"trainings"/name
    folder.mkdir(parents=True)
    (folder/"training.json").write_text(json.dumps(dict(name=name, sources=[str(SAMPLE)], base="en", options=[],
                                                        number=number)))
    (folder/"said.txt").write_text(said)
    if status:
        (home/"voices"/f".{name}.training").mkdir(parents=True)
        (home/"voices"/f".{name}.training"/"status.json").write_text(json.dumps(status))


def room():
    app = AppTest.from_file(ROOT/"app.py", default_timeout=300).run().switch_page("rooms/train.py").run()
    assert not app.exception
    return app


def drop(app, content, name="tweets.csv"):
    content = content if isinstance(content, bytes) else content.encode()
    app.file_uploader[0].set_value((name, content, "text/csv")).run()
    assert not app.exception
    return app


NONSENSE = [dict(log="x"), dict(log=[3]), dict(done=[{}]), dict(fraction="a lot"), dict(fraction=7), dict(stage=None),
            dict(seconds_left=float("nan")), dict(stage_names=[3]), dict(state=[]), dict(pid=10**30), dict(pid="x")]


@pytest.mark.parametrize("status", [*NONSENSE, "{", "[]", ""], ids=str)
def test_a_nonsense_status_is_a_sentence_and_can_be_thrown_away(empty, status):
    put_training(empty, "ann", status=dict(state="training"))
    put_training(empty, "bob", status=dict(state="training"), number=2)
    text = status if isinstance(status, str) else json.dumps(dict(state="training") | status)
    (empty/"voices"/".ann.training"/"status.json").write_text(text)
    (empty/"voices"/".from-a-terminal.training").mkdir()
    (empty/"voices"/".from-a-terminal.training"/"status.json").write_text(text)
    app = room()
    assert any("status file is damaged" in c.value for c in app.caption) == ("pid" not in status)
    assert labels(app).count("Go on") == 2
    button(app, "Yes, throw away what it has learnt").click().run()
    assert not app.exception and labels(app).count("Go on") == 1 and [*trainings.known_trainings()] == ["bob"]


@pytest.mark.parametrize("job", [
    '{"number": "x"}', '{"number": 1, "sources": 3}', '{"number": 1, "sources": [3]}', "{"])
def test_a_nonsense_job_is_a_sentence(empty, job):
    put_training(empty, "ann")
    put_training(empty, "bob", number=2)
    (empty/"trainings"/"ann"/"training.json").write_text(job)
    app = room()
    button(app, "Go on").click().run()
    assert "what the training of ann was is lost" in told(app) and not app.exception


def labels(app): return [button.label for button in app.button]
def button(app, label): return next(b for b in app.button if b.label == label)
def told(app): return " ".join(e.value for e in [*app.code, *app.error, *app.warning, *app.success, *app.text])


def test_a_first_visit_explains_itself(empty):
    app = room()
    assert "Nothing leaves the computer" in told(app) and "Try it with the sample" in labels(app)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"name": 3}'])
def test_with_a_voice_good_or_corrupt(empty, content):
    put_voice(empty, "ann", content)
    assert ("Try it with the sample" in labels(room())) == (content is not None)


def test_a_dropped_file_is_reported_at_once_and_again_after_a_switch(empty):
    app = drop(room(), SAMPLE.read_bytes())
    assert "2,135 tweets with 162,238 characters: plenty" in told(app)
    assert any("left out: duplicate" in h.value for h in app.html) and "Train" in labels(app)
    assert app.text_input[0].value == "junohale"
    app.toggle[0].set_value(False).run() # replies
    assert not app.exception and any("left out: reply" in h.value for h in app.html)


@pytest.mark.parametrize("content, expected", [
    (b"", "tweets.csv"), (b"\0\xff\xfe\0" * 99, "tweets.csv"), (b"PK\3\4broken", "tweets.csv"),
    ("text\nhello there\n", "Too few"), ("text\n\n\n", "")])
def test_a_broken_file_gets_a_sentence(empty, content, expected):
    app = drop(room(), content)
    assert (app.code or app.error) and expected in told(app) and "Train" not in labels(app)
    wrong = " ".join(e.value for e in [*app.code, *app.error, *app.text[-1:]])
    assert not any(word in wrong for word in ("ulmtweet", "--", str(empty))) # nothing to be typed in a terminal


HOSTILE = ["<script>alert(1)</script> it is", "![x](http://evil.example/x.png) it is", "$a $b it is :smile: <b>",
           "\u202eit is reversed\u202c", "a" * 10_000, "`code` *bold* it is", "<img src=http://evil.example/y>"]


def test_hostile_tweets_are_shown_as_they_are(empty):
    rows = [["text", "author"]] + [[f"{t} {i}", "_a_ <i>"] for i in range(20) for t in HOSTILE]
    with open(empty/"hostile.csv", "w", newline="") as f:
        csv.writer(f).writerows(rows)
    app = drop(room(), (empty/"hostile.csv").read_bytes())
    shown = "".join(h.value for h in app.html if "aria-hidden" not in h.value)
    assert "<script" not in shown and "<img" not in shown and "<i>" not in shown and "&lt;" in shown
    assert not any(h in e.value for e in [*app.markdown, *app.caption, *app.success] for h in ("evil", "script", "<"))


def test_one_of_several_people_is_chosen(empty):
    with open(SAMPLE, encoding="utf-8", newline="") as f:
        texts = [row["Tweet"] for row in csv.DictReader(f)][:160]
    with open(empty/"two.csv", "w", encoding="utf-8", newline="") as f:
        csv.writer(f).writerows([["text", "author"], *([t, "ann" if i < 90 else "bob"] for i, t in enumerate(texts))])
    app = drop(room(), (empty/"two.csv").read_bytes())
    assert app.selectbox[0].options == ["ann (90)", "bob (70)", "Everybody's, mixed (160)"]
    assert "90 tweets with" in told(app) and app.text_input[0].value == "ann"
    app.selectbox[0].select("bob").run()
    assert "70 tweets with" in told(app) and app.text_input[0].value == "bob"
    app.selectbox[0].select("Everybody's, mixed (160)").run()
    assert "160 tweets with" in told(app)


def test_consent_comes_before_the_first_training(empty, monkeypatch):
    asked = []
    monkeypatch.setattr(trainings, "launch_training", lambda *args, **kwargs: asked.append((args, kwargs)))
    app = drop(room(), SAMPLE.read_bytes())
    app.toggle[0].set_value(False).run()
    button(app, "Train").click().run()
    consented = next(b for b in app.button if b.key == "consented")
    assert not asked and not app.exception and consented.disabled
    for step in ("choose", "go"):
        button(app, "Train").click() # again, since a dialog is gone after a run of the whole page
        if step == "choose": next(r for r in app.radio if "They are mine." in r.options).set_value("They are mine.")
        else: next(b for b in app.button if b.key == "consented").click()
        app.run()
    (sources, name), choices = asked[0]
    assert name == "junohale" and choices == dict(base="en", options=["--no-replies"]) and not app.exception
    assert open(sources[0], "rb").read() == SAMPLE.read_bytes()
    assert app.file_uploader[0].value is None and "Train" not in labels(app)
    button(drop(app, SAMPLE.read_bytes()), "Train").click().run()
    assert len(asked) == 2 # it asks once


def test_nonsense_in_the_name_gets_a_sentence(empty):
    put_voice(empty, "ann")
    put_training(empty, "old")
    app = drop(room(), SAMPLE.read_bytes())
    for name, expected in [("../x", "can't name"), ("", "can't name"), ("ann", "a voice ann already"),
                           ("old", "a training of old already"), ("<b>*x*", "can't name")]:
        app.text_input[0].set_value(name).run()
        button(app, "Train").click().run()
        assert expected in told(app) and not app.exception, name


def test_no_room_for_the_file_gets_a_sentence(empty):
    (empty/"uploads").write_text("a file where a folder should be")
    app = drop(room(), SAMPLE.read_bytes())
    assert "cannot write" in told(app)


def test_nothing_at_a_path_gets_a_sentence(empty):
    app = room()
    app.get("button_group")[0].set_value("path").run()
    app.text_input[0].set_value("'/no/such/file.zip'")
    button(app, "Look at the tweets").click().run()
    assert "there is no file /no/such/file.zip" in told(app) and not app.exception


def test_a_dataset_of_kaggle_by_the_address_of_its_page(empty):
    (empty/"kaggle"/"ann__tweets").mkdir(parents=True)
    with zipfile.ZipFile(empty/"kaggle"/"ann__tweets"/"put here by hand.zip", "w") as z:
        z.write(SAMPLE, "tweets.csv")
    app = room()
    app.get("button_group")[0].set_value("kaggle").run()
    app.text_input[0].set_value("https://www.kaggle.com/datasets/ann/tweets?resource=download")
    button(app, "Look at the tweets").click().run()
    assert "2,135 tweets" in told(app) and not app.exception


STATUS = dict(state="training", fraction=0.4, stage=2, stages=2, stage_names=["last layer group", "all layers"],
              stage_name="all layers", seconds_left=9., pid=2**22 + 1,
              log=[dict(stage="last layer group", epoch=1, bits_per_character=2.5, sample="*one* <b>"),
                   dict(stage="all layers", epoch=1, bits_per_character=2.25, sample="$a $b")],
              done=[dict(name="last layer group", bits_per_character=2.5, samples=[dict(text="<script>")])])


def test_a_killed_training_can_be_gone_on_with_or_thrown_away(empty, monkeypatch):
    resumed = []
    monkeypatch.setattr(trainings, "resume_training", resumed.append)
    put_training(empty, "bob", status=STATUS)
    app = room()
    shown = "".join(h.value for h in app.html)
    assert "last layer group, 2.50 bits <small>(done)" in shown and "all layers <small>(to come)" in shown
    assert "&lt;script&gt;" in shown and "$a $b" in shown
    assert any("2.50 after the first epoch, 2.25 after 2" in c.value for c in app.caption)
    button(app, "Go on").click().run()
    assert resumed == ["bob"]
    button(app, "Yes, throw away what it has learnt").click().run()
    assert not app.exception and not [*(empty/"trainings").iterdir()] and not [*(empty/"voices").iterdir()]


def test_a_failed_training_says_why(empty):
    put_training(empty, "bob", "reading\nerror: no space is left; add tweets (`ulmtweet train --help`)\n")
    assert "no space is left; add tweets" in told(room()) and "--help" not in told(room())


def test_a_finished_training_leads_to_writing(empty):
    put_training(empty, "ann")
    put_voice(empty, "ann")
    app = room()
    assert "The voice is ready. It learnt from 900 tweets" in told(app) and "Write with it" in labels(app)
    button(app, "Close").click().run()
    assert not app.exception and "Write with it" not in labels(app) and (empty/"voices"/"ann").exists()


def test_a_finished_voice_that_was_damaged_meanwhile(empty):
    put_training(empty, "ann")
    put_voice(empty, "ann", "{")
    app = room()
    assert "cannot be read as JSON" in told(app) and "Close" in labels(app)


def seconds_of(process):
    "That a process computed, see proc(5)."
    fields = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def tiny(tmp_path):
    "An archive as X sends it, of so few tweets that a training is a matter of seconds."
    rows = list(csv.DictReader(SAMPLE.read_text(encoding="utf-8").splitlines()))[:150]
    tweets = [dict(tweet=dict(id_str=str(10**18 + i), full_text=r["Tweet"], retweeted=False, entities={},
                              created_at=f"Sat Feb 18 {i // 60:02}:{i % 60:02}:11 +0000 2023"))
              for i, r in enumerate(rows)]
    path = tmp_path/"twitter-2026-05-01.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data/tweets.js", f"window.YTD.tweets.part0 = {json.dumps(tweets)}")
        archive.writestr("data/like.js", "window.YTD.like.part0 = []")
        archive.writestr("Your archive.html", "<p>An archive of your data</p>")
    return path


def go(page, address):
    "To the Train room, by the navigation or the address."
    page.goto(address)
    settled(page)
    page.goto(f"{address}/train")
    page.get_by_text("Where are the tweets?").wait_for()
    settled(page)


def train(page, path, name):
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_text("that is little").wait_for()
    page.get_by_role("textbox", name="Name of the voice").fill(name)
    page.get_by_role("textbox", name="Name of the voice").press("Tab")
    settled(page)
    page.get_by_role("button", name="Train", exact=True).click()


@contextmanager
def paused(home, name):
    "Let a training wait, so that it doesn't come to its end meanwhile."
    pid = trainings.lock_holder(trainings.trainings_folder(home)/name)
    os.kill(pid, signal.SIGSTOP)
    try: yield
    finally: os.kill(pid, signal.SIGCONT)


@pytest.mark.slow
def test_from_an_archive_to_a_voice_with_everything_that_happens_between(tmp_path, tiny):
    home = tmp_path/"home"
    with server(home) as (address, _), browser_page(address) as page:
        go(page, address)
        page.get_by_text("Nothing leaves the computer").wait_for()
        shoot(page, "train-first")
        train(page, tiny, "ann")
        page.get_by_text("leave private people alone").wait_for()
        shoot(page, "train-consent")
        accessible(page)
        page.get_by_text("They are mine.").click()
        settled(page)
        page.get_by_role("dialog").get_by_role("button", name="Train").click()
        page.get_by_role("button", name="Stop").wait_for()
        page.get_by_role("dialog").wait_for(state="detached")
        page.get_by_text("Finding the learning rate (now)").wait_for()

        phone = dict(viewport=dict(width=390, height=844), color_scheme="dark")
        other = page.context.browser.new_page(**phone) # a second tab, on a phone by night
        other.set_default_timeout(300_000)
        with paused(home, "ann"):
            go(other, address)
            other.get_by_role("button", name="Stop").wait_for() # it shows the first tab's training
            train(other, tiny, "bob")
            other.get_by_text("They are mine.").click()
            settled(other)
            other.get_by_role("dialog").get_by_role("button", name="Train").click()
            other.get_by_text("Waiting for ann").wait_for()
            other.get_by_text("Finding the learning rate (now)").wait_for()
        other.get_by_text("all layers (now)").wait_for()
        with paused(home, "ann"):
            shoot(other, "train-phone")
            accessible(other)
            assert other.evaluate("document.documentElement.scrollWidth") <= 390
            other.get_by_role("button", name="Stop").first.click()
            other.get_by_role("button", name="Stop", disabled=True).wait_for()
        other.get_by_role("button", name="Go on").wait_for()
        pid = trainings.lock_holder(trainings.trainings_folder(home)/"bob")
    os.kill(pid, signal.SIGKILL) # as a power cut does, while no server is there

    with server(home) as (address, _), browser_page(address) as page:
        go(page, address)
        page.get_by_role("button", name="Go on").nth(1).wait_for()
        page.get_by_role("button", name="Throw away").last.click()
        page.get_by_role("button", name="Yes, throw away").click()
        page.wait_for_function("document.body.innerText.split('Go on').length == 2")
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("button", name="Stop").wait_for()
        page.get_by_text("The voice is ready").wait_for()
        shoot(page, "train-finished")
        accessible(page)
        assert not [*(home/"uploads").iterdir()]
        page.get_by_role("button", name="Write with it").click()
        page.wait_for_function("document.querySelector('input[role=combobox]')?.value == 'ann'")
    assert [p.name for p in (home/"voices").iterdir()] == ["ann"]


@pytest.mark.slow
def test_an_open_page_leaves_the_processor_to_the_training(tmp_path):
    with server(tmp_path) as (address, process), browser_page(address) as page:
        go(page, address)
        settled(page)
        before = seconds_of(process)
        time.sleep(5)
        assert seconds_of(process) - before < 1
