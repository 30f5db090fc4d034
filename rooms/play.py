"Play: real or generated?"
from pathlib import Path

import streamlit as st

from rooms.common import choose_voice, open_voice
from ulmtweet.page.figures import GENERATED, REAL, STYLE, beside, text_html
from ulmtweet.page.game import Round, new_game, result_text, rival_picks, verdict


LOOKS = f"""<style>
.ut-riddle {{ font-size: 1.15rem; min-height: 5.5rem; padding-top: .5rem; border-top: 4px solid transparent; }}
.ut-riddle.ut-real {{ border-color: {REAL}; }} .ut-riddle.ut-generated {{ border-color: {GENERATED}; }}
.ut-boxes {{ display: flex; gap: .3rem; }}
.ut-boxes i {{ width: 1.1rem; height: 1.1rem; border-radius: .25rem; border: 2px solid {REAL}; }}
.ut-boxes .ut-True {{ background: {REAL}; }}
</style>"""


@st.cache_resource(max_entries=50, show_spinner="Writing tweets to hide the real ones among ...")
def game_of(folder: str, created: str, number: int) -> list[Round]: return new_game(open_voice(folder, created), number)


@st.cache_resource(max_entries=50, show_spinner="A classifier plays the same rounds ...")
def rival_of(folder: str, created: str, number: int, reported: float) -> list[bool] | None:
    return rival_picks(open_voice(folder, created), game_of(folder, created, number))


def rival(game: tuple) -> list[bool] | None:
    report = Path(game[0])/"report.json"
    return rival_of(*game, report.stat().st_mtime) if report.is_file() else None


def boxes(picks: list[bool]) -> str:
    "A box for each round; how many are full is told beside."
    drawn = "".join(f'<i class="ut-{right}"></i>' for right in picks)
    return f'<div class="ut-boxes" aria-hidden="true">{drawn}</div>'


def choose(place: int, right: bool):
    if len(st.session_state.picks) == place: # a second click may come before the cards are turned
        st.session_state.picks.append(right)
        st.session_state.answered = True


def go_on(): st.session_state.answered = False
def play_again(): st.session_state.game += 1
def from_the_beginning(): st.session_state.game = 1


def show_card(column, letter: str, place: int, shown: Round, answered: bool):
    first = letter == "A"
    real = first == shown.real_first
    with column.container(border=True):
        st.text(("Real" if real else "Generated") if answered else f"Tweet {letter}")
        kind = f"ut-{'real' if real else 'generated'}" if answered else ""
        st.html(f'<div class="ut-riddle {kind}">{text_html(shown.tweets[not first])}</div>')
        if not answered:
            st.button(f"{letter} is real", on_click=choose, args=[place, real], shortcut=letter, width="stretch",
                      type="primary")


def show_round(rounds: list[Round]):
    picks, answered = st.session_state.picks, st.session_state.answered
    place = len(picks) - answered
    st.progress(len(picks) / len(rounds), f"Round {place + 1} of {len(rounds)}, {sum(picks)} right so far")
    for column, letter in zip(st.columns(2), "AB"):
        show_card(column, letter, place, rounds[place], answered)
    if answered:
        st.markdown(":material/check_circle: **Right!**" if picks[-1] else
                    ":material/cancel: **No, that one was generated.**")
        st.button("Next round" if len(picks) < len(rounds) else "See the result", on_click=go_on, type="primary",
                  shortcut="N", width="stretch")
    else:
        st.text("One of them was really tweeted, after the voice had learnt. Handles and links are hidden in both.")


def show_result(meta: dict, game: tuple, rounds: list[Round]):
    picks, theirs = st.session_state.picks, rival(game)
    for column, name, found in zip(st.columns(2), ("You", "A classifier"), (picks, theirs)):
        if found:
            column.metric(name, f"{sum(found)} of {len(found)}")
            column.html(boxes(found))
    st.text(verdict(sum(picks), len(picks)))
    if theirs:
        st.text("The classifier has learnt from other tweets, real and generated, and never saw these.")
    elif (Path(game[0])/"report.json").is_file():
        st.text("A classifier can't play along: too few other new tweets are left for it to learn from.")
    else:
        st.text("After a report a classifier plays along.")
        st.page_link("rooms/judge.py", label="Judge this voice", icon=":material/balance:")
    st.button("Play again, with new tweets", on_click=play_again, type="primary", width="stretch")
    st.text("For a friend:")
    st.code(result_text(meta["name"], picks, theirs), language=None, wrap_lines=True)
    with st.expander("All rounds"):
        st.html(beside([{"real, you were right" if right else "real, you were wrong": r.real, "generated": r.generated}
                        for right, r in zip(picks, rounds)]))


def show_game(meta: dict, number: int):
    game = (meta["folder"], meta["created"], number)
    if st.session_state.get("playing") != game:
        st.session_state.update(playing=game, picks=[], answered=False)
    rounds = game_of(*game)
    if not rounds and number == 0:
        st.text("None of the newest tweets fits: in the game each has 20 to 280 characters, and is new to the voice.")
    elif not rounds:
        st.text("There are no real tweets left that you have not seen in an earlier game.")
        st.button("From the beginning", on_click=from_the_beginning, type="primary")
    elif len(st.session_state.picks) == len(rounds) and not st.session_state.answered:
        show_result(meta, game, rounds)
    else:
        show_round(rounds)


st.title("Real or generated?")
if meta := choose_voice():
    st.html(STYLE + LOOKS)
    place = st.container()
    with st.expander("Another game"):
        number = st.number_input("Game", 1, 1_000_000, key="game", bind="query-params",
                                 help="The same number is the same game, also for a friend with this voice.")
    with place:
        if not (Path(meta["folder"])/"originals.json").is_file():
            st.info("This voice was trained without keeping the person's tweets, so there are no real ones here.")
        else:
            show_game(meta, number - 1)
