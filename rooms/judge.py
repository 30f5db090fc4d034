"Judge: how good is a voice?"
from pathlib import Path

import streamlit as st

from rooms.common import choose_voice, open_voice
from ulmtweet.models.voice import base_in_words, is_transformer
from ulmtweet.page.judged import make_report, report_sentences
from ulmtweet.page.trainings import stage_rows


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


st.title("How good is the voice?")
if meta := choose_voice():
    show_about(meta)
