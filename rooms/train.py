"Train: somebody's tweets become a voice."
import html, time
from pathlib import Path

import streamlit as st

from rooms.common import errors_shown, show_error
from ulmtweet.core import ASSETS, describe_seconds, read_json, voices_folder
from ulmtweet.models.voice import list_voices
from ulmtweet.page.data_report import (HANDLES, SWITCHES, USUAL, bars_html, dates_in_words, details_html, example_html,
                                       how_well, keep_upload, kept_and_dropped, notes_in_words, read_report,
                                       reading_options, tweet_html, typed_source)
from ulmtweet.page.trainings import (BITS_CHART, RATE_CHART, bases_here, bits_chart_rows, bits_in_words, check_free,
                                     describe_base, describe_status, finished_in_words, forget_training, found_rate,
                                     free_name, is_busy, known_trainings, launch_training, remove_uploads,
                                     resume_training, steps_html, stop_training, training_steps, training_takes)

SAMPLE = str(ASSETS/"sample_tweets.csv")
PLACES = dict(file="A file", path="On this computer", kaggle="Kaggle", bluesky="Bluesky", mastodon="Mastodon", x="X",
              sample="The sample")
ASKED = dict(path=("File or folder on this computer", "/home/me/twitter-2026-05-01.zip"),
             kaggle=("Dataset on Kaggle", "kulgen/elon-musks-tweets"),
             bluesky=("Handle on Bluesky", "juno.bsky.social"),
             mastodon=("Handle on Mastodon", "@juno@mastodon.social"),
             x=("Handle on X", "juno"))
HINTS = dict(path="Also for archives of more than 200 MB.",
             kaggle="It is fetched once and kept on this computer. The page's address will do as well.",
             bluesky="Public posts are fetched from Bluesky; no key is needed.",
             mastodon="Public posts are fetched from the person's server; no key is needed.",
             x="X gives posts only to people with a key of its programming interface, which ulmtweet finds in the "
               "environment variable ULMTWEET_X_TOKEN. Without one, use the archive that X sends you.")
BASE_NAMES = dict(en="The small base", smollm2="The big base")
GENERATED = ("Everything a voice writes is generated. Never pass it off as something a person said, and leave private "
             "people alone who haven't agreed.")


# Trainings under way, and those that have ended

def show_trainings(trainings: dict[str, dict]):
    if trainings:
        st.fragment(show_each, run_every=2.0 if is_busy(trainings) else None)(is_busy(trainings))


def show_each(busy: bool):
    trainings = known_trainings()
    with errors_shown():
        for name, status in trainings.items():
            with st.container(border=True, key=f"training-{name}"):
                show_training(name, status)
    if busy and not is_busy(trainings):
        st.rerun() # nothing is left to look at every other second


def show_training(name: str, status: dict):
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(f'<h3 style="padding: 0; overflow-wrap: anywhere">{html.escape(name)}</h3>', width="stretch")
        show_buttons(name, status)
    if status["ended"] == "finished":
        return show_finished(name)
    if status["ended"] == "failed":
        show_error(status["message"])
    else:
        st.progress(status["fraction"], describe_status(status))
    if status.get("damaged"):
        st.caption("How far it is can't be read: its status file is damaged.")
    if steps := training_steps(status):
        st.html(steps_html(steps))
    show_curves(name, status)
    show_samples(status)
    if not status["ended"]:
        st.caption("You may close this page: the training goes on, and you will find it here.")


def show_buttons(name: str, status: dict):
    "What can be done with a training; one that was started in a terminal is left to it."
    if not status["ours"]:
        return
    if not status["ended"]:
        show_button("Stop", stop_training, name, icon=":material/stop:", disabled=status["state"] == "stopping")
    elif status["ended"] == "finished":
        show_button("Close", forget_training, name)
    else:
        show_button("Go on", resume_training, name, icon=":material/play_arrow:", type="primary")
        with st.popover("Throw away"):
            show_button("Yes, throw away what it has learnt", forget_training, name)


def show_button(label: str, action, name: str, **look):
    if st.button(label, key=f"{label}-{name}", **look):
        action(name)
        st.rerun()


def show_curves(name: str, status: dict):
    if status["log"]:
        sentence = bits_in_words(status["log"])
        if rows := bits_chart_rows(status["log"]):
            st.vega_lite_chart(rows, BITS_CHART, height=200, alt=sentence)
        st.caption(sentence)
    if found := found_rate(name):
        columns, sentence = found
        with st.expander("How it found its learning rate"):
            st.vega_lite_chart(columns, RATE_CHART, height=200, alt=sentence)
            st.caption(sentence)


def show_samples(status: dict):
    "What the voice says after each stage, the newest first."
    if status["log"] and status["log"][-1].get("sample"):
        st.caption("Right now it would say (generated):")
        st.html(tweet_html(status["log"][-1]["sample"]))
    if status["done"]:
        with st.expander("What it said after each stage"):
            for stage in reversed(status["done"]):
                st.caption(f"After: {stage['name']}")
                for sample in stage["samples"]:
                    st.html(tweet_html(sample["text"]))


def show_finished(name: str):
    meta = read_json(voices_folder()/name/"voice.json")
    st.success(finished_in_words(meta))
    st.caption("It says (generated):")
    for sample in meta["stages"][-1]["samples"]:
        st.html(tweet_html(sample["text"]))
    if st.button("Write with it", key=f"write-{name}", icon=":material/edit:", type="primary", width="stretch"):
        forget_training(name)
        st.session_state.voice = name
        st.switch_page("rooms/write.py")


# A new voice

def show_welcome():
    "The first screen of somebody who has no voice yet."
    st.text("ulmtweet learns how one person tweets, on this computer, and shows what they would tweet next. "
            "Nothing leaves the computer, and no account is needed.")
    st.text("1. Choose tweets: yours, a public person's, or the sample.\n"
            "2. Train a voice: it takes some minutes, and you can watch it learn.\n"
            "3. Write: begin a tweet, and the voice goes on.")
    if st.button("Try it with the sample", type="primary", icon=":material/rocket_launch:", width="stretch"):
        start([], free_name("juno"), "en", [])
    st.caption("The sample: 2,136 tweets of Juno Hale, an engineer who doesn't exist. It takes about "
               f"{describe_seconds(training_takes('en', tweets=2136))}.")


def choose_source() -> tuple[str, object] | None:
    "Where the tweets are, and a stamp that changes with every look at them; None as long as nothing is chosen."
    begun = st.session_state.get("begun", 0) # after each training the choice begins anew, and its card is in sight
    place = st.segmented_control("Where are the tweets?", list(PLACES), default="file", required=True,
                                 format_func=PLACES.get, key=f"place-{begun}")
    if place == "file":
        return choose_file(f"file-{begun}")
    if place == "sample":
        return SAMPLE, None
    label, example = ASKED[place]
    with st.form(f"source-{place}", border=False):
        typed = st.text_input(label, placeholder=example, max_chars=1000)
        if st.form_submit_button("Look at the tweets"):
            st.session_state.looked = place, typed_source(place, typed), time.time()
    st.caption(HINTS[place])
    at, source, stamp = st.session_state.get("looked", ("", "", 0))
    return (source, stamp) if source and at == place else None


def choose_file(key: str) -> tuple[str, object] | None:
    upload = st.file_uploader("Drop your tweets here", key=key)
    st.caption("An X archive as it comes; an export of Mastodon, Bluesky or Threads; a table, JSON, or text with a "
               "tweet a line. Private messages, likes and deleted tweets in an archive are never opened. "
               "For more than 200 MB, choose “On this computer” and write where the file is.")
    with st.expander("How do I get my tweets from X?", icon=":material/help:"):
        st.text("On X: More, Settings and privacy, Your account, Download an archive of your data. After a day or so "
                "X writes to you that the zip is ready. Drop it here as it is.")
    if upload is None:
        return None
    kept = st.session_state.get("upload", ("", ""))
    if kept[0] != upload.file_id or not Path(kept[1]).exists():
        kept = upload.file_id, str(keep_upload(upload.name, upload.getvalue()))
        st.session_state.upload = kept
    return kept[1], None


def choose_cleaning() -> dict:
    "What is learnt of the tweets."
    with st.expander("What it learns from", icon=":material/tune:"):
        chosen = {name: st.toggle(label, USUAL[name], key=f"clean-{name}") for name, label in SWITCHES.items()}
        chosen["handles"] = st.segmented_control("@handles", list(HANDLES), default=USUAL["handles"], required=True,
                                                 format_func=HANDLES.get, key="clean-handles")
        chosen["min_length"] = st.number_input("Shortest tweet, in characters", 1, 280, USUAL["min_length"],
                                               key="clean-min_length")
    return chosen


def look_at(source: str, stamp: object, options: list[str]) -> dict:
    "The report on a source; what is fetched meanwhile says how far it is."
    line = st.empty()
    try:
        with st.spinner("Reading the tweets ...", show_time=True):
            return read_report(source, options, stamp=stamp, progress=lambda seconds, said: line.text(said[:200]))
    finally:
        line.empty()


def show_report(report: dict):
    level, sentence = how_well(report)
    getattr(st, level)(sentence)
    st.html(bars_html(kept_and_dropped(report), "Tweets that are learnt, and those that are left out by reason"))
    st.text(dates_in_words(report))
    if len(report["dates"]["by_year"]) > 1:
        with st.expander("Tweets by year"):
            st.html(bars_html(report["dates"]["by_year"], "Tweets by year"))
    for note in notes_in_words(report):
        st.text(note)
    st.caption("Three of them, before and after cleaning:")
    for example in report["examples"]:
        st.html(example_html(example))
    with st.expander("More about them"):
        st.html(details_html(report))


def choose_author(report: dict) -> str:
    "Whose tweets, where there are several people; empty for everybody's."
    authors = list(report["authors"])
    if len(authors) < 2:
        return ""
    everybody = f"Everybody's, mixed ({report['kept']:,})"
    chosen = st.selectbox("Whose tweets?", [*authors[:500], everybody],
                          format_func=lambda a: f"{a} ({report['authors'][a]:,})" if a in report["authors"] else a)
    return chosen if chosen in report["authors"] else ""


def show_new_voice(voices: list[dict]):
    "From a source to the button that trains."
    if not (found := choose_source()):
        return
    above, options = st.container(), choose_cleaning()
    with above:
        report = look_at(*found, reading_options(options))
        if author := choose_author(report):
            report = look_at(*found, reading_options(options, author))
        show_report(report)
    if report["training"]["enough"]:
        person = next(iter(report["authors"]), "") or Path(found[0]).stem
        show_start(found[0], reading_options(options, author), report["kept"], person, voices)


def show_start(source: str, options: list[str], tweets: int, person: str, voices: list[dict]):
    "Base, name and the button."
    bases = bases_here()
    base = st.radio("Made from", bases, captions=[describe_base(b, voices, tweets) for b in bases], key="base",
                    format_func=BASE_NAMES.get)
    name = st.text_input("Name of the voice", free_name(person), max_chars=64, key=f"name-{person}",
                         help="Letters, digits, dots, hyphens and underscores.").strip()
    if st.button("Train", type="primary", icon=":material/school:", width="stretch"):
        job = [source], check_free(name), base, options
        if st.session_state.get("consent") or source == SAMPLE:
            start(*job)
        ask_consent(*job)


@st.dialog("Whose tweets are these?")
def ask_consent(*job):
    whose = st.radio("Whose tweets are these?", index=None, label_visibility="collapsed", options=[
        "They are mine.", "They are a public person's, and I will say that what I show is generated."])
    st.text(GENERATED)
    if st.button("Train", type="primary", disabled=whose is None, key="consented", width="stretch"):
        with errors_shown():
            st.session_state.consent = whose
            start(*job)


def start(sources: list, name: str, base: str, options: list[str]):
    launch_training(sources, name, base=base, options=options)
    st.session_state.begun = st.session_state.get("begun", 0) + 1
    st.session_state.pop("looked", None)
    st.toast("The training has begun.", icon=":material/school:")
    st.rerun()


st.title("Train a voice")
remove_uploads()
voices, trainings = list_voices(), known_trainings()
with errors_shown():
    if not voices and not trainings:
        show_welcome()
show_trainings(trainings)
st.header("A new voice" if voices or trainings else "Or with other tweets", anchor=False)
with errors_shown():
    show_new_voice(voices)
