"What several pages show: the voices to choose from, errors; whose turn it is."
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path

import streamlit as st

from ulmtweet.core import UlmtweetError
from ulmtweet.models.voice import Voice, list_voices
from ulmtweet.page.public import HIDDEN, WAITING, Gate, public, told, visitor_of


@st.cache_resource
def gate() -> Gate: return Gate()


def visitor() -> str: return visitor_of(st.context.ip_address)


def turn(who: str | None = None, place=None):
    "Where strangers visit: a seat for a block that takes time, never inside another; `place` shows that there is none."
    if not public():
        return nullcontext()
    return gate().turn(who or visitor(), lambda: place and place.info(WAITING))


@st.cache_resource(max_entries=3, show_spinner="Opening the voice ...")
def open_voice(folder: str, created: str) -> Voice:
    with turn():
        voice = Voice.load(folder)
    voice.meta["name"] = Path(folder).name # as it is listed, also where that is a link
    return voice


@st.cache_resource(max_entries=3, show_spinner="Opening the report ...")
def _open_judge(folder: str, created: str, reported: float):
    from ulmtweet.evaluation.kept_judge import learnt_judge
    return learnt_judge(open_voice(folder, created))


def open_judge(meta: dict):
    "What the last report learnt to tell real from generated; None without a report."
    report = Path(meta["folder"])/"report.json"
    return _open_judge(meta["folder"], meta["created"], report.stat().st_mtime) if report.is_file() else None


def show_error(error: UlmtweetError | str):
    "An error as plain text: it may quote a file, and Markdown could follow its links."
    message = told(error) if public() else str(error)
    if message == HIDDEN:
        print(error, file=sys.stderr)
    st.error("That didn't work:")
    st.code(message, language=None, wrap_lines=True)


@contextmanager
def errors_shown():
    "For fragments and dialogs, which run by themselves: an error becomes a sentence."
    try:
        yield
    except UlmtweetError as error:
        show_error(error)


def choose_voice() -> dict | None:
    "The voice that all pages are about, kept in the address; None, with a way out, while there is none."
    voices = {v["name"]: v for v in list_voices()}
    if not voices and public():
        st.info("There is no voice here yet.")
        return None
    if not voices:
        st.info("There is no voice yet: train one, on your tweets or on the sample.")
        st.page_link("rooms/train.py", label="Train a voice", icon=":material/school:")
        return None
    chosen = st.session_state.get("voice")
    if chosen not in voices: # it was deleted meanwhile
        st.session_state.pop("voice", None)
        if chosen:
            st.info("That voice is not there any more: it was deleted or moved. Here is another one.")
    return voices[st.selectbox("Voice", list(voices), key="voice", bind="query-params")]
