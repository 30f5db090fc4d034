"The page for strangers: what it shows, and what it refuses to somebody who speaks its protocol."
import html, re, shutil, urllib.error, urllib.request
from urllib.parse import urlencode

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from browser import server
from conftest import ROOT
from rooms.common import gate
from test_page_write import house # a fixture
from ulmtweet.generation.generate import READERS, generate_tweets
from ulmtweet.models.voice import Voice
from ulmtweet.page import public as limits
from ulmtweet.page.public import MOST_TWEETS
from visitors import visitor

ROOMS = ("train", "judge", "play")
LINK = dict(voice="quick", begin="Tesla will", seed=7, n=3)


def files(home): return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in home.rglob("*")}


@pytest.fixture(scope="module")
def served(house):
    "A public server, which must leave the home folder as it is."
    before = files(house)
    with pytest.MonkeyPatch.context() as env:
        env.setenv("ULMTWEET_PUBLIC", "1")
        with server(house) as (address, _):
            yield address
    assert files(house) == before


@pytest.fixture
def somebody(served, request):
    "A visitor with an address of their own, so that no test draws from the bucket of another."
    with visitor(served, comes_from=f"203.0.113.{len(request.node.name)}") as v:
        yield v


def cards(texts, label="generated"):
    found = re.findall(r'tweet-label">(.*?)</span>.*?dir="auto">(.*?)</div>', "".join(texts), re.DOTALL)
    return [html.unescape(text) for said, text in found if said == label]


def test_only_rooms_to_write_and_read(somebody, house):
    assert "What would they tweet next?" in somebody.open()
    assert somebody.rooms == ["Write", "About"]
    for asked in [*(dict(page=name) for name in ROOMS), *(dict(room=calc_hash(name)) for name in ROOMS)]:
        assert "What would they tweet next?" in somebody.open(**asked), asked
    about = "".join(somebody.open(page="about"))
    assert "bits per character" in about and "Delete" not in about and "card" not in about


def test_no_real_tweet_and_no_path(somebody, house):
    voice = Voice.load(house/"voices"/"quick")
    shown = "".join(somebody.open(urlencode(LINK)) + somebody.open() + somebody.open(page="about"))
    assert len(cards([shown])) >= 3 and not cards([shown], "real") and "What was really said" not in shown
    assert str(house) not in shown and str(ROOT) not in shown
    assert "per token" in shown and "words in a row" not in shown # nor whether a guess is the person's
    assert not [t for t in voice.originals + voice.held_out["test"] if html.escape(t) in shown and len(t) > 20]


def test_a_link_shows_the_same_tweets_to_everybody(served, house):
    expected = [t.text for t in generate_tweets(Voice.load(house/"voices"/"quick"), "Tesla will", 3, READERS, 7)]
    with visitor(served, "192.0.2.1") as ann, visitor(served, "192.0.2.2") as bob:
        assert cards(ann.open(urlencode(LINK)))[-3:] == expected == cards(bob.open(urlencode(LINK)))[-3:]
        topic = dict(topic="quantum") # whether that was ever said isn't told
        assert cards(ann.open(urlencode(LINK | topic)))[-3:] == expected
        older = LINK | dict(prompt=LINK["begin"])
        assert cards(bob.open(urlencode({k: older[k] for k in older if k != "begin"})))[-3:] == expected


NUMBERS = dict(own="true", top_k=-1, temperature="nan", top_p="1e99")
LINKS = [dict(n=1_000_000), dict(seed=-1), dict(seed=2**70), NUMBERS, dict(begin="no " * 80),
         dict(prompt="x" * 100_000), dict(voice="../quick", begin="\x00\u202e", mood="../x")]


def test_hostile_links(served, house):
    for i, asked in enumerate(LINKS):
        with visitor(served, f"192.0.2.{10 + i}") as v:
            harmless(v.open(urlencode(LINK | dict(n=1, live="true") | asked)), house)


def harmless(texts, house):
    "Whether there is a page, or an error that says nothing, and no more than a page may have."
    shown, said = "".join(texts), cards(texts)
    assert "What would they tweet next?" in shown or "error message is redacted" in shown
    assert "Traceback" not in shown and str(house) not in shown and str(ROOT) not in shown
    assert len(said) <= MOST_TWEETS and all(len(t) <= 280 for t in said), said
    return said


BEGINNING = "The tweet begins with"
WIDGETS = [("Tweets", dict(double_array_value=dict(data=[1_000_000]))), ("Tweets", dict(int_value=1_000_000)),
           ("Tweets", dict(double_array_value=dict(data=[]))), (BEGINNING, dict(string_value="x" * 100_000)),
           (BEGINNING, dict(int_value=3)), ("Seed", dict(int_value=-5)), ("Seed", dict(double_value=float("nan"))),
           ("Voice", dict(string_value="../quick")), ("Creativity", dict(string_array_value=dict(data=["../x"]))),
           ("Top-k", dict(int_value=-1)), ("Top-k", dict(double_value=1e99)), ("Temperature", dict(double_value=0)),
           ("Temperature", dict(double_array_value=dict(data=[float("inf")])))]
YES = dict(bool_value=True)
ASKED = {"Seed": dict(int_value=1), "As they come": YES, "Set creativity by numbers": YES,
         "Tweets": dict(double_array_value=dict(data=[1]))}


def test_hostile_values_of_widgets(somebody, house):
    somebody.open("own=true")
    assert len(set(harmless(somebody.open(widgets=ASKED.items()), house))) == 1 # what is no attack is answered
    for name, value in WIDGETS: harmless(somebody.open(widgets=(ASKED | {name: value}).items()), house)


def put(address, session, size):
    "Status of an upload as a browser would send it."
    with urllib.request.urlopen(f"{address}/_stcore/health") as page:
        cookie = page.headers["Set-Cookie"].partition(";")[0]
    head = 'Content-Disposition: form-data; name="file"; filename="me.zip"'
    body = f"--xxx\r\n{head}\r\n\r\n".encode() + b"x" * size + b"\r\n--xxx--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=xxx", "Cookie": cookie,
               "X-Xsrftoken": cookie.partition("=")[2].strip('"')}
    asked = urllib.request.Request(f"{address}/_stcore/upload_file/{session}/1", body, headers, method="PUT")
    try: return urllib.request.urlopen(asked, timeout=300).status
    except urllib.error.HTTPError as refused: return refused.code


def test_a_file_is_refused(served, somebody):
    somebody.open(page="about")
    assert somebody.session
    for size in (0, 1, 100_000): assert put(served, somebody.session, size) == 413 # too large, whatever it is
    assert put(served, "no-session", 1) == 400


def page(home, monkeypatch, **asked):
    "The page by Streamlit's own tests."
    monkeypatch.setenv("ULMTWEET_HOME", str(home))
    monkeypatch.setenv("ULMTWEET_PUBLIC", "1")
    test = AppTest.from_file(str(ROOT/"app.py"), default_timeout=300)
    for key, value in asked.items(): test.query_params[key] = str(value)
    test.run()
    assert not test.exception, test.exception
    return test


def test_what_is_asked_for_is_checked_beyond_the_widgets(house, monkeypatch):
    def refuse(prompt, n): raise limits.Refused(f"{n} after {prompt}")
    monkeypatch.setattr(limits, "check_request", refuse)
    test = page(house, monkeypatch, begin="The van", seed=1, n=3)
    assert test.code[0].value == "3 after The van" and not cards(e.proto.body for e in test.get("html"))


def test_ten_tabs_get_no_more_than_one(house, monkeypatch):
    monkeypatch.setattr(limits, "BURST", 6)
    monkeypatch.setattr(limits, "A_MINUTE", 1e-9)
    st.cache_resource.clear()
    asked = dict(voice="quick", prompt="The van", n=1, live="true")
    tabs = [page(house, monkeypatch, seed=seed, **asked) for seed in range(6)]
    served = [len(cards(e.proto.body for e in tab.get("html"))) for tab in tabs]
    assert 1 <= served.count(1) <= 4 and served == sorted(served, reverse=True), served # and the voice was opened
    assert all("much in a short time" in tab.code[0].value for tab, n in zip(tabs, served) if not n)
    st.cache_resource.clear()


def test_others_wait_for_a_seat(house, monkeypatch):
    page(house, monkeypatch) # the voice is open
    monkeypatch.setattr(gate(), "patience", 0.01)
    with gate().turn("ann"), gate().turn("bob"):
        tab = page(house, monkeypatch, prompt="Nobody", seed=3, n=1)
        assert tab.info[0].value == limits.WAITING and limits.BUSY in tab.code[0].value
    assert len(cards(e.proto.body for e in page(house, monkeypatch, prompt="Nobody", seed=3, n=1).get("html"))) == 1


def test_a_damaged_voice_names_no_path(house, tmp_path, monkeypatch, capfd):
    shutil.copytree(house, tmp_path/"home")
    weights = tmp_path/"home"/"voices"/"quick"/"model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert [c.value for c in page(tmp_path/"home", monkeypatch).code] == [limits.HIDDEN]
    assert "has changed since it was saved" in capfd.readouterr().err


def test_without_a_voice_there_is_no_way_to_train(tmp_path, monkeypatch):
    test = page(tmp_path, monkeypatch)
    assert test.info[0].value == "There is no voice here yet." and not test.get("page_link")
