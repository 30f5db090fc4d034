"About: what this is, what to mind, where things are, and how a voice is deleted."
from importlib.metadata import version

import streamlit as st

from rooms.common import choose_voice, errors_shown, open_voice
from ulmtweet.core import voices_folder
from ulmtweet.models.voice import base_in_words, learnt_in_words, network_in_words
from ulmtweet.page.figures import STYLE, table
from ulmtweet.page.folders import card_text, delete_voice, file_rows
from ulmtweet.page.public import public

WHAT = "ulmtweet fine-tunes a small language model on one person's tweets, and shows what they would tweet next."
ON_THIS_COMPUTER = "Everything happens on this computer: nothing is sent anywhere, there is no account and no key."
IN_PUBLIC = """What you type goes to the computer that serves this page, and it keeps none of it. Whoever wants a \
voice of their own makes it on their own computer."""
PARODY = """What a voice writes is generated. It has the person's words and habits and knows nothing: its facts are \
made up, and no text from it is a statement of that person."""

MIND = """A model of a person's voice is a portrait, and some portraits do harm. Use your own tweets, or those of \
people who speak in public and can be parodied. Say that what it writes is generated; never post it under the \
person's name, and never use it to deceive or to harass.

The tweets that a voice was trained on are kept in its folder, to recognise copies of them. Who gets the folder gets \
the tweets."""


def show_figures(meta: dict):
    test, before = meta["metrics"]["test"], meta["metrics"]["before"]
    bits = lambda measured: f"{measured['bits_per_character']:.2f}" if measured else "not measured"
    facts = {"made": meta["created"][:10], "from": base_in_words(meta["base"]), "network": network_in_words(meta),
             "learnt": learnt_in_words(meta), "tweets learnt": f"{meta['counts']['train']:,}",
             "tweets it was tested on": f"{test['tweets']:,}", "bits per character on these": bits(test),
             "before fine-tuning": bits(before)}
    st.html(table([{"what": k, "value": v} for k, v in facts.items()], "Figures of the voice"))


@st.dialog("Delete this voice?")
def ask_before_deleting(meta: dict):
    st.text(meta["name"])
    st.text("The voice, the tweets that are kept with it, and its report are deleted. This can't be undone.")
    with errors_shown():
        if st.button("Delete it", type="primary", icon=":material/delete:", width="stretch"):
            delete_voice(meta["name"])
            open_voice.clear(meta["folder"], meta["created"])
            st.session_state.pop("voice", None)
            st.session_state.deleted = meta["name"]
            st.rerun()
        if st.button("Keep it", width="stretch"):
            st.rerun()


def show_folder(meta: dict):
    if card := card_text(meta["folder"]):
        with st.expander("Its card"):
            st.text(card)
            st.download_button("Download the card", card, f"{meta['name']}-card.md", "text/markdown", on_click="ignore")
    with st.expander("Its files"):
        st.code(meta["folder"], language=None, wrap_lines=True)
        st.html(table(file_rows(meta["folder"]), "Files of the voice"))
    if st.button("Delete this voice", icon=":material/delete:"):
        ask_before_deleting(meta)


st.title("About ulmtweet")
for sentence in (WHAT, IN_PUBLIC if public() else ON_THIS_COMPUTER, PARODY):
    st.text(sentence)
if not public():
    st.subheader("Before you make a voice")
    st.text(MIND)
st.subheader("The voice")
if deleted := st.session_state.pop("deleted", None):
    st.success("Deleted:")
    st.text(deleted)
if meta := choose_voice():
    st.html(STYLE)
    show_figures(meta)
    if not public():
        show_folder(meta)
st.subheader("Licence" if public() else "Licence, and where things are")
st.text(f"ulmtweet {version('ulmtweet')}, Apache License 2.0. A voice from a transformer also has the licence of its "
        "base.")
if not public():
    st.text("All voices are in:")
    st.code(str(voices_folder()), language=None, wrap_lines=True)
