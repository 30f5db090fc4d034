"Judge: how good is a voice, and how do two of them compare?"
import re
from pathlib import Path

import streamlit as st

from rooms.common import choose_voice, errors_shown, open_voice, show_error
from ulmtweet.models.voice import WEB, base_in_words, is_transformer, list_voices
from ulmtweet.page.compared import SHARES, authors, blended_tweets, comparison
from ulmtweet.page.figures import STYLE, quotes, table
from ulmtweet.page.judged import (Section, fleet_section, headline, launch_report, report_sections, report_status,
                                  stop_report)
from ulmtweet.page.trainings import describe_status, stage_rows


# the slider writes its value in the primary colour, which can't be read on a dark ground
LOOKS = "<style>[data-testid=stSlider] p { color: CanvasText; }</style>"


def show_section(section: Section):
    st.subheader(section.title)
    st.text(section.sentence)
    st.html(section.figure)


# the report

MAIN = 4 # sections of a report that are open from the beginning


@st.fragment(run_every=1.0)
def show_progress(name: str):
    status = report_status(name)
    if status is None or status["state"] == "failed":
        st.session_state.report_failed = status and status["message"]
        st.rerun()
    st.progress(min(status["fraction"], 1.), describe_status(status))
    st.text("You may close this page: the report will be here.")
    if status["ours"]:
        st.button("Stop", on_click=stop_report, args=[name])


def show_report(meta: dict):
    "The last report, and a button that makes a new one."
    folder, name, message = Path(meta["folder"]), meta["name"], st.session_state.pop("report_failed", None)
    sections, busy = report_sections(folder), report_status(name)
    if busy and busy["state"] == "failed": # while nobody looked
        busy, message = None, busy["message"]
    if message: show_error(message)
    kept = (folder/"originals.json").is_file()
    if busy:
        show_progress(name)
    elif not kept:
        st.info("This voice was trained without keeping the person's tweets, so there is nothing to judge it by.")
    elif not sections:
        st.text("Nobody has judged this voice yet. Classifiers will try to tell its tweets from real ones, "
                "and it is measured what it copies and how its style differs.")
    if sections:
        for column, (label, value) in zip(st.columns(3), headline(folder).items()):
            column.metric(label, value)
    for section in sections[:MAIN]:
        show_section(section)
    for section in sections[MAIN:]:
        with st.expander(section.title):
            st.text(section.sentence)
            st.html(section.figure)
    if kept and not busy:
        takes = "some minutes" if is_transformer(meta) else "a minute"
        label = f"Judge it again, takes {takes}" if sections else f"Judge this voice, takes {takes}"
        if st.button(label, type="secondary" if sections else "primary", icon=":material/balance:", width="stretch"):
            launch_report(name)
            st.rerun()
    if sections and (folder/"report.html").is_file():
        st.download_button("Download the whole report", (folder/"report.html").read_bytes, f"{name}-report.html",
                           "text/html", icon=":material/download:", width="stretch", on_click="ignore")


# how it learnt

OPTIONS = re.compile(r": --[\w-]+ \d+| \(--[\w-]+\)") # of the command line, in advice


def show_training(meta: dict):
    test, before = meta["metrics"]["test"], meta["metrics"]["before"]
    left, right = st.columns(2)
    change = f"{test['bits_per_character'] - before['bits_per_character']:.2f} by fine-tuning" if before else None
    left.metric("Bits per character, newest tweets", f"{test['bits_per_character']:.2f}", change, delta_color="inverse")
    right.metric("Learnt from", f"{meta['counts']['train']:,} tweets")
    st.text(f"Measured on its {test['tweets']:,} newest tweets, which it was not trained on. Fewer bits are better; "
            f"knowing nothing but the alphabet takes about 5. Made from {base_in_words(meta['base'])}.")
    if is_transformer(meta): st.text(WEB)
    for sentence in meta.get("advice", []):
        st.text(OPTIONS.sub("", sentence[:1].upper() + sentence[1:] + "."))
    st.subheader("Stage by stage")
    st.html(table(stage_rows(meta), "The stages of the training"))
    for stage in meta["stages"]:
        if not stage["samples"]: continue # a voice from the Hub has none
        st.text(f"After the stage \"{stage['name']}\" it said:")
        st.html(quotes([sample["text"] for sample in stage["samples"]]))
    if among := fleet_section(meta["folder"]):
        show_section(among)


# two voices

def other_voice(meta: dict) -> dict | None:
    others = {v["name"]: v for v in list_voices() if v["name"] != meta["name"]}
    if not others:
        st.text("It takes two voices: train another one.")
        st.page_link("rooms/train.py", label="Train a voice", icon=":material/school:")
        return None
    return others[st.selectbox("The other voice", list(others), key=f"beside {meta['name']}")]


def both(meta: dict, other: dict): return [open_voice(m["folder"], m["created"]) for m in (meta, other)]
def keys(meta: dict, other: dict): return [(m["folder"], m["created"]) for m in (meta, other)]


@st.cache_resource(max_entries=8, show_spinner="Reading their newest tweets ...")
def compare(keys: list) -> list[Section]: return comparison(*(open_voice(*k) for k in keys))


@st.cache_resource(max_entries=100, show_spinner="Writing ...")
def blend(keys: list, share: int, prompt: str, seed: int) -> list[str]:
    return [t.text for t in blended_tweets(*(open_voice(*k) for k in keys), share, prompt, seed=seed)]


def show_comparison(meta: dict, other: dict):
    pair = keys(meta, other)
    if is_transformer(meta) or is_transformer(other):
        st.text("A transformer reads slowly: this takes a minute or more.")
    if st.button("Compare them", type="primary", width="stretch"):
        st.session_state.compared = pair
    if st.session_state.get("compared") == pair:
        for section in compare(pair):
            show_section(section)


def show_author(meta: dict, other: dict):
    with st.form("author", border=False):
        text = st.text_area("Who would say this?", "The rocket is late again", max_chars=1000)
        pressed = st.form_submit_button("Who said it?", type="primary", width="stretch")
    if pressed:
        with st.spinner("Asking both ..."):
            section = authors(text, *both(meta, other))
        show_section(section)


@st.fragment
def show_blend(meta: dict, other: dict):
    with errors_shown():
        prompt = st.text_input("The tweet begins with", max_chars=200, help="May be empty.")
        share = st.select_slider("Who speaks?", SHARES, 50,
                                 format_func=lambda s: {0: "only the first", 100: "only the other"}.get(s, f"{s} %"))
        st.button("Other tweets", on_click=more_blends, icon=":material/refresh:")
        st.text(f"{100 - share} % {meta['name']}, {share} % {other['name']} (generated):")
        texts = blend(keys(meta, other), share, prompt, st.session_state.get("blend_seed", 0))
        if texts: st.html(quotes(texts))
        else: st.text("Nothing came of that beginning; try another.")


def more_blends(): st.session_state.blend_seed = st.session_state.get("blend_seed", 0) + 1


ALONE = {"Report": show_report, "Training": show_training}
BESIDE = {"Compare": show_comparison, "Who said it?": show_author, "Blend": show_blend}

st.title("How good is the voice?")
if meta := choose_voice():
    st.html(STYLE + LOOKS)
    view = st.segmented_control("What to look at", [*ALONE, *BESIDE], default="Report", required=True, key="view",
                                bind="query-params", label_visibility="collapsed")
    if view in ALONE:
        ALONE[view](meta)
    elif other := other_voice(meta):
        BESIDE[view](meta, other)
