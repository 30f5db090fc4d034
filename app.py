"""The page: write as somebody, train a voice, judge it, play against it.

`streamlit run app.py`. Widgets only, here and in `pages/`; what they show is made in `ulmtweet/page/`.
"""
import streamlit as st

from pages.common import show_error
from ulmtweet.core import UlmtweetError
from ulmtweet.page.trainings import remove_leftovers

st.set_page_config("ulmtweet", "🐤", layout="centered")
# the chosen one of several is written in the primary colour, which can't be read on a dark ground
st.html("<style>[data-testid=stButtonGroup] button p {color: CanvasText}</style>")


@st.cache_resource
def tidy_up():
    remove_leftovers()


tidy_up()
here = st.navigation([st.Page("pages/write.py", title="Write", icon=":material/edit:", default=True),
                      st.Page("pages/train.py", title="Train", icon=":material/school:"),
                      st.Page("pages/judge.py", title="Judge", icon=":material/balance:"),
                      st.Page("pages/play.py", title="Play", icon=":material/casino:"),
                      st.Page("pages/about.py", title="About", icon=":material/info:")], position="top")
try:
    here.run()
except UlmtweetError as error:
    show_error(str(error))
