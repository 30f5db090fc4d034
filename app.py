"""The page: pick a voice, type a prompt, see what that person would tweet next.

Widgets only; see nbs/7_doors/page.ipynb.
"""
from itertools import groupby
from pathlib import Path

import streamlit as st

from ulmtweet.core import UlmtweetError
from ulmtweet.generation.engine import Sampling
from ulmtweet.generation.generate import READERS, Tweet, first_tweets, first_words, generate_tweets
from ulmtweet.models.voice import Voice, base_in_words, is_transformer, list_voices
from ulmtweet.page import (as_csv, as_jsonl, bases_here, bits_chart_rows, describe_base, describe_copied,
                           describe_status, heat_map, launch_training, make_report, percent, probability,
                           remove_leftovers, report_sentences, running_trainings, save_upload, stage_rows,
                           training_status)

st.set_page_config("ulmtweet", "🐤", layout="centered")


@st.cache_resource(max_entries=3, show_spinner="Opening the voice ...")
def open_voice(folder: str, created: str) -> Voice:
    return Voice.load(folder)


@st.cache_resource(max_entries=3, show_spinner="Opening the report ...")
def open_judge(folder: str, created: str, reported: float):
    from ulmtweet.evaluation.kept_judge import learnt_judge
    return learnt_judge(open_voice(folder, created))


def show_header():
    st.html("<style>.block-container {padding-top: 3rem}</style>")
    st.title("What would they tweet next?")
    st.caption("A small language model, fine-tuned on one person's tweets on this computer. "
               "Everything it writes is generated: parody, not statements of that person.")


def show_error(message: str):
    "An error as plain text: it may quote a file, and Markdown could follow its links."
    st.error("That didn't work:")
    st.code(message, language=None, wrap_lines=True)


@st.fragment(run_every=2.0)
def show_training(name: str):
    status = training_status(name)
    if status is None:
        st.rerun()
    if status["state"] == "failed":
        st.session_state.failed = status["message"]
        st.rerun()
    st.subheader("Training the voice")
    st.text(name)
    st.progress(status["fraction"], describe_status(status))
    if rows := bits_chart_rows(status["log"]):
        st.vega_lite_chart(rows, dict(mark=dict(type="line", point=True), height=220, encoding=dict(
            x=dict(field="epoch", type="quantitative", axis=dict(format="d", tickMinStep=1)),
            y=dict(field="bits per character", type="quantitative", scale=dict(zero=False)))))
        st.caption("Bits per character on tweets it has not learnt yet: the lower, the less they surprise it.")
    for stage, rows in groupby(status["log"], key=lambda row: row["stage"]):
        st.markdown(f"With *{stage}* learning, after each epoch it would say:")
        for row in rows:
            st.text(row.get("sample", ""))
    st.caption("You may close this page: the training goes on, and the voice will be here.")


def choose_base(voices: list[dict]) -> str:
    "What a new voice is made from; there is a choice where the extra `transformers` is installed."
    bases = bases_here()
    if len(bases) == 1:
        return bases[0]
    return st.radio("Made from", bases, captions=[describe_base(base, voices) for base in bases])


def show_new_voice(voices: list[dict]):
    base, names = choose_base(voices), [v["name"] for v in voices]
    sample = "juno" if base == "en" else f"juno-{base}"
    if sample not in names:
        if st.button("Train a voice on the sample tweets", type="secondary" if names else "primary", width="stretch"):
            start(sample, [], base)
        st.caption("The sample: 2,136 tweets of Juno Hale, an engineer who doesn't exist.")
    with st.form("own", border=True):
        upload = st.file_uploader("Or your own: an X archive, a Mastodon, Bluesky or Threads export, "
                                  "a table, JSON or text")
        path = st.text_input("Or a file on this computer, a Kaggle dataset, or an account",
                             placeholder="kaggle:kulgen/elon-musks-tweets or bluesky:HANDLE")
        name = st.text_input("Name of the voice", placeholder="letters and digits")
        if st.form_submit_button("Train", width="stretch"):
            if not name or not (upload or path):
                st.error("Choose a file and a name.")
            else:
                name = name.strip()
                start(name, [save_upload(name, upload.name, upload.getvalue()) if upload else path.strip()], base)


def start(name: str, sources: list, base: str):
    launch_training(sources, name, base=base)
    st.session_state.voice = name
    st.rerun()


def ask(names: list[str]) -> dict | None:
    "The form; its values once the button was pressed."
    chosen = st.session_state.get("voice")
    with st.form("ask", border=False):
        left, right = st.columns([1, 2])
        voice = left.selectbox("Voice", names, index=names.index(chosen) if chosen in names else 0)
        prompt = right.text_input("The tweet begins with", value="Tesla will", max_chars=200, help="May be empty.")
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
    return dict(voice=voice, prompt=prompt, n=n, live=live, inside=inside, seed=int(seed),
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
    report, tweets = Path(meta["folder"])/"report.json", []
    judge = open_judge(meta["folder"], meta["created"], report.stat().st_mtime) if report.is_file() else None
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


def show_about(meta: dict):
    with st.expander(f"How good is the voice {meta['name']}?"):
        test, before = meta["metrics"]["test"], meta["metrics"]["before"]
        left, right = st.columns(2)
        change = f"{test['bits_per_character'] - before['bits_per_character']:.2f} by fine-tuning" if before else None
        left.metric("Bits per character, newest tweets", f"{test['bits_per_character']:.2f}",
                    change, delta_color="inverse")
        right.metric("Learnt from", f"{meta['counts']['train']:,} tweets")
        st.caption(f"Measured on its {test['tweets']:,} newest tweets, which it has never seen. Fewer bits are better; "
                   "knowing nothing but the alphabet takes about 5.")
        st.text(f"Made from {base_in_words(meta['base'])}.")
        st.dataframe(stage_rows(meta), hide_index=True)
        for sentence in meta.get("advice", []):
            st.caption(sentence.capitalize())
        show_report(meta)
        for stage in meta["stages"]:
            st.markdown(f"Said after training *{stage['name']}*:")
            for sample in stage["samples"]:
                st.text(sample["text"])


def show_report(meta: dict):
    "Sentences of the last report, the report itself, and a button that makes a new one."
    takes = "some minutes" if is_transformer(meta) else "a minute"
    if st.button(f"Judge it: can it be told from the person? Takes {takes}", width="stretch"):
        bar = st.progress(0.)
        make_report(open_voice(meta["folder"], meta["created"]), bar.progress)
        bar.empty()
    path = Path(meta["folder"])/"report.html"
    if path.is_file() and (sentences := report_sentences(meta["folder"])):
        for sentence in sentences:
            st.text(sentence)
        st.download_button("Download the whole report", path.read_bytes(), f"{meta['name']}-report.html", "text/html",
                           width="stretch", on_click="ignore")


@st.cache_resource
def tidy_up():
    remove_leftovers()


def main():
    tidy_up()
    show_header()
    if message := st.session_state.pop("failed", None):
        show_error(message)
    for name in running_trainings():
        show_training(name)
    voices = {v["name"]: v for v in list_voices()}
    if voices:
        asked = ask(list(voices))
        if asked:
            st.session_state.update(asked=asked, voice=asked["voice"])
        asked = st.session_state.get("asked")
        if asked and asked["voice"] in voices:
            show_tweets(asked, voices[asked["voice"]])
        chosen = st.session_state.get("voice")
        show_about(voices.get(chosen) or next(iter(voices.values())))
        with st.expander("Train another voice"):
            show_new_voice(list(voices.values()))
    elif not running_trainings():
        st.info("There is no voice yet.")
        show_new_voice([])


try:
    main()
except UlmtweetError as error:
    show_error(str(error))
