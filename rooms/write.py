"Write: how a tweet begins, and what that person would write then."
import time
from dataclasses import replace
from functools import partial
from typing import NamedTuple
from urllib.parse import urlencode

import streamlit as st

from rooms.common import choose_voice, open_judge, open_voice, turn, visitor
from ulmtweet.core import ASSETS, UsageError
from ulmtweet.generation.engine import Sampling
from ulmtweet.generation.generate import READERS, SPARE, Tweet, clean_prompt, first_tweets, generate_tweets
from ulmtweet.generation.topics import describe_topics, split_topics
from ulmtweet.models.voice import Voice, is_transformer
from ulmtweet.page.cards import MOODS, Kept, as_csv, as_jsonl, badges, card, card_style, percent
from ulmtweet.page.heat import Word, other_words, words_of, written_on
from ulmtweet.page.openings import next_words, really_said, typical_openings
from ulmtweet.page.public import LONGEST_PROMPT, MOST_KEPT, MOST_TWEETS, check_request, public

STATE = st.session_state


class Asked(NamedTuple):
    "All that decides which tweets come."
    voice: str # Its name
    created: str # When it was trained: another one may get the same name
    prompt: str
    n: int
    sampling: Sampling
    live: bool # As they come, without a choice among more
    seed: int


def asset(*names: str) -> str: return "".join((ASSETS/"page"/n).read_text(encoding="utf-8") for n in names)


@st.cache_resource
def component(name: str):
    "A part of the page with a script of its own, from the assets."
    register = st.components.v2.component
    if name == "copy": return register("copy", html=asset("copy.html"), css=asset("copy.css"), js=asset("copy.js"))
    html = asset("heat.html") if name == "heat" else '<div class="bars" role="group"></div>'
    return register(name, html=html, css=asset("words.css"), js=asset("bars.js", f"{name}.js"))


@st.cache_data(max_entries=50, show_spinner=False)
def openings(folder: str, created: str) -> list[str]:
    "How the person begins; without their tweets and for strangers, how the voice does."
    voice = open_voice(folder, created)
    typical = [] if public() else typical_openings(voice.learnt)
    return typical or [word.strip() for word, _ in likely_words(folder, created, "")]


@st.cache_data(max_entries=200, show_spinner=False)
def likely_words(folder: str, created: str, prompt: str) -> list[tuple[str, float]]:
    voice = open_voice(folder, created)
    with turn():
        return next_words(voice, prompt)


@st.cache_data(max_entries=200, show_spinner=False)
def words_in(folder: str, created: str, text: str) -> list[Word]:
    voice = open_voice(folder, created)
    with turn():
        return words_of(voice, text)


@st.cache_data(max_entries=200, show_spinner=False)
def others_for(folder: str, created: str, word: Word) -> list[tuple[str, float]]:
    voice = open_voice(folder, created)
    with turn():
        return other_words(voice, word)


def plain(text: str) -> str:
    "A text as it is, where Streamlit reads Markdown."
    return "".join(f"\\{c}" if c in r"\`*_{}[]()#+-.!|<>~$:&" else c for c in text)


@st.cache_resource(max_entries=50, show_spinner=False)
def warm_up(folder: str, created: str):
    "What the first tweet takes longer for, done while somebody thinks of a prompt."
    voice = open_voice(folder, created)
    with turn():
        next(first_tweets(voice, n=1), None)


# What was asked for. All of it stands in the address, so that a link gives the same tweets.

def begin_with(prompt: str):
    STATE.prompt = prompt
    if STATE.get("seed") is None: STATE.seed = 0


def begin_with_chip(): # a pill is let go at once, so that it can be chosen again
    opening, STATE.opening = STATE.opening, None
    if opening: begin_with(opening)


def write_more():
    "Whoever asks for the same once more wants others."
    shown, seed = STATE.get("shown"), STATE.get("seed")
    same = shown and seed is not None and asked_for(shown) == shown
    STATE.seed = seed + 1 if same else seed or 0


def sampling_asked() -> Sampling:
    if not STATE.get("own"): chosen = MOODS[STATE.get("mood") or "normal"]
    else: chosen = Sampling(STATE.temperature, int(STATE.top_k), STATE.top_p, STATE.min_p)
    return Sampling(chosen.temperature, chosen.top_k, chosen.top_p, chosen.min_p, topic=topics_asked(),
                    invent=STATE.get("invent", False), mask_handles=STATE.get("mask", False))


def topics_asked() -> tuple[str, ...]:
    return () if public() else split_topics([STATE.get("topic") or ""]) # what was said is not for strangers to find out


def asked_for(voice: Asked) -> Asked:
    "What the widgets say, for a voice."
    return voice._replace(prompt=STATE.get("prompt") or "", n=STATE.get("n", 5), sampling=sampling_asked(),
                          live=STATE.get("live", False), seed=STATE.get("seed"))


def ask(meta: dict) -> Asked:
    if "begin" in st.query_params: # as links say it that people write
        STATE.prompt = st.query_params.pop("begin")[:LONGEST_PROMPT]
    with st.form("ask", border=False):
        st.text_input("The tweet begins with", max_chars=LONGEST_PROMPT, key="prompt", bind="query-params",
                      placeholder="A word or two, or nothing at all")
        st.form_submit_button("Generate", type="primary", icon=":material/edit:", width="stretch", on_click=write_more)
    st.pills(f"Or begin as {plain(meta['name'])} often does", openings(meta["folder"], meta["created"]), key="opening",
             format_func=plain, on_change=begin_with_chip)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if not STATE.get("own"):
            st.segmented_control("Creativity", list(MOODS), default="normal", required=True, key="mood",
                                 bind="query-params")
        with st.popover("Advanced", icon=":material/tune:"): choose_settings(meta)
    return asked_for(Asked(meta["name"], meta["created"], "", 0, READERS, False, 0))


def choose_settings(meta: dict):
    st.slider("Tweets", 1, MOST_TWEETS if public() else 50, 5, key="n", bind="query-params")
    st.number_input("Seed", 0, 2**31 - 1, None, key="seed", bind="query-params", placeholder="0",
                    help="The same seed gives the same tweets.")
    if not public():
        st.text_input("About", max_chars=LONGEST_PROMPT, key="topic", bind="query-params", placeholder="rockets, cars",
                      help="Only tweets near one of these.")
    st.checkbox("Invented words", key="invent", bind="query-params",
                help="Also tweets with rare words that the person never used.")
    st.checkbox("Mask @handles", key="mask", bind="query-params", help="Write @user for every handle.")
    if not is_transformer(meta): # whose tweets come so anyway
        st.checkbox("As they come", key="live", bind="query-params",
                    help="Show tweets as they are written, not the best of a larger draw.")
    if not st.toggle("Set creativity by numbers", key="own", bind="query-params"): return
    st.slider("Temperature", 0.1, 2.0, READERS.temperature, 0.05, key="temperature", bind="query-params",
              help="Low is safe and repetitive, high is wild; 1 is the voice as it is.")
    st.slider("Top-p", 0.05, 1.0, Sampling.top_p, 0.05, key="top_p", bind="query-params",
              help="Only the likeliest tokens that together have this probability.")
    st.number_input("Top-k", 0, 1000, Sampling.top_k, key="top_k", bind="query-params",
                    help="Only the k likeliest tokens; 0 means all.")
    st.slider("Min-p", 0.0, 0.5, 0.0, 0.01, key="min_p", bind="query-params",
              help="Only tokens at least this likely, as a share of the likeliest.")


# Writing

class Drafts:
    "Shows drafts while they are written, a few a second, in one place."
    def __init__(self, name: str, wanted: int):
        self.place, self.name, self.wanted, self.count, self.shown = st.empty(), name, wanted, 0, 0.

    def __call__(self, tweet: Tweet | None):
        self.count += 1
        if not tweet or time.monotonic() < self.shown + 0.15: return
        self.shown = time.monotonic()
        with self.place.container(border=True):
            st.progress(min(self.count / self.wanted, 1.), f"Writing {self.wanted} drafts, to keep the best ...")
            st.html(card(tweet.text, self.name, "draft", kind="draft"))


def write_tweets(voice: Voice, asked: Asked, meta: dict) -> list[Tweet]:
    "The tweets asked for, shown while they come."
    request, live = (voice, asked.prompt, asked.n, asked.sampling, asked.seed), asked.live or is_transformer(meta)
    judge = None if live else open_judge(meta) # a transformer's drafts take a minute
    line = st.empty()
    with turn(place=line):
        line.empty()
        return write_now(request, judge, live)


def write_now(request: tuple, judge, live: bool) -> list[Tweet]:
    voice, _, n, *_ = request
    if live:
        places, tweets = st.container(), []
        with st.spinner("Writing ..."):
            for tweet in map(as_shown, first_tweets(*request, bs=min(n, 32))):
                tweets.append(tweet)
                with places.container(border=True): st.html(card(tweet.text, voice.name, notes=badges(tweet)))
        return tweets
    drafts = Drafts(voice.name, n * (1 + SPARE))
    with st.spinner("Writing ..."): tweets = generate_tweets(*request, judge=judge, watch=drafts)
    return [*map(as_shown, tweets)]


def as_shown(tweet: Tweet) -> Tweet:
    "Strangers aren't told what the person has said, so that no guess is confirmed."
    return replace(tweet, copied=None) if public() else tweet


def tweets_for(voice: Voice, asked: Asked, meta: dict) -> list[Tweet]:
    "The tweets asked for, kept until something else is asked."
    if STATE.get("shown") != asked:
        STATE.pop("shown", None)
        place = st.empty()
        with place.container(): STATE.tweets = write_tweets(voice, asked, meta)
        place.empty()
        STATE.shown, STATE.thrown, STATE.opened = asked, [], None
    return STATE.tweets


# What came of it

def keep(kept: Kept):
    if public() and len(STATE.get("kept", [])) >= MOST_KEPT:
        return st.toast(f"{MOST_KEPT} are kept; drop one first.", icon=":material/bookmark:")
    if kept not in STATE.setdefault("kept", []): STATE.kept.append(kept)
    st.toast("Kept, at the end of the page.", icon=":material/bookmark:")


def throw(i: int): STATE.thrown.append(i)


def drop(i: int): STATE.kept.pop(i)


def look(i: int): STATE.opened = None if (STATE.opened or [None])[0] == i else [i, None]


def show_tweet(voice: Voice, i: int, tweet: Tweet, meta: dict):
    opened = (STATE.opened or [None])[0] == i
    with st.container(border=True, gap="xsmall"):
        st.html(card(tweet.text, voice.name, notes=badges(tweet)))
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            kept = (voice.name, tweet)
            is_kept = kept in STATE.get("kept", [])
            st.button("Kept" if is_kept else "Keep", key=f"keep{i}", type="tertiary", icon=":material/bookmark:",
                      disabled=is_kept, on_click=keep, args=[kept])
            st.button("Throw", key=f"throw{i}", type="tertiary", icon=":material/delete:", on_click=throw, args=[i])
            st.button("Close" if opened else "Words", key=f"look{i}", type="tertiary",
                      icon=":material/search:", on_click=look, args=[i],
                      help="How sure the voice was of each word, and what else it could have been.")
            component("copy")(data=dict(text=tweet.text), key=f"copy{i}", width="content")
        if opened: show_words(i, tweet, (meta["folder"], meta["created"]))


def choose_place(i: int): STATE.opened = [i, STATE[f"heat{i}"].place if STATE[f"heat{i}"].place >= 0 else None]


def choose_word(i: int): STATE.swap = [i, *STATE[f"heat{i}"].chosen]


def show_words(i: int, tweet: Tweet, which: tuple[str, str]):
    "The tweet word by word, and others for the chosen place."
    words, place = words_in(*which, tweet.text), STATE.opened[1]
    shown = [dict(text=w.text.strip() or "(end)", heat=w.heat, says=w.says) for w in words]
    hint, others = "The darker a word, the less the voice expected it. Choose one to see others for its place.", []
    if place is not None:
        others = others_for(*which, words[place])
        hint = f"Instead of “{shown[place]['text']}”: choose, and the voice writes on from it."
    data = dict(label="The tweet word by word", words=shown, place=place, others=bars(others), hint=hint)
    for word, full in badges(tweet):
        st.text(f"{word}: {full}") # on a phone there are no tooltips
    component("heat")(data=data, key=f"heat{i}", on_place_change=partial(choose_place, i),
                      on_chosen_change=partial(choose_word, i))


def bars(words: list[tuple[str, float]]) -> list[dict]:
    return [dict(word=w.strip(), share=p, says=percent(p)) for w, p in words]


def write_on(voice: Voice, asked: Asked, meta: dict, i: int, place: int, chosen: int):
    "Put a tweet with another word, and what follows from it, in the place of one."
    word = words_in(meta["folder"], meta["created"], STATE.tweets[i].text)[place]
    start = word.before + others_for(meta["folder"], meta["created"], word)[chosen][0]
    judge = open_judge(meta)
    with st.spinner("Writing on ..."), turn(): tweet = written_on(voice, start, asked.sampling, asked.seed, judge)
    if tweet is None: return st.info("Nothing came of that word; choose another.")
    STATE.tweets[i], STATE.opened = as_shown(tweet), [i, None]


def go_on(prompt: str, words: list[tuple[str, float]]): begin_with((prompt + words[STATE.next.chosen][0]).strip())


def show_next(asked: Asked, meta: dict):
    "The likeliest next words, to go on with."
    words = likely_words(meta["folder"], meta["created"], asked.prompt)
    if not words: return
    st.caption("What next? The likeliest words; choose one to go on with it.")
    component("next")(data=dict(label="The likeliest next words", words=bars(words)), key="next",
                      on_chosen_change=partial(go_on, asked.prompt, words))


def show_real(voice: Voice, asked: Asked):
    found = [] if public() else really_said(voice.unseen, clean_prompt(asked.prompt))
    if not found: return
    with st.expander(f"What was really said ({len(found)})", icon=":material/history:"):
        st.caption("Real tweets that begin like this, from the newest ones. The voice has not learnt from them.")
        for text in found[:5]: st.html(card(text, voice.name, "real", kind="real"))


def show_written(asked: Asked, meta: dict):
    if public(): check_request(asked.prompt, asked.n)
    voice, slow = open_voice(meta["folder"], meta["created"]), is_transformer(meta)
    for line in describe_topics(voice, asked.sampling.topic): st.caption(plain(line))
    show_real(voice, asked)
    above, tweets = st.container(), tweets_for(voice, asked, meta)
    if not slow: # a transformer's voice takes seconds for the next words: they come last, so that no card moves
        with above: show_next(asked, meta)
    if swap := STATE.pop("swap", None): write_on(voice, asked, meta, *swap)
    for i, tweet in enumerate(tweets):
        if i not in STATE.thrown: show_tweet(voice, i, tweet, meta)
    if len(tweets) < asked.n:
        st.info(f"Only {len(tweets)} different tweets came out; "
                "invented words, more creativity, a shorter prompt or other topics may give more.")
    st.button("Generate others", icon=":material/refresh:", on_click=write_more, width="stretch")
    if slow: show_next(asked, meta)
    show_link(asked)


def show_link(asked: Asked):
    with st.popover("Link to these tweets", icon=":material/link:", type="tertiary"):
        st.caption("Whoever opens it here, with the same voice, gets the same tweets.")
        here = (st.context.url or "").split("?")[0]
        link = urlencode(st.query_params.to_dict() | dict(voice=asked.voice))
        st.code(f"{here}?{link}", language=None, wrap_lines=True)


# Those that are kept

def show_kept():
    kept = STATE.get("kept")
    if not kept: return
    st.subheader(f"Kept: {len(kept)}")
    for i, (voice, tweet) in enumerate(kept):
        with st.container(border=True):
            st.html(card(tweet.text, voice))
            st.button("Drop", key=f"drop{i}", type="tertiary", icon=":material/close:", on_click=drop, args=[i])
    with st.container(horizontal=True):
        save = dict(on_click="ignore", icon=":material/download:")
        st.download_button("Picture", partial(picture_of, kept, visitor()), "tweets.png", "image/png", **save)
        st.download_button("CSV", lambda: as_csv(kept), "tweets.csv", "text/csv", **save)
        st.download_button("JSON Lines", lambda: as_jsonl(kept), "tweets.jsonl", "application/jsonl", **save)
    from ulmtweet.page.picture import drawable
    if missing := sum(drawable(t.text) is None for _, t in kept):
        st.caption(f"This computer has no fonts for {missing} of them: the picture leaves them out.")
    if any("[" in (drawable(t.text) or "") and "[" not in t.text for _, t in kept):
        st.caption("This computer has no font for some emoji: the picture has their names instead.")


def picture_of(kept: list[Kept], who: str) -> bytes:
    from ulmtweet.page.picture import as_picture
    with turn(who): return as_picture(kept)


st.html(card_style())
st.title("What would they tweet next?")
st.caption(f"A small language model, fine-tuned on one person's tweets{'' if public() else ' on this computer'}. "
           "Everything it writes is generated: parody, not statements of that person.")
if meta := choose_voice():
    asked = ask(meta)
    if asked.seed is None:
        st.caption("Choose how the tweet begins, or leave it to the voice.")
        if not is_transformer(meta): warm_up(meta["folder"], meta["created"])
    else:
        try: show_written(asked, meta)
        except UsageError as error:
            st.error("That can't be written:")
            st.code(str(error), language=None, wrap_lines=True)
show_kept()
