"""The page: write as somebody, train a voice, judge it, play against it.

`streamlit run app.py`. Widgets only, here and in `rooms/`; what they show is made in `ulmtweet/page/`.
With `ULMTWEET_PUBLIC=1` it is a page for strangers, who can only write; see `ulmtweet/page/public.py`.
"""
import streamlit as st
from streamlit.config import set_option

from rooms.common import show_error
from ulmtweet.core import UlmtweetError
from ulmtweet.page.public import SERVER, public
from ulmtweet.page.trainings import remove_leftovers

st.set_page_config("ulmtweet", "🐤", layout="centered")
# less empty space at the top; the chosen one of several is in the primary colour, which can't be read on a dark ground
st.html("<style>.block-container {padding-top: 4.5rem}"
        "[data-testid=stButtonGroup] button p {color: CanvasText}</style>")


@st.cache_resource
def prepare():
    "Once a server."
    if not public():
        return remove_leftovers()
    for option, value in SERVER.items():
        set_option(option, value)


def rooms() -> list:
    write = st.Page("rooms/write.py", title="Write", icon=":material/edit:", default=True)
    about = st.Page("rooms/about.py", title="About", icon=":material/info:")
    if public():
        return [write, about]
    return [write, st.Page("rooms/train.py", title="Train", icon=":material/school:"),
            st.Page("rooms/judge.py", title="Judge", icon=":material/balance:"),
            st.Page("rooms/play.py", title="Play", icon=":material/casino:"), about]


here = st.navigation(rooms(), position="top")
try:
    prepare()
    here.run()
except UlmtweetError as error:
    show_error(error)
