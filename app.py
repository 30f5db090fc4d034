"""The page: write as somebody, train a voice, judge it, play against it.

`streamlit run app.py`. Widgets only, here and in `rooms/`; what they show is made in `ulmtweet/page/`.
"""
import streamlit as st

from rooms.common import show_error
from ulmtweet.core import UlmtweetError
from ulmtweet.page.trainings import remove_leftovers

st.set_page_config("ulmtweet", "🐤", layout="centered")
# less empty space at the top; the chosen one of several is in the primary colour, which can't be read on a dark ground
st.html("<style>.block-container {padding-top: 4.5rem}"
        "[data-testid=stButtonGroup] button p {color: CanvasText}</style>")


@st.cache_resource
def tidy_up():
    remove_leftovers()


tidy_up()
here = st.navigation([st.Page("rooms/write.py", title="Write", icon=":material/edit:", default=True),
                      st.Page("rooms/train.py", title="Train", icon=":material/school:"),
                      st.Page("rooms/judge.py", title="Judge", icon=":material/balance:"),
                      st.Page("rooms/play.py", title="Play", icon=":material/casino:"),
                      st.Page("rooms/about.py", title="About", icon=":material/info:")], position="top")
try:
    here.run()
except UlmtweetError as error:
    show_error(str(error))
