"Write: how a tweet begins, and what that person would write then."
import streamlit as st

from pages.common import choose_voice, open_judge, open_voice
from ulmtweet.generation.engine import Sampling
from ulmtweet.generation.generate import READERS, Tweet, first_tweets, first_words, generate_tweets
from ulmtweet.models.voice import Voice
from ulmtweet.page.cards import as_csv, as_jsonl, describe_copied, percent, probability
from ulmtweet.page.heat import heat_map


def ask() -> dict | None:
    "The form; its values once the button was pressed."
    with st.form("ask", border=False):
        prompt = st.text_input("The tweet begins with", value="Tesla will", max_chars=200, help="May be empty.")
        with st.expander("Settings"):
            n = st.slider("Tweets", 1, 50, 10)
            temperature = st.slider("Temperature", 0.1, 2.0, READERS.temperature, 0.05,
                                    help="Low is safe and repetitive, high is wild; 1 is the voice as it is.")
            top_p = st.slider("Top-p", 0.05, 1.0, Sampling.top_p, 0.05,
                              help="Only the likeliest tokens that together have this probability.")
            top_k = st.number_input("Top-k", 0, 1000, Sampling.top_k, help="Only the k likeliest tokens; 0 means all.")
            min_p = st.slider("Min-p", 0.0, 0.5, 0.0, 0.01,
                              help="Only tokens at least this likely, as a share of the likeliest.")
            invent = st.checkbox("Invented words", help="Also tweets with rare words that the person never used.")
            mask = st.checkbox("Mask @handles", help="Write @user for every handle.")
            live = st.checkbox("As they come", help="Show tweets as they are written, not the best of a larger draw.")
            inside = st.checkbox("A look inside",
                                 help="How sure the voice was of each piece, and which words are the likeliest next.")
            seed = st.number_input("Seed", 0, 2**31 - 1, 0, help="The same seed gives the same tweets.")
        pressed = st.form_submit_button("What next?", type="primary", width="stretch")
    return dict(prompt=prompt, n=n, live=live, inside=inside, seed=int(seed),
                sampling=Sampling(temperature, int(top_k), top_p, min_p,
                                  invent=invent, mask_handles=mask)) if pressed else None


def show_tweet(voice: Voice, tweet: Tweet, inside: bool):
    with st.container(border=True):
        st.code(tweet.text, language=None, wrap_lines=True)
        st.progress(probability(tweet), f"{percent(probability(tweet))} probability per token")
        if copied := describe_copied(tweet):
            st.text(copied)
        if inside:
            st.html(heat_map(voice, tweet.text))


def show_tweets(asked: dict, meta: dict):
    voice = open_voice(meta["folder"], meta["created"])
    if asked["inside"]:
        st.text("Likeliest next words: "
                + ", ".join(f"{word} ({percent(p)})" for word, p in first_words(voice, asked["prompt"], 8)))
    judge, tweets = open_judge(meta), []
    with st.spinner("Writing ..."):
        request = (voice, asked["prompt"], asked["n"], asked["sampling"], asked["seed"])
        for tweet in first_tweets(*request) if asked["live"] else generate_tweets(*request, judge=judge):
            tweets.append(tweet)
            show_tweet(voice, tweet, asked["inside"])
    if len(tweets) < asked["n"]:
        st.info(f"Only {len(tweets)} different tweets came out; "
                "invented words, another temperature or a shorter prompt may give more.")
    left, right = st.columns(2)
    left.download_button("Download CSV", as_csv(tweets, voice.name), f"{voice.name}.csv", "text/csv",
                         width="stretch", on_click="ignore")
    right.download_button("Download JSON Lines", as_jsonl(tweets, voice.name), f"{voice.name}.jsonl",
                          "application/jsonl", width="stretch", on_click="ignore")


st.title("What would they tweet next?")
st.caption("A small language model, fine-tuned on one person's tweets on this computer. "
           "Everything it writes is generated: parody, not statements of that person.")
if meta := choose_voice():
    if asked := ask():
        st.session_state.asked = asked | dict(voice=meta["name"])
    asked = st.session_state.get("asked")
    if asked and asked["voice"] == meta["name"]:
        show_tweets(asked, meta)
