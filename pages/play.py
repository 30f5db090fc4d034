"Play: real or generated?"
from pathlib import Path

import streamlit as st

from pages.common import choose_voice, open_voice
from ulmtweet.page.figures import STYLE, table, text_html
from ulmtweet.page.game import Round, new_game, result_text, rival_picks, squares, verdict


@st.cache_resource(max_entries=50, show_spinner="Writing tweets to hide the real ones among ...")
def game_of(folder: str, created: str, number: int) -> list[Round]: return new_game(open_voice(folder, created), number)


@st.cache_resource(max_entries=50, show_spinner="A classifier plays the same rounds ...")
def rival_of(folder: str, created: str, number: int, reported: float) -> list[bool] | None:
    return rival_picks(open_voice(folder, created), game_of(folder, created, number))


def rival(game: tuple) -> list[bool] | None:
    report = Path(game[0])/"report.json"
    return rival_of(*game, report.stat().st_mtime) if report.is_file() else None


def choose(first: bool, shown: Round):
    st.session_state.picks.append(first == shown.real_first)
    st.session_state.answered = True


def go_on(): st.session_state.answered = False
def play_again(): st.session_state.game += 1
def from_the_beginning(): st.session_state.game = 1


def show_card(column, letter: str, shown: Round, first: bool, answered: bool):
    with column.container(border=True):
        if answered:
            st.text("Real" if first == shown.real_first else "Generated")
        else:
            st.text(f"Tweet {letter}")
        st.html(f'<div class="ut-riddle">{text_html(shown.tweets[not first])}</div>')
        if not answered:
            st.button(f"{letter} is real", on_click=choose, args=[first, shown], shortcut=letter, width="stretch",
                      type="primary")


def show_round(rounds: list[Round]):
    picks, answered = st.session_state.picks, st.session_state.answered
    place = len(picks) - answered
    st.progress(len(picks) / len(rounds), f"Round {place + 1} of {len(rounds)}, {sum(picks)} right so far")
    for column, letter in zip(st.columns(2), "AB"):
        show_card(column, letter, rounds[place], letter == "A", answered)
    if answered:
        st.text("🟩 Right!" if picks[-1] else "🟥 No, that one was generated.")
        st.button("Next round" if len(picks) < len(rounds) else "See the result", on_click=go_on, type="primary",
                  shortcut="N", width="stretch")
    else:
        st.caption("One of them was really tweeted, after the voice had learnt. Handles and links are hidden in both.")


def show_result(meta: dict, game: tuple, rounds: list[Round]):
    picks, theirs = st.session_state.picks, rival(game)
    left, right = st.columns(2)
    left.metric("You", f"{sum(picks)} of {len(picks)}")
    left.text(squares(picks))
    if theirs:
        right.metric("A classifier", f"{sum(theirs)} of {len(theirs)}")
        right.text(squares(theirs))
    st.text(verdict(sum(picks), len(picks)))
    if theirs:
        st.caption("The classifier has learnt from other tweets, real and generated, and never saw these.")
    else:
        st.text("After a report a classifier plays along.")
        st.page_link("pages/judge.py", label="Judge this voice", icon=":material/balance:")
    st.button("Play again, with new tweets", on_click=play_again, type="primary", width="stretch")
    st.text("For a friend:")
    st.code(result_text(meta["name"], picks, theirs), language=None, wrap_lines=True)
    with st.expander("All rounds"):
        st.html(table([{"you": "right" if right else "wrong", "real": r.real, "generated": r.generated}
                       for right, r in zip(picks, rounds)], "The rounds"))


def show_game(meta: dict, number: int):
    game = (meta["folder"], meta["created"], number)
    if st.session_state.get("playing") != game:
        st.session_state.update(playing=game, picks=[], answered=False)
    rounds = game_of(*game)
    if not rounds:
        st.text("There are no real tweets left that you have not seen in an earlier game.")
        st.button("From the beginning", on_click=from_the_beginning, type="primary")
    elif len(st.session_state.picks) == len(rounds) and not st.session_state.answered:
        show_result(meta, game, rounds)
    else:
        show_round(rounds)


st.title("Real or generated?")
if meta := choose_voice():
    st.html(STYLE + "<style>.ut-riddle { font-size: 1.15rem; min-height: 5.5rem; }</style>")
    place = st.container()
    with st.expander("Another game"):
        number = st.number_input("Game", 1, 1_000_000, key="game", bind="query-params",
                                 help="The same number is the same game, also for a friend with this voice.")
    with place:
        if not (Path(meta["folder"])/"originals.json").is_file():
            st.info("This voice was trained without keeping the person's tweets, so there are no real ones to play with.")
        else:
            show_game(meta, number - 1)
