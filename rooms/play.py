"Play: real or generated?"
import streamlit as st

from rooms.common import choose_voice

st.title("Real or generated?")
if meta := choose_voice():
    st.text(meta["name"])
