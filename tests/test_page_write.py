"The room Write: in sessions without a browser, and in a real one."
import csv, html, io, json, random, re, shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from browser import accessible, browser_page, server, settled, shoot
from conftest import ROOT, SAMPLE
from ulmtweet.data.clean import clean_tweets
from ulmtweet.data.sources import read_tweets
from ulmtweet.generation.generate import READERS, generate_tweets
from ulmtweet.models.bases import load_base
from ulmtweet.models.voice import Voice

SCORE = dict(bits_per_character=2.5, tweets=2)
META = dict(created="2026-01-01T00:00:00", base=dict(name="en"), counts=dict(train=2, valid=1, test=1, characters=9),
            stages=[], metrics=dict(test=SCORE, before=SCORE), recipe={}, parameters=7_000_000)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    "A home with a voice that took no training: a base that knows somebody's tweets."
    home, tweets = tmp_path_factory.mktemp("write"), clean_tweets(read_tweets(SAMPLE))[0].text.tolist()
    voice = replace(load_base("en"), originals=tweets[:1000],
                    held_out=dict(valid=[], test=["Tesla will <b>not</b> $see$ this", "Tesla willow"]))
    voice.meta = voice.meta | META | dict(name="quick")
    voice.save(home/"voices"/"quick")
    return home


@pytest.fixture
def own_house(house, tmp_path):
    "The same, to be spoilt."
    return Path(shutil.copytree(house, tmp_path/"home"))


@pytest.fixture
def page(house, monkeypatch):
    return opened(house, monkeypatch)


def opened(home, monkeypatch, **address):
    monkeypatch.setenv("ULMTWEET_HOME", str(home))
    test = AppTest.from_file(str(ROOT/"app.py"), default_timeout=300)
    for key, value in address.items():
        test.query_params[key] = str(value)
    return checked(test.run())


def checked(test):
    assert not test.exception, test.exception
    return test


def click(test, label, nth=0):
    return checked([b for b in test.button if b.label == label][nth].click().run())


def generate(test, prompt=""):
    test.text_input(key="prompt").set_value(prompt)
    return click(test, "Generate")


def cards(test, label="generated"):
    "The texts of the cards with a label."
    bodies = [element.proto.body for element in test.get("html")]
    found = [re.search(r'tweet-label">(.*?)</span>.*?dir="auto">(.*?)</div>', body, re.DOTALL) for body in bodies]
    return [html.unescape(m[2]) for m in found if m and m[1] == label]


def test_without_a_voice_there_is_a_way_to_one(tmp_path, monkeypatch):
    test = opened(tmp_path, monkeypatch)
    assert "There is no voice yet" in test.info[0].value and not test.text_input


def test_a_fresh_page_offers_openings(page):
    assert "For the record," in page.pills(key="opening").options
    assert not cards(page)


def test_tweets_are_those_of_the_library_and_of_the_link(page, house, monkeypatch):
    generate(page, "Tesla will")
    expected = generate_tweets(Voice.load(house/"voices"/"quick"), "Tesla will", 5, READERS, 0)
    assert cards(page) == [t.text for t in expected] == cards(opened(house, monkeypatch, prompt="Tesla will", seed=0))
    assert cards(page, "real") == ["Tesla will <b>not</b> $see$ this"]
    assert not any("<b>" in element.proto.body for element in page.get("html"))
    first = cards(page)
    assert page.session_state["seed"] == 0 and cards(click(page, "Generate")) != first # whoever asks again wants others
    assert page.session_state["seed"] == 1
    linked = opened(house, monkeypatch, voice="quick", prompt="Tesla will", seed=1)
    assert cards(linked) == cards(page)


def test_settings_and_creativity_change_what_comes(page, house, monkeypatch):
    normal = cards(generate(page, "The van"))
    page.segmented_control(key="mood").set_value("wild")
    assert cards(checked(page.run())) != normal
    numbers = dict(own="true", temperature=1.3, min_p=0.02)
    assert cards(opened(house, monkeypatch, prompt="The van", seed=0, **numbers)) == cards(page)
    assert len(cards(opened(house, monkeypatch, prompt="The van", seed=0, n=2, live="true"))) == 2


def test_only_what_is_about_something(house, monkeypatch):
    asked = dict(prompt="The", seed=0, n=2)
    test = opened(house, monkeypatch, **asked, topic="rockets, quantum")
    sampling = replace(READERS, topic=("rockets", "quantum"))
    assert cards(test) == [t.text for t in generate_tweets(Voice.load(house/"voices"/"quick"), "The", 2, sampling, 0)]
    assert cards(test) != cards(opened(house, monkeypatch, **asked))
    said = [caption.value.replace("\\", "") for caption in test.caption]
    assert any(s.startswith("near rockets: ") for s in said)
    assert "quantum is left out: quick hardly speaks of it" in said
    nothing = opened(house, monkeypatch, **asked, topic="quantum")
    assert nothing.error and "speaks of none of this: quantum" in nothing.code[0].value and not cards(nothing)


def test_a_chip_begins_a_tweet(page):
    page.pills(key="opening").set_value("Small correction:")
    checked(page.run())
    assert page.text_input(key="prompt").value == "Small correction:"
    assert all(t.startswith("Small correction:") for t in cards(page))


def test_keep_throw_and_drop(page):
    first, second, *others = cards(generate(page, "The van"))
    click(page, "Throw")
    assert cards(page) == [second, *others]
    click(page, "Keep")
    assert cards(page) == [second, *others, second] and page.subheader[0].value == "Kept: 1"
    generate(page, "The dog")
    assert cards(page)[-1] == second # what is kept stays
    assert second not in cards(click(page, "Drop")) and not page.subheader


def test_another_word_writes_on_from_there(page):
    generate(page, "The van")
    click(page, "Words")
    assert page.session_state["opened"] == [0, None]
    page.session_state["opened"] = [0, 2]
    page.session_state["swap"] = [0, 2, 0]
    first, *others = cards(page)
    again, *unchanged = cards(checked(page.run()))
    assert again != first and again.startswith("The van") and others == unchanged


def test_without_originals_the_voice_offers_its_own_words(own_house, monkeypatch):
    voice = Voice.load(own_house/"voices"/"quick")
    replace(voice, originals=[], held_out={}).save(own_house/"voices"/"quick")
    test = opened(own_house, monkeypatch)
    assert len(test.pills(key="opening").options) == 8
    assert cards(generate(test)) and not cards(test, "real")


def test_a_corrupt_voice_is_a_sentence(own_house, monkeypatch):
    weights = own_house/"voices"/"quick"/"model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    test = opened(own_house, monkeypatch, seed=0)
    assert test.error and "has changed since it was saved" in test.code[0].value


def test_a_voice_deleted_meanwhile_is_a_sentence(own_house, monkeypatch):
    test = generate(opened(own_house, monkeypatch), "The van")
    shutil.rmtree(own_house/"voices"/"quick")
    checked(test.run())
    assert any("There is no voice yet" in i.value for i in test.info)


def test_what_cannot_be_written_is_a_sentence(page):
    generate(page, "ﷺ" * 199)
    assert "the length of a tweet" in page.code[0].value and not cards(page)


# In a browser

def tweets_on(page):
    return page.locator(".tweet-generated .tweet-text").all_inner_texts()


def written(page):
    page.get_by_role("button", name="Generate others").wait_for()
    settled(page)
    return tweets_on(page)


def saved(page, name):
    with page.expect_download() as download:
        page.get_by_role("button", name=name).click()
    return Path(download.value.path()).read_bytes()


@pytest.fixture(scope="module")
def served(house):
    with server(house) as (address, _):
        yield address


@pytest.mark.slow
def test_write_keep_and_download(served):
    with browser_page(served) as page:
        page.get_by_text("Small correction:").click()
        first = written(page)
        assert len(first) == 5 and all(t.startswith("Small correction:") for t in first)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_role("button", name="Copy").first.click()
        page.get_by_role("status").get_by_text("Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == first[0]
        page.get_by_role("button", name="Keep").first.click()
        page.get_by_text("Kept: 1").wait_for()
        settled(page)
        rows = list(csv.DictReader(io.StringIO(saved(page, "CSV").decode())))
        assert [r["text"] for r in rows] == first[:1] and rows[0]["generated"] == "True"
        assert [json.loads(line)["text"] for line in saved(page, "JSON Lines").splitlines()] == first[:1]
        assert Image.open(io.BytesIO(saved(page, "Picture"))).info["Description"].startswith("Generated")
        accessible(page)
        shoot(page, "write-desk")
        link = page.url
        page.emulate_media(color_scheme="dark")
        page.goto(link)
        assert written(page) == first
        accessible(page)
        shoot(page, "write-dark")


@pytest.mark.slow
def test_words_by_keyboard_on_a_phone(served):
    with browser_page(served, 390, 844) as page:
        page.goto(f"{served}/?prompt=The+van&seed=0")
        first = written(page)
        page.get_by_role("button", name="Words").first.press("Enter")
        words = page.get_by_role("toolbar").get_by_role("button")
        words.first.focus()
        for key in ("End", "Home", "ArrowRight", "ArrowRight", "Enter"):
            page.keyboard.press(key)
        others = page.get_by_role("group", name="Other words for this place").get_by_role("button")
        others.first.wait_for()
        settled(page)
        accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        shoot(page, "words-phone")
        page.keyboard.press("ArrowDown")
        chosen = others.nth(1).locator("bdi").inner_text()
        page.keyboard.press("Enter")
        page.wait_for_function("text => document.querySelector('.tweet-text').innerText != text", arg=first[0])
        settled(page)
        assert tweets_on(page)[0].startswith(f"The van {chosen}") and tweets_on(page)[1:] == first[1:]
        following = page.get_by_role("group", name="The likeliest next words").get_by_role("button").first
        word = following.locator("bdi").inner_text()
        following.click()
        page.wait_for_function("word => location.search.includes(`prompt=The+van+${word}&`)", arg=word)
        assert all(t.startswith(f"The van {word}") for t in written(page))


NASTY = ["<script>fetch('http://elsewhere.example')</script>", "![](http://elsewhere.example/x.png)", "$a $b", "</div>",
         "<img src=http://elsewhere.example/x onerror=alert(1)>", "\u202egnp.exe\u202c", "\u2066", "&amp;", "&#x41;",
         "`", "**bold**", "  ", "\n", "🐕\u200d🦺", "שלום", "日本語", "[a](javascript:x)", ":material/edit:", "\\",
         "{{x}}", "x" * 10_000, "<style>*{background:url(http://elsewhere.example)}</style>", "\"'", "e\u0301",
         "<!--", "<svg onload=alert(1)>"]
SCRIPT = """
import json, streamlit as st
from ulmtweet.page.cards import card, card_style
st.html(card_style())
for text in json.load(open({path!r}, encoding="utf-8")): st.html(card(text, "juno", notes=[("new words", text[:99])]))
"""


@pytest.mark.slow
def test_hostile_tweets_stay_text(tmp_path):
    chance = random.Random(0)
    texts = NASTY + ["".join(chance.choices(NASTY, k=4)) for _ in range(200 - len(NASTY))]
    (tmp_path/"texts.json").write_text(json.dumps(texts), encoding="utf-8")
    (tmp_path/"page.py").write_text(SCRIPT.format(path=str(tmp_path/"texts.json")), encoding="utf-8")
    with server(tmp_path, tmp_path/"page.py") as (address, _), browser_page(address, 390, 844) as page:
        page.wait_for_function("document.querySelectorAll('.tweet-text').length == 200")
        assert page.locator(".tweet-text").evaluate_all("all => all.map(e => e.textContent)") == texts
        assert page.locator(".tweet *").evaluate_all("all => all.map(e => e.tagName)").count("SCRIPT") == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
