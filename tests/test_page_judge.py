"The rooms Judge, Play and About: by Streamlit's own tests, and in a real browser."
import html, os, shutil, subprocess
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from browser import accessible, browser_page, server, settled, shoot
from conftest import ROOT
from ulmtweet.core import read_json, write_checksums, write_json
from ulmtweet.models.voice import EDITABLE
from ulmtweet.page.game import levelled
from ulmtweet.page.judged import REPORTS, report_folder, report_sections
from ulmtweet.page.queue import take_lock

ROOMS = ("judge", "play", "about")
HOSTILE = ["<script>alert(1)</script> is not a script here", '"><img src=http://example.com/x onerror=alert(1)> hello',
           "![look](http://example.com/pixel.png) at the van", "The price was $a and then $b, they say",
           "[a link](http://example.com/page) that leads nowhere", "*stars* and _lines_ and `code` :material/home:",
           "# no heading, and {{ 7 * 7 }} is no number", "long " + "x" * 200]


def room(name, home, monkeypatch, **asked):
    "A room as somebody finds it who comes from the first page."
    monkeypatch.setenv("ULMTWEET_HOME", str(home))
    at = AppTest.from_file(ROOT/"app.py", default_timeout=300).run().switch_page(f"rooms/{name}.py")
    for key, value in asked.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception, at.exception
    return at


def words(at): return "\n".join(e.value for kind in (at.title, at.subheader, at.text, at.info, at.code) for e in kind)
def press(at, label): return next(b for b in at.button if b.label.startswith(label)).click().run()


@pytest.fixture
def own(home, tmp_path):
    "A home of one's own, to be changed."
    shutil.copytree(home/"voices", tmp_path/"voices")
    return tmp_path


@pytest.fixture
def corrupt(own):
    weights = own/"voices"/"small"/"model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (own/"voices"/"small"/"report.json").write_text("{")
    (own/"voices"/"small"/"card.md").write_bytes(b"\xff")
    return own


@pytest.mark.parametrize("name", ROOMS)
def test_without_a_voice(name, tmp_path, monkeypatch):
    at = room(name, tmp_path, monkeypatch)
    assert "There is no voice yet" in words(at)


def test_judge_shows_who_of_a_fleet_is_hardest_to_predict(own, monkeypatch):
    alone = room("judge", own, monkeypatch, view="Training")
    assert "Stage by stage" in words(alone) and "hardest to predict" not in words(alone)
    person = lambda name, tweets, bits: dict(name=name, tweets=tweets, bits_per_character=bits)
    write_json(own/"fleet.json", dict(people=[person("small", 240, 2.5), person("<b>", 60, 2.)]))
    at = room("judge", own, monkeypatch, view="Training")
    assert "Of 2 people small is the hardest to predict" in words(at)


def test_judge_with_a_voice(own, monkeypatch):
    at = room("judge", own, monkeypatch)
    assert "Nobody has judged this voice yet" in words(at) and [b.label[:16] for b in at.button] == ["Judge this voice"]
    at = room("judge", own, monkeypatch, view="Training")
    assert "Stage by stage" in words(at) and at.metric[1].value.endswith("tweets")
    for view in ("Compare", "Who said it?", "Blend"):
        assert "It takes two voices" in words(room("judge", own, monkeypatch, view=view))
    assert "Nobody has judged" in words(room("judge", own, monkeypatch, view="nonsense"))
    (own/"voices"/"small"/"originals.json").unlink()
    at = room("judge", own, monkeypatch)
    assert "nothing to judge it by" in words(at) and not at.button


@pytest.mark.slow
def test_two_voices(own, monkeypatch):
    shutil.copytree(own/"voices"/"small", own/"voices"/"twin") # has the same name in its file
    at = press(room("judge", own, monkeypatch, view="Compare"), "Compare them")
    assert "Who is harder to guess?" in words(at) and "twin" in words(at) and "small" in words(at)
    at = press(room("judge", own, monkeypatch, view="Who said it?"), "Who said it?")
    assert "hardly more than a guess" in words(at)
    at.text_area[0].set_value("  ")
    assert "the text is empty" in words(press(at, "Who said it?"))
    at = room("judge", own, monkeypatch, view="Blend")
    quoted = lambda at: next(h.proto.body for h in at.get("html") if "<blockquote" in h.proto.body)
    said = quoted(at)
    assert said.count("<blockquote") == 3
    assert quoted(press(at, "Other tweets")) != said


def played(at, sides="ABABABABAB"):
    "Play a game; what stood on the cards."
    seen = []
    for i, side in enumerate(sides):
        assert at.get("progress")[0].proto.text.startswith(f"Round {i + 1} of {len(sides)}")
        seen += [h.proto.body for h in at.get("html") if "ut-riddle" in h.proto.body and "<style" not in h.proto.body]
        at = press(press(at, f"{side} is real"), "Next" if i + 1 < len(sides) else "See")
    return at, seen


def test_play(own, monkeypatch):
    at, seen = played(room("play", own, monkeypatch))
    assert len(set(seen)) == 20
    right = int(at.metric[0].value.split()[0])
    assert at.metric[0].value == f"{right} of 10" and "After a report a classifier plays along" in words(at)
    shared = at.code[0].value
    assert f"I was right {right} of 10 times" in shared and shared.count("■") == right and "generated" in shared
    tweets = read_json(own/"voices"/"small"/"originals.json")
    learnt = {html.escape(levelled(t)) for t in tweets["tweets"] + tweets["valid"]}
    assert not any(t in body for t in learnt if len(t) > 30 for body in seen)
    again, same = played(room("play", own, monkeypatch), "A" * 10)
    assert same == seen
    at = press(again, "Play again")
    assert at.number_input[0].value == 2 and at.button[0].label == "A is real"


def test_play_ends_when_the_tweets_run_out(own, monkeypatch):
    at = room("play", own, monkeypatch, game="1000")
    assert "no real tweets left" in words(at)
    at = press(at, "From the beginning")
    assert at.number_input[0].value == 1 and at.get("progress")
    (own/"voices"/"small"/"originals.json").unlink()
    assert "no real ones here" in words(room("play", own, monkeypatch))


def test_a_second_click_counts_once(own, monkeypatch):
    from rooms.play import choose
    import streamlit as st
    monkeypatch.setattr(st, "session_state", type("State", (), dict(picks=[], answered=False))())
    choose(0, True)
    choose(0, False)
    assert st.session_state.picks == [True]


def test_corrupt_voices_are_sentences(corrupt, monkeypatch):
    assert "Nobody has judged" in words(room("judge", corrupt, monkeypatch))
    assert "model.safetensors has changed since it was saved" in words(room("play", corrupt, monkeypatch))
    shutil.copytree(corrupt/"voices"/"small", corrupt/"voices"/"twin")
    for view in ("Compare", "Who said it?"):
        at = press(room("judge", corrupt, monkeypatch, view=view), view[:7])
        assert "has changed since it was saved" in words(at)
    assert "has changed since it was saved" in words(room("judge", corrupt, monkeypatch, view="Blend"))
    assert "\ufffd" in words(room("about", corrupt, monkeypatch))


def test_about_asks_before_it_deletes(own, monkeypatch):
    at = room("about", own, monkeypatch)
    assert "Before you make a voice" in words(at) and str(own/"voices") in words(at)
    assert any("originals.json" in h.proto.body for h in at.get("html"))
    at = press(at, "Delete this voice")
    assert (own/"voices"/"small").is_dir()
    assert {"Delete it", "Keep it"} <= {b.label for b in at.button} # a browser presses them, below


def test_a_voice_that_was_deleted_in_another_tab(own, monkeypatch):
    shutil.copytree(own/"voices"/"small", own/"voices"/"twin")
    at = room("play", own, monkeypatch)
    at = at.selectbox[0].select("twin").run()
    shutil.rmtree(own/"voices"/"twin")
    at = at.run()
    assert not at.exception and "not there any more" in words(at) and at.selectbox[0].value == "small"


def test_a_report_under_way_is_found_again(own, monkeypatch):
    folder = report_folder("small", own)
    folder.mkdir(parents=True)
    status = dict(state="writing tweets", fraction=0.3, seconds_left=40, pid=os.getpid())
    write_json(folder/"status.json", status)
    lock = take_lock(folder)
    for of_a_server in (True, False): # or of a terminal, which stops it itself
        at = room("judge", own, monkeypatch)
        assert at.get("progress")[0].proto.text.startswith("Writing tweets")
        assert [b.label for b in at.button] == ["Stop"] * of_a_server
        if of_a_server: os.close(lock)
    write_json(folder/"status.json", status | dict(pid=2**22 + 1)) # none has such a number
    at = room("judge", own, monkeypatch)
    assert "Nobody has judged" in words(at) and not folder.exists()


def test_a_report_that_failed_while_nobody_looked_says_why(own, monkeypatch):
    folder = report_folder("small", own)
    folder.mkdir(parents=True)
    (folder/"log").write_text("error: the disk is full")
    monkeypatch.setitem(REPORTS, folder, subprocess.Popen("false"))
    REPORTS[folder].wait()
    assert "the disk is full" in words(room("judge", own, monkeypatch))


def hostile_report():
    "As `measure_voice` makes it, with strings from outside wherever there are any."
    judges = dict(naive_bayes=dict(accuracy=0.7, interval=(0.6, 0.8)))
    rows = dict(voice=dict(bits_per_character=2.), unigram=dict(bits_per_character=3.))
    copied, bad = dict(copies=0., near_copies=0., words=[1, 2]), dict(real=1., generated=2.)
    return dict(
        voice={}, bits_per_character=dict(voice=2., unigram=3.), prediction=dict(rows=rows), real_or_generated=judges,
        older_and_newest=judges, originality=dict(generated=copied, person=copied), months=[],
        lengths=dict(real=[10, 300], generated=[20]), drift=[dict(part=1, tweets=3, characters=10.)],
        features=[bad | dict(feature=t, difference=1.) for t in HOSTILE], words=[bad | dict(word=t) for t in HOSTILE],
        topics=[bad | dict(words=HOSTILE[:3])], beside=[dict(prompt=t, real=t, generated=t) for t in HOSTILE],
        extremes=dict(most_real=HOSTILE, most_generated=HOSTILE), written=HOSTILE)


@pytest.fixture
def hostile(own):
    "A home with a voice whose tweets, report and card want to be more than text."
    folder = own/"voices"/"small"
    tweets = read_json(folder/"originals.json")
    tweets["test"] = HOSTILE + tweets["test"][:2] # for one game
    tweets["days"] = tweets["days"][:sum(len(tweets[part]) for part in ("tweets", "valid", "test"))]
    write_json(folder/"originals.json", tweets)
    write_json(folder/"report.json", hostile_report())
    (folder/"card.md").write_text("\n\n".join(HOSTILE))
    write_checksums(folder, leave_out=(*EDITABLE, "report.json"))
    return own


def test_every_section_of_a_report_is_there(hostile):
    titles = [s.title for s in report_sections(hostile/"voices"/"small")]
    assert len(titles) == len(set(titles)) == 10 and titles[0] == "Can it be told from the person?"


def go(page, address, path):
    page.goto(address + path)
    page.get_by_role("heading", level=1).wait_for()
    settled(page)


def fits(page):
    "Whether nothing has to be scrolled sideways, and nobody is shut out."
    width = page.viewport_size["width"]
    assert page.locator("[data-testid=stMain]").evaluate("e => e.scrollWidth") <= width
    accessible(page)


def play(page, rounds=10):
    "Play with the keyboard; the tweets that were on the cards."
    seen = []
    for i in range(rounds):
        page.get_by_text(f"Round {i + 1} of {rounds}").wait_for()
        for letter in "AB":
            page.get_by_role("button", name=f"{letter} is real").wait_for()
        settled(page)
        seen += page.locator(".ut-riddle").all_inner_texts()
        page.keyboard.press("a")
        page.get_by_role("button", name="Next round").or_(page.get_by_role("button", name="See the result")).wait_for()
        settled(page)
        if i == 0: fits(page)
        page.keyboard.press("n")
    page.get_by_text("For a friend").wait_for()
    settled(page)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("width, scheme", [(1280, "light"), (390, "dark")])
def test_hostile_tweets_stay_text(hostile, width, scheme):
    with server(hostile) as (address, _), browser_page(address, width, color_scheme=scheme) as page:
        go(page, address, "/judge")
        page.get_by_text("What did they really tweet next?").wait_for()
        settled(page)
        for title in ("Favourite words", "Taken for real", "Style"):
            page.get_by_text(title, exact=True).click()
        assert page.locator("blockquote").first.inner_text() == HOSTILE[0]
        assert [*page.locator("blockquote").all_inner_texts()][:len(HOSTILE)] == HOSTILE
        fits(page)
        shoot(page, f"judge-{width}")
        go(page, address, "/play")
        seen = []
        while page.get_by_text("no real tweets left").count() == 0:
            total = int(page.get_by_text("Round 1 of").inner_text().split()[3].strip(","))
            seen += play(page, total)
            fits(page)
            page.get_by_role("button", name="Play again").click()
            page.get_by_text("Round 1 of").or_(page.get_by_text("no real tweets left")).wait_for()
        assert {levelled(t) for t in HOSTILE} <= set(seen)
        shoot(page, f"play-{width}")
        go(page, address, "/about")
        page.get_by_text("Its card").click()
        page.get_by_text(HOSTILE[0]).wait_for()
        assert HOSTILE[2] in page.inner_text("body")
        fits(page)


@pytest.mark.slow
def test_judge_play_and_delete_on_a_phone(own):
    folder = own/"voices"/"small"
    with server(own) as (address, _), browser_page(address, 390, 844) as page:
        go(page, address, "/judge")
        page.get_by_role("button", name="Judge this voice").click()
        page.get_by_text("You may close this page").wait_for()
        go(page, address, "/judge") # the report doesn't depend on the browser
        page.get_by_text("Can it be told from the person?").wait_for()
        fits(page)
        shoot(page, "judged-phone")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download the whole report").click()
        assert Path(download.value.path()).read_bytes() == (folder/"report.html").read_bytes()
        assert not report_folder("small", own).exists()
        go(page, address, "/play?game=2")
        seen = play(page)
        assert len(set(seen)) == len(seen) and page.get_by_text("A classifier", exact=True).is_visible()
        shoot(page, "played-phone")
        other = page.context.browser.new_page()
        other.set_default_timeout(300_000)
        go(other, address, "/play")
        go(page, address, "/about")
        page.get_by_role("button", name="Delete this voice").click()
        page.get_by_role("button", name="Keep it").click()
        page.get_by_role("dialog").wait_for(state="detached")
        assert folder.is_dir()
        page.get_by_role("button", name="Delete this voice").click()
        page.get_by_role("button", name="Delete it").click()
        page.get_by_text("There is no voice yet").wait_for()
        assert not [*(own/"voices").iterdir()]
        other.get_by_role("button", name="A is real").click()
        other.get_by_text("There is no voice yet").wait_for()
        assert other.get_by_text("Traceback").count() == 0


@pytest.mark.slow
def test_a_report_that_fails_says_why(own):
    weights = own/"voices"/"small"/"model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with server(own) as (address, _), browser_page(address) as page:
        go(page, address, "/judge")
        page.get_by_role("button", name="Judge this voice").click()
        page.get_by_text("has changed since it was saved").wait_for()
        assert page.get_by_text("Traceback").count() == 0
