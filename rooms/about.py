"About: what this is, and where things are."
import streamlit as st

from ulmtweet.core import voices_folder

st.title("About ulmtweet")
st.text(f"Voices are in {voices_folder()}.")
