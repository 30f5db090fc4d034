"""How fast is the page? Seconds from a click to what it brings, in a real browser, as JSON.

    python bench/page.py [HOME] > bench/results/page.json

HOME is a home folder with a voice, the first of which is asked; without one, a voice of the bundled sample is trained
for it, which takes a minute. Needs Playwright and Chromium. `paint` is from the address to the finished page, on a
server that has shown it before; `first_words` from the click on Generate to the first draft that can be read,
`tweets` to the chosen ones, each in a new session with another prompt, those of the first session apart; `switch`
from a click on a room's name to that room, with every room opened before. Medians of RUNS, in some two minutes.
"""
import json, platform, statistics, subprocess, sys, tempfile, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]/"tests"))
from browser import browser_page, server, settled
from engine import processor

from ulmtweet.models.voice import list_voices

RUNS = 7
PROMPTS = ["The van", "Today", "We", "If you", "My", "No", "It's"]
ROOMS = ["Train", "Judge", "Play", "About", "Write"]


def seconds(action):
    began = time.perf_counter()
    action()
    return round(time.perf_counter() - began, 2)


def paint(page, address):
    def go():
        page.goto(address)
        page.get_by_role("button", name="Generate", exact=True).wait_for()
        settled(page)
    return seconds(go)


def write(page, address, prompt):
    "Seconds to the first draft, and to the tweets."
    paint(page, address)
    page.get_by_role("textbox", name="The tweet begins with").fill(prompt)
    began = time.perf_counter()
    page.get_by_role("button", name="Generate", exact=True).click()
    page.locator(".tweet-text").first.wait_for()
    first = time.perf_counter() - began
    page.locator(".tweet-generated").nth(4).wait_for()
    return round(first, 2), round(time.perf_counter() - began, 2)


def switch(page, room):
    def go():
        page.get_by_role("link", name=room, exact=True).click()
        page.wait_for_function("path => location.pathname == path", arg="/" if room == "Write" else f"/{room.lower()}")
        page.locator("h1").first.wait_for()
        settled(page)
    return seconds(go)


def measure(home):
    with server(home) as (address, _), browser_page(address) as page:
        paints = [paint(page, address) for _ in range(RUNS)]
        cold, *written = [write(page, address, prompt) for prompt in PROMPTS]
        for room in ROOMS: switch(page, room)
        rooms = {room: statistics.median(switch(page, room) for _ in range(3)) for room in ROOMS}
    drafts, tweets = zip(*written)
    return dict(paint=statistics.median(paints), first_words=statistics.median(drafts),
                tweets=statistics.median(tweets), first_session=dict(first_words=cold[0], tweets=cold[1]), switch=rooms)


def main(home=None):
    with tempfile.TemporaryDirectory() as own:
        if not home: subprocess.run([sys.executable, "-m", "ulmtweet.cli", "demo", "--home", own], check=True,
                                    stdout=subprocess.DEVNULL)
        print(json.dumps(measure(home or own) | dict(
            voice=list_voices(home or own)[0]["base"]["name"], processor=processor(), runs=RUNS,
            command="python bench/page.py", python=platform.python_version()), indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
