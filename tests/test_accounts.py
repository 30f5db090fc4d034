"Accounts of Bluesky, Mastodon and X, from a local server that behaves like theirs."
import contextlib, gzip, json, os, pty, signal, subprocess, sys, threading, time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from conftest import SAMPLE
from ulmtweet.core import DataError, NetworkError
from ulmtweet.data import accounts as chapter
from ulmtweet.data.accounts import fetch_account
from ulmtweet.data.people import read_people
from ulmtweet.data.sources import read_tweets

SOURCES = dict(bluesky="bluesky:juno.example", mastodon="mastodon:@juno@social.example", x="x:juno")
KINDS = pytest.mark.parametrize("kind", list(SOURCES))
TOKEN = "a-key-of-one's-own"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass

    def do_GET(self):
        site, parts = self.server, urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        site.log.append((parts.path, query, {k.lower(): v for k, v in self.headers.items()}))
        fault = site.faults.pop(0) if site.faults else None
        if callable(fault): return fault(self)
        status, value, headers = fault or site.answer(parts.path, query, self.headers)
        self.send(status, value if isinstance(value, bytes) else json.dumps(value).encode(), headers)

    def send(self, status, content, headers=()):
        self.send_response(status)
        for name, text in dict(headers).items(): self.send_header(name, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Site(ThreadingHTTPServer):
    "One server for all three networks; `posts` are numbers, the newest last."
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.posts, self.faults, self.log, self.forgotten = list(range(1, 251)), [], [], set()
        threading.Thread(target=self.serve_forever, kwargs=dict(poll_interval=0.02), daemon=True).start()

    def handle_error(self, *args): pass # a client that has had enough

    def answer(self, path, query, headers):
        if path == "/xrpc/app.bsky.feed.getAuthorFeed": return self.bluesky(query)
        if path == "/api/v1/accounts/lookup":
            if query["acct"] != "juno": return 404, dict(error="Record not found"), {}
            return 200, dict(id="11", acct="juno"), {}
        if path == "/api/v1/accounts/11/statuses": return self.mastodon(query)
        if path.startswith("/2/") and headers["Authorization"] != f"Bearer {TOKEN}":
            return 401, dict(title="Unauthorized", status=401), {}
        if path == "/2/users/by/username/juno": return 200, dict(data=dict(id="22", username="juno")), {}
        if path.startswith("/2/users/by/username/"): return 200, dict(errors=[dict(detail="Could not find user")]), {}
        if path == "/2/users/22/tweets": return self.x(query)
        return 404, {}, {}

    def page(self, size, below=None, above=0):
        return [n for n in reversed(self.posts) if above < n < (below or 10**9)][:size]

    def bluesky(self, query):
        if query["actor"] != "juno.example": return 400, dict(error="InvalidRequest", message="Profile not found"), {}
        if query.get("cursor") in self.forgotten:
            return 400, dict(error="InvalidRequest", message="Malformed cursor"), {}
        assert query["filter"] == "posts_with_replies"
        time = lambda n: f"2024-01-01T{n // 60:02}:{n % 60:02}:00.000Z"
        numbers = self.page(int(query["limit"]), int(query.get("cursor", 10**9)))
        feed = [dict(post=dict(uri=f"at://juno/{n}", record=dict(text=f"post {n}"), indexedAt=time(n)))
                for n in numbers]
        return 200, dict(feed=feed, **(dict(cursor=str(numbers[-1])) if numbers else {})), {}

    def mastodon(self, query):
        numbers = self.page(int(query["limit"]), int(query.get("max_id", 10**9)), int(query.get("since_id", 0)))
        here = "https://social.example/api/v1/accounts/11/statuses?limit=40&"
        links = f'<{here}max_id={numbers[-1]}>; rel="next", <{here}min_id={numbers[0]}>; rel="prev"' if numbers else ""
        return 200, [dict(id=str(n), content=f"<p>post {n}</p>") for n in numbers], dict(Link=links) if links else {}

    def x(self, query):
        assert "note_tweet" in query["tweet.fields"]
        below, above = int(query.get("pagination_token", "t1000000000")[1:]), int(query.get("since_id", 0))
        numbers = self.page(int(query["max_results"]), below, above)
        meta = dict(result_count=len(numbers))
        if numbers and numbers[-1] > max(1, above + 1): meta["next_token"] = f"t{numbers[-1]}"
        data = [dict(id=str(n), text=f"post {n}") for n in numbers]
        return 200, dict(**(dict(data=data) if numbers else {}), meta=meta), {}


@pytest.fixture
def site(monkeypatch):
    site = Site()
    monkeypatch.setenv("ULMTWEET_ACCOUNTS_URL", f"http://127.0.0.1:{site.server_port}")
    monkeypatch.setenv("ULMTWEET_X_TOKEN", TOKEN)
    monkeypatch.setattr(chapter, "PAUSES", (0.01, 0.01))
    yield site
    site.shutdown()
    site.server_close()


def numbers(folder):
    "The posts of all pages, each once."
    found = set()
    for path in folder.glob("page-*.json"):
        page = json.loads(path.read_bytes())
        for post in page if isinstance(page, list) else page.get("feed") or page["data"]:
            text = post.get("text") or post.get("content", "").strip("</p>") or post["post"]["record"]["text"]
            found.add(int(text.split()[1]))
    return sorted(found)


def asked_for_pages(site):
    return [query for path, query, _ in site.log if "username" not in path and "lookup" not in path]


@KINDS
def test_all_pages_and_later_only_what_is_new(kind, site, tmp_path, capsys):
    folder = fetch_account(SOURCES[kind], tmp_path)
    assert numbers(folder) == site.posts and folder.is_relative_to(tmp_path/"accounts")
    assert "250 posts" in capsys.readouterr().err
    site.posts += range(251, 256)
    site.log.clear()
    assert fetch_account(SOURCES[kind], tmp_path) == folder
    assert numbers(folder) == site.posts and "255 posts" in capsys.readouterr().err
    assert len(site.log) == 1 + (kind == "mastodon")
    files = sorted(folder.glob("page-*.json"))
    fetch_account(SOURCES[kind], tmp_path)
    assert sorted(folder.glob("page-*.json")) == files


@KINDS
def test_news_come_also_where_as_many_pages_as_may_be_are_kept(kind, site, tmp_path, monkeypatch):
    monkeypatch.setattr(chapter, "MAX_PAGES", 2)
    fetch_account(SOURCES[kind], tmp_path)
    site.posts += [251]
    assert 251 in numbers(fetch_account(SOURCES[kind], tmp_path))


@KINDS
def test_what_is_kept_is_enough_where_a_training_goes_on(kind, site, tmp_path):
    fetch_account(SOURCES[kind], tmp_path, kept=True) # there is nothing yet
    before = read_tweets(SOURCES[kind], home=tmp_path, kept=True)
    site.posts += [251]
    site.log.clear()
    assert read_tweets(SOURCES[kind], home=tmp_path, kept=True).equals(before) and len(before) == 250 and not site.log
    assert len(read_tweets(SOURCES[kind], home=tmp_path)) > 250


def test_who_is_not_shown_stops_nobody_else(site, tmp_path):
    site.faults = [(403, dict(error="This method requires an authenticated user"), {})]
    people = read_people([SOURCES["bluesky"], str(SAMPLE)], tmp_path/"people", home=tmp_path)
    assert [(p.name, p.tweets > 2000) for p in people] == [("juno.example", False), ("sample_tweets", True)]
    assert "403: This method" in people[0].reason and not people[1].reason


@KINDS
def test_nothing_but_the_request_is_sent(kind, site, tmp_path, monkeypatch):
    (tmp_path/".netrc").write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path/".netrc"))
    fetch_account(SOURCES[kind], tmp_path)
    for _, _, headers in site.log:
        assert headers.pop("user-agent").startswith("ulmtweet/")
        assert headers.pop("authorization", None) == (f"Bearer {TOKEN}" if kind == "x" else None)
        assert set(headers) <= {"host", "accept", "accept-encoding", "connection"}


@KINDS
def test_a_broken_off_fetch_goes_on_where_it_was(kind, site, tmp_path, capsys):
    fine = [None] * (2 if kind == "bluesky" else 3)
    site.faults = fine + [(500, {}, {})] * 3
    folder = fetch_account(SOURCES[kind], tmp_path)
    first = numbers(folder)
    assert 0 < len(first) < 250 and "of before are used" in capsys.readouterr().err
    site.posts += range(251, 254)
    site.log.clear()
    assert numbers(fetch_account(SOURCES[kind], tmp_path)) == site.posts
    queries = asked_for_pages(site)
    assert {"cursor", "max_id", "pagination_token"} & set(queries[0])
    assert len([q for q in queries if not {"cursor", "max_id", "pagination_token"} & set(q)]) == 1


@KINDS
def test_a_round_for_news_that_breaks_off_leaves_no_gap(kind, site, tmp_path):
    fetch_account(SOURCES[kind], tmp_path)
    site.posts += range(251, 501)
    site.faults = [None] + [(503, {}, {})] * 3
    folder = fetch_account(SOURCES[kind], tmp_path)
    assert 250 < len(numbers(folder)) < 500
    site.posts += [501]
    assert numbers(fetch_account(SOURCES[kind], tmp_path)) == site.posts


def after(seconds): return datetime.now(UTC) + timedelta(seconds=seconds)

@pytest.mark.parametrize("header", [
    lambda: {"Retry-After": "2"}, lambda: {"Retry-After": format_datetime(after(3), usegmt=True)},
    lambda: {"ratelimit-reset": str(round(after(2).timestamp()))},
    lambda: {"x-rate-limit-reset": str(round(after(2).timestamp()))},
    lambda: {"X-RateLimit-Reset": after(2).isoformat()}])
def test_the_servers_waiting_time_is_kept_to(header, site, tmp_path, capsys):
    site.faults = [None, (429, dict(error="Too many requests"), header())]
    start = time.monotonic()
    assert numbers(fetch_account(SOURCES["bluesky"], tmp_path)) == site.posts
    assert 1 < time.monotonic() - start < 60
    said = capsys.readouterr().err
    assert "100 posts" in said and "429" in said and "next try in" in said


def test_who_is_told_to_wait_for_long_keeps_what_is_there(site, tmp_path, capsys):
    site.faults = [None, (429, {}, {"Retry-After": "86400"})]
    assert len(numbers(fetch_account(SOURCES["bluesky"], tmp_path))) == 100
    assert "asks to wait 24.0 hours" in capsys.readouterr().err
    site.faults = [(429, {}, {"Retry-After": "86400"})]
    with pytest.raises(NetworkError, match="24.0 hours"): fetch_account(SOURCES["bluesky"], tmp_path/"other")


@pytest.mark.parametrize("source", ["bluesky:nobody.example", "mastodon:@nobody@social.example", "x:nobody"])
def test_who_does_not_exist(source, site, tmp_path):
    with pytest.raises(DataError, match="no account"): fetch_account(source, tmp_path)
    assert len(site.log) == 1


@KINDS
@pytest.mark.parametrize("status", [401, 403])
def test_who_is_not_let_in_is_told_what_to_do(kind, status, site, tmp_path):
    site.faults = [(status, dict(error="This method requires an authenticated user"), {})]
    advice = dict(bluesky="Export my data", mastodon="Import and export", x="ULMTWEET_X_TOKEN")[kind]
    with pytest.raises(NetworkError, match=f"{status}: This method.*{advice}"): fetch_account(SOURCES[kind], tmp_path)


def test_x_without_a_key_or_with_a_wrong_one(site, tmp_path, monkeypatch):
    monkeypatch.setenv("ULMTWEET_X_TOKEN", "wrong")
    with pytest.raises(NetworkError, match="401: Unauthorized.*ULMTWEET_X_TOKEN"): fetch_account("x:juno", tmp_path)
    monkeypatch.setenv("ULMTWEET_X_TOKEN", "two\nlines")
    with pytest.raises(DataError, match="ULMTWEET_X_TOKEN") as error: fetch_account("x:juno", tmp_path)
    assert "lines" not in str(error.value) and len(site.log) == 1
    with pytest.raises(NetworkError, match="may read posts"):
        monkeypatch.setenv("ULMTWEET_X_TOKEN", TOKEN)
        site.faults = [None, (200, dict(errors=[dict(title="Authorization Error")]), {})]
        fetch_account("x:juno", tmp_path)


def cut_off(handler): # promises more than it sends
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b'{"feed": [')
    handler.close_connection = True

def stall(handler): time.sleep(3)

def endless_redirect(handler):
    handler.send_response(302)
    handler.send_header("Location", "//evil.example/")
    handler.send_header("Content-Length", str(10**12))
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True: handler.wfile.write(b" " * 2**20)

def drip(handler): # a byte now and then, for ever
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True: handler.wfile.write(b" ") and time.sleep(0.2)

def reset(handler): handler.connection.close()

@pytest.mark.parametrize("fault", [
    cut_off, stall, drip, reset, (500, {}, {}), (502, b"<html>Bad gateway", {}),
    (200, b"<html>Log in to the hotel", {}), (200, b'{"feed": [', {}), (200, b"[" * 100_000, {})])
def test_a_fault_that_passes_is_got_over(fault, site, tmp_path, monkeypatch):
    monkeypatch.setattr(chapter, "MAX_SECONDS", 1)
    site.faults = [None, fault]
    assert numbers(fetch_account(SOURCES["bluesky"], tmp_path, timeouts=(5, 0.5))) == site.posts
    site.faults = [fault] * 3
    with pytest.raises(NetworkError): fetch_account(SOURCES["bluesky"], tmp_path/"other", timeouts=(5, 0.5))


@pytest.mark.parametrize("fault,said", [
    ((200, b" " * (21 * 2**20), {}), "more than 20,971,520 bytes"),
    ((200, gzip.compress(b" " * (200 * 2**20)), {"Content-Encoding": "gzip"}), "more than 20,971,520 bytes"),
    ((200, dict(feed=[1, 2]), {}), "found something else"), ((200, [], {}), "found something else"),
    ((302, b"", {"Location": "http://127.0.0.1:9/elsewhere"}), "another server"),
    ((302, b"", {"Location": "//evil.example/"}), "another server"),
    ((302, b"", {"Location": "http://["}), "another server"),
    ((307, b"", {"Location": "file:///etc/passwd"}), "another server"),
    (endless_redirect, "another server"), ((200, dict(feed=[]), {}), "no posts")])
def test_what_is_no_page_of_posts(fault, said, site, tmp_path):
    site.faults = [fault]
    with pytest.raises((NetworkError, DataError), match=said): fetch_account(SOURCES["bluesky"], tmp_path)


def test_redirects_within_the_server(site, tmp_path):
    there = "/xrpc/app.bsky.feed.getAuthorFeed?actor=juno.example&limit=100&filter=posts_with_replies"
    site.faults = [(301, b"", {"Location": there})]
    assert numbers(fetch_account(SOURCES["bluesky"], tmp_path)) == site.posts
    site.faults = [(301, b"", {"Location": there})] * 9
    with pytest.raises(NetworkError, match="without an end"): fetch_account(SOURCES["bluesky"], tmp_path/"other")


def test_pages_packed_by_the_server(site, tmp_path):
    _, page, _ = site.bluesky(dict(actor="juno.example", filter="posts_with_replies", limit="100"))
    site.faults = [(200, gzip.compress(json.dumps(page).encode()), {"Content-Encoding": "gzip"})]
    assert numbers(fetch_account(SOURCES["bluesky"], tmp_path)) == site.posts


@KINDS
def test_offline(kind, site, tmp_path, monkeypatch, capsys):
    folder = fetch_account(SOURCES[kind], tmp_path)
    monkeypatch.setenv("ULMTWEET_ACCOUNTS_URL", "http://127.0.0.1:9")
    if kind == "x": monkeypatch.delenv("ULMTWEET_X_TOKEN")
    assert fetch_account(SOURCES[kind], tmp_path) == folder and numbers(folder) == site.posts
    assert "250 posts of before are used" in capsys.readouterr().err
    with pytest.raises(DataError if kind == "x" else NetworkError): fetch_account(SOURCES[kind], tmp_path/"other")


def test_a_damaged_state_and_a_forgotten_cursor(site, tmp_path):
    site.faults = [None] + [(500, {}, {})] * 3
    folder = fetch_account(SOURCES["bluesky"], tmp_path)
    site.forgotten.add("151")
    site.posts += [251]
    fetch_account(SOURCES["bluesky"], tmp_path)
    assert numbers(fetch_account(SOURCES["bluesky"], tmp_path)) == site.posts
    for state in ("", "[]", '{"pages": "many", "cursor": 7}'):
        (folder/".state.json").write_text(state)
        assert numbers(fetch_account(SOURCES["bluesky"], tmp_path)) == site.posts


def test_a_cursor_that_leads_in_a_circle_comes_to_an_end(site, tmp_path, monkeypatch):
    monkeypatch.setattr(chapter, "MAX_PAGES", 7)
    page = [dict(post=dict(record=dict(text="post 1"), indexedAt="2024"))]
    site.faults = [(200, dict(feed=page, cursor="ab"[n % 2]), {}) for n in range(50)]
    assert len(list(fetch_account(SOURCES["bluesky"], tmp_path).glob("page-*.json"))) == 7


SCRIPT = "import sys; from ulmtweet.data.accounts import fetch_account; fetch_account(sys.argv[1], sys.argv[2])"

@KINDS
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_stopped_in_the_middle(kind, sent, site, tmp_path):
    reached = threading.Event()
    def wait(handler):
        reached.set()
        time.sleep(2)
    site.faults = [None] * (1 if kind == "bluesky" else 2) + [wait]
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, SOURCES[kind], tmp_path], stderr=subprocess.DEVNULL)
    assert reached.wait(300)
    process.send_signal(sent)
    assert process.wait(300) != 0
    site.log.clear()
    assert numbers(fetch_account(SOURCES[kind], tmp_path)) == site.posts
    assert {"cursor", "max_id", "pagination_token"} & set(site.log[0][1])


def test_two_at_the_same_time(site, tmp_path):
    command = [sys.executable, "-c", SCRIPT, SOURCES["mastodon"], tmp_path]
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in "ab"]
    assert [p.wait(30) for p in processes] == [0, 0]
    assert len(asked_for_pages(site)) == 8 + 1 # 250 posts, 40 a page, the empty one, and one round for news


def test_a_terminal_shows_how_many(site, tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, SOURCES["bluesky"], tmp_path], stderr=theirs)
    os.close(theirs)
    said = b""
    while b"250 posts" not in said: said += os.read(ours, 1000)
    assert process.wait(30) == 0 and b"100 posts" in said


def test_requests_is_loaded_when_something_is_fetched():
    code = "import sys, ulmtweet.data.accounts; print('requests' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
