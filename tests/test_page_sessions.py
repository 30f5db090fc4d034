"Many visitors of the page at once."
import os, re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import psutil, pytest

from browser import server
from visitors import visitor

SESSIONS = int(os.environ.get("ULMTWEET_SESSIONS", 5)) # 50 and more, for an hour when nothing else is done
PROMPTS = ["", "The van", "Today 🚐", "We are", "日本", "<script>", "@moss_volts", "$a $b", "My dream is", "No,",
           "It's", "If", "Once", "Small correction:", "Why", "100", "Nobody", "The launch", "Every", "Tesla will"]


def tweets(texts, n=2):
    "The finished cards."
    cards = re.findall(r'class="tweet-text" dir="auto">(.*?)</div>', "".join(texts), re.DOTALL)
    return cards[-n:]


def opened(address, **asked):
    "What somebody sees who opens a link."
    with visitor(address) as v: return v.open(urlencode(dict(voice="small") | asked))


def written(address, prompts): return [tweets(opened(address, prompt=p, seed=i, n=2)) for i, p in enumerate(prompts)]


@pytest.mark.slow
def test_many_at_once_get_what_each_would_get_alone(home):
    prompts = PROMPTS[:max(5, min(SESSIONS, 20))]
    with server(home) as (address, _):
        alone = written(address, prompts)
        assert all(len(cards) == 2 for cards in alone) and len({str(cards) for cards in alone}) == len(prompts)
        with ThreadPoolExecutor(SESSIONS) as pool:
            assert all(got == alone for got in pool.map(written, [address] * SESSIONS, [prompts] * SESSIONS))


@pytest.mark.slow
def test_sessions_that_have_ended_leave_nothing_behind(home):
    with server(home) as (address, process):
        def memory_after(n):
            for _ in range(n): assert opened(address)
            return psutil.Process(process.pid).memory_info().rss
        before = memory_after(40)
        assert memory_after(15 * SESSIONS) <= 1.1 * before
