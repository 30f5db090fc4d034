"Train: somebody's tweets become a voice."
from itertools import groupby

import streamlit as st

from pages.common import show_error
from ulmtweet.models.voice import list_voices
from ulmtweet.page.trainings import (bases_here, bits_chart_rows, describe_base, describe_status, launch_training,
                                     running_trainings, save_upload, training_status)


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


st.title("Train a voice")
if message := st.session_state.pop("failed", None):
    show_error(message)
for name in running_trainings():
    show_training(name)
show_new_voice(list_voices())
