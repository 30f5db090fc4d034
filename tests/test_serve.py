"The server and the plugin, asked by real programs: the openai client, llm, many clients at once, and bad ones."
import asyncio, http.client, json, os, random, re, shutil, signal, socket, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import openai
import psutil
import pytest
import torch
from starlette.testclient import TestClient

from conftest import PROGRAM, failed, run
from ulmtweet.core import ModelError, UsageError
from ulmtweet.generation.engine import Sampling, sample_ids, steps_of
from ulmtweet.generation.generate import Sieve, clean_prompt, first_tweets, request, writing_rules
from ulmtweet.models.tokens import EOT_ID
from ulmtweet.models.voice import Voice
from ulmtweet.sharing import completions
from ulmtweet.sharing.completions import Server, Voices, completions_app
from ulmtweet.sharing.plugin import VoiceModel
from ulmtweet.sharing.together import Writer

LLM = Path(sys.executable).with_name("llm")


@pytest.fixture(scope="module")
def served_home(home, tmp_path_factory):
    "A home folder of this file's own, with the small voice."
    mine = tmp_path_factory.mktemp("served")
    shutil.copytree(home/"voices"/"small", mine/"voices"/"small")
    return mine


@pytest.fixture(scope="module")
def voice(served_home): return Voice.load(served_home/"voices"/"small")


@contextmanager
def serving(home, *args):
    "A server in a process of its own; gives the process, with its address."
    env = {**os.environ, "ULMTWEET_HOME": str(home)}
    process = subprocess.Popen([PROGRAM, "serve", "--port", "0", *args], env=env, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        process.address = re.search(r"http://\S+:\d+", line)[0]
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=300)


@pytest.fixture(scope="module")
def server(served_home):
    with serving(served_home) as process: yield process


@pytest.fixture
def client(server): return openai.OpenAI(base_url=server.address + "/v1", api_key="none", max_retries=0)


def raw(server, body, method="POST", path="/v1/completions", **headers):
    "Status and JSON of a request that no client would send."
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=300)
    headers = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    connection.request(method, path, json.dumps(body) if isinstance(body, dict) else body, headers)
    found = connection.getresponse()
    assert found.headers["x-generated"]
    return found.status, json.loads(found.read())


def texts(voice, prompt, n, seed, **sampling):
    "What the library writes."
    return [t.text for t in first_tweets(voice, prompt, n, Sampling(**sampling), seed, bs=4)]


def test_a_client_gets_what_the_library_writes(client, voice):
    assert [m.id for m in client.models.list()] == ["small"] and client.models.retrieve("small").owned_by == "ulmtweet"
    found = client.completions.create(model="small", prompt=["The van ", ""], n=2, seed=7)
    assert [c.index for c in found.choices] == [0, 1, 2, 3] and {c.finish_reason for c in found.choices} == {"stop"}
    written = [("The van" if c.index < 2 else "") + c.text for c in found.choices]
    assert written == texts(voice, "The van", 2, 7) + texts(voice, "", 2, 7)
    assert found.generated == "by the voice small with seed 7; not real tweets"
    assert found.usage.prompt_tokens == len(voice.tokenizer.encode("The van"))
    again = client.completions.create(model="small", prompt=["The van", "", "The van"], n=2, seed=7).choices
    assert ["The van" + again[i].text for i in (0, 1, 4, 5)] == texts(voice, "The van", 4, 7)
    likeliest = client.completions.create(model="small", prompt=["The van"] * 2, temperature=0).choices
    assert likeliest[0].text == likeliest[1].text
    tokens = sum(t.tokens - 1 for p in ("The van", "") for t in first_tweets(voice, p, 2, Sampling(), 7))
    assert (found.usage.completion_tokens, found.usage.total_tokens) == (tokens, tokens + found.usage.prompt_tokens)


def test_settings_mean_what_they_mean_elsewhere(client, voice):
    settings = dict(temperature=0.6, top_p=0.9, top_k=50, min_p=0.01)
    asked = dict(model="small", prompt="The van", n=3, seed=5, echo=True, user="me", frequency_penalty=0)
    found = client.completions.create(**asked, temperature=0.6, top_p=0.9, extra_body=dict(top_k=50, min_p=0.01))
    assert [c.text for c in found.choices] == texts(voice, "The van", 3, 5, **settings)
    drawn = client.completions.create(model="small", prompt="The van")
    again = client.completions.create(model="small", prompt="The van", seed=drawn.seed)
    assert drawn.choices == again.choices and drawn.system_fingerprint == again.system_fingerprint
    likeliest = client.completions.create(model="small", prompt="The van", n=3, temperature=0, echo=True).choices
    assert [c.text for c in likeliest if c.finish_reason == "stop"] == texts(voice, "The van", 3, 0, temperature=0)
    assert {(c.text, c.finish_reason) for c in likeliest[1:]} == {("", "content_filter")}


def test_a_stream_has_a_tweet_an_event(client, voice):
    asked = dict(model="small", prompt="The van", n=4, seed=2)
    events = list(client.completions.create(**asked, stream=True, stream_options=dict(include_usage=True)))
    *events, last = events
    whole = client.completions.create(**asked)
    assert [e.choices[0].index for e in events] == [0, 1, 2, 3] and not any(e.usage for e in events)
    assert [e.choices[0] for e in events] == whole.choices and last.usage == whole.usage and last.choices == []
    assert all(e.generated and e.seed == 2 for e in events)


def test_short_ones_are_beginnings(client, voice):
    asked = dict(model="small", prompt="The", n=4, seed=11)
    whole = [c.text for c in client.completions.create(**asked).choices]
    cut = client.completions.create(**asked, max_tokens=3)
    ids = kept_ids(voice, "The", 4, 11)
    start = voice.tokenizer.encode("The")
    for choice, text, row in zip(cut.choices, whole, ids):
        expected = voice.tokenizer.decode(start + row[:3]).rstrip("\ufffd").removeprefix("The")
        assert choice.text == expected and text.startswith(expected)
        assert choice.finish_reason == ("length" if len(row) > 4 else "stop")
    assert cut.usage.completion_tokens == sum(min(len(row) - 1, 3) for row in ids)
    sign = whole[0][5]
    stopped = client.completions.create(**asked, stop=[sign, "never there"]).choices
    assert [c.text for c in stopped] == [text.partition(sign)[0] for text in whole]


def kept_ids(voice, prompt, n, seed):
    "The ids of the first tweets of a seed, from the engine itself."
    sampling, found = Sampling(), {}
    sieve, asked = Sieve(voice, sampling), [request(voice.tokenizer, i, prompt) for i in range(3 * n)]
    for i, ids, _ in sample_ids(voice.model, asked, sampling, seed, 8, writing_rules(voice, sampling)):
        if sieve(prompt, asked[i].ids, ids): found[i] = ids
    return [found[i] for i in sorted(found)[:n]]


def test_log_probabilities_are_the_voice_s_own(client, voice):
    found = client.completions.create(model="small", prompt="The van", n=2, seed=3, logprobs=3, temperature=0.7)
    sampled = client.completions.create(model="small", prompt="The van", n=2, seed=4, logprobs=0)
    assert sampled.choices[0].logprobs.top_logprobs is None
    for choice, ids in zip(sampled.choices, kept_ids(voice, "The van", 2, 4)):
        assert choice.logprobs.token_logprobs == pytest.approx(step_by_step(voice, "The van", ids), abs=1e-3)
    for choice in found.choices:
        log = choice.logprobs
        assert "".join(log.tokens) == choice.text
        assert [7 + len("".join(log.tokens[:i])) for i in range(len(log.tokens))] == log.text_offset
        for token, p, best in zip(log.tokens, log.token_logprobs, log.top_logprobs):
            assert best[token] == p and 3 <= len(best) <= 4 and sum(2.71828**q for q in best.values()) < 1.001


def step_by_step(voice, prompt, ids):
    "Log-probabilities of all sampled tokens but the end, one after the other."
    model, found = steps_of(voice.model, torch.float32), []
    start = [EOT_ID, *voice.tokenizer.encode(prompt)]
    state = model.start_state(1)
    with torch.no_grad():
        for token, after in zip([*start, *ids], [*start, *ids][1:-1]):
            out, state = model.step(torch.tensor([token]), state)
            found.append(model.logits(out)[0].log_softmax(-1)[after].item())
    return found[len(start) - 1:]


ASK = dict(model="small", prompt="The van", max_tokens=2)


@pytest.mark.parametrize("change, status, param", [
    (dict(model="nobody"), 404, "model"), (dict(model=None), 400, "model"), (dict(prompt="x" * 300), 400, "prompt"),
    (dict(prompt=[[1, 2]]), 400, "prompt"), (dict(prompt={}), 400, "prompt"), (dict(n=0), 400, "n"),
    (dict(n=129), 400, "n"), (dict(prompt=["a"] * 100, n=11), 400, "n"), (dict(temperature=11), 400, "temperature"),
    (dict(top_p=0), 400, "top_p"), (dict(seed=-1), 400, "seed"), (dict(seed=2**63), 400, "seed"),
    (dict(logprobs=21), 400, "logprobs"), (dict(best_of=2), 400, "best_of"), (dict(suffix="."), 400, "suffix"),
    (dict(presence_penalty=0.5), 400, "presence_penalty"), (dict(logit_bias={"5": 1}), 400, "logit_bias"),
    (dict(stop=["a"] * 5), 400, "stop"), (dict(stream="yes"), 400, "stream"), (dict(max_token=5), 400, "max_token"),
    (dict(echo=True, logprobs=1), 400, "echo"), ({"\ud83d\x1b[2J": 1}, 400, r"\ud83d\x1b[2J"),
    (dict(model="\ud83d"), 404, "model"),
])
def test_wrong_fields_are_named(server, change, status, param):
    found, body = raw(server, ASK | change)
    error = body["error"]
    assert (found, error["param"]) == (status, param) and {*error} == {"message", "type", "param", "code"}
    assert error["message"].isprintable() and error["type"].endswith("_error")


def test_wrong_requests_are_refused(server, client):
    for body in (b"{", b"\xff", b"[]", b"", b"[" * 100_000, b'{"n": ' + b"9" * 5000 + b"}"):
        assert raw(server, body)[0] == 400
    assert raw(server, None, "GET")[0] == 405 and raw(server, ASK, path="/v1/chat/completions")[0] == 404
    assert raw(server, None, "GET", "/v1/models/nobody")[0] == 404
    assert raw(server, ASK, content_type="text/plain")[0] == 415 # what a page on the web may send unasked
    assert raw(server, ASK, host="evil.example")[0] == 403
    assert raw(server, ASK, host="localhost:80")[0] == 200
    with pytest.raises(openai.BadRequestError, match="expected 0, or from"):
        client.completions.create(**ASK, temperature=-1)
    with pytest.raises(openai.NotFoundError, match="are small"): client.completions.create(**ASK | dict(model="x"))


def test_a_body_is_read_as_far_as_it_can_be_one(server):
    before = psutil.Process(server.pid).memory_info().rss
    assert raw(server, b" " * 10_000_000)[0] == 413
    assert raw(server, (b" " * 100_000 for _ in range(100)))[0] == 413 # in chunks
    assert psutil.Process(server.pid).memory_info().rss - before < 8e6


def test_who_sends_nothing_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(completions, "PATIENCE", 0.05)
    async def receive(): await asyncio.sleep(9)
    asked = completions.Request(dict(type="http", method="POST", headers=[]), receive)
    with pytest.raises(completions.Refusal, match="no whole request") as e: asyncio.run(completions.read_body(asked))
    assert e.value.status == 408


def test_time_and_line_have_an_end(served_home, monkeypatch):
    with Writer() as writer:
        late = Server(Voices(home=served_home), writer, seconds=0.5)
        client = TestClient(completions_app(late), "http://localhost")
        ask = ASK | dict(prompt=["The", "A", "It"] * 300)
        late.voices.open("small") # which takes its time
        found = client.post("/v1/completions", json=ask)
        assert (found.status_code, found.json()["error"]["type"]) == (504, "timeout_error")
        streamed = client.post("/v1/completions", json=ask | dict(stream=True)).text.strip().split("\n\n")
        assert json.loads(streamed[-1].removeprefix("data: "))["error"]["code"] == "timeout"
        monkeypatch.setattr(completions, "MOST_WAITING", 899)
        assert client.post("/v1/completions", json=ask).status_code == 429
        assert late.waiting == 0


@pytest.mark.parametrize("spec", ["2.3", "2.4"]) # starlette sends in another way
def test_who_does_not_read_is_not_waited_for(served_home, monkeypatch, spec):
    monkeypatch.setattr(completions, "LAST_WORD", 0.2)
    body, waited = json.dumps(ASK | dict(n=3, stream=True)).encode(), []
    messages = [dict(type="http.request", body=body)]
    async def receive(): return messages.pop() if messages else await asyncio.Event().wait()
    async def send(message):
        waited.append(late.waiting)
        if message.get("body"):
            monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: time.monotonic() + 60)
            await asyncio.Event().wait()
    scope = dict(type="http", method="POST", path="/v1/completions", query_string=b"", asgi=dict(spec_version=spec),
                 headers=[(b"host", b"localhost"), (b"content-type", b"application/json")])
    with Writer() as writer:
        late = Server(Voices(home=served_home), writer, seconds=30)
        asyncio.run(asyncio.wait_for(completions_app(late)(scope, receive, send), 300))
    assert waited == [0, 3] and late.waiting == 0

def test_many_clients_get_what_each_would_get_alone(server, voice):
    clients = 50
    beginnings = ["", "The van", "@til", "日本", "It's my fault", "A", "Why", "I", "The rain", "#", "🚀", "No",
                  "We", "My dog", "Today", "5", "Never", "Who", "If", "Monday"]
    def ask(seed): return [c["text"] for c in raw(server, ASK | dict(prompt=beginnings, seed=seed, echo=True,
                                                                      max_tokens=None))[1]["choices"]]
    with ThreadPoolExecutor(clients) as pool: found = list(pool.map(ask, range(clients)))
    pairs = [(clean_prompt(p), seed) for seed in range(clients) for p in beginnings]
    written = dict(zip(pairs, sum(found, [])))
    for prompt, seed in random.Random(0).sample(pairs, min(len(pairs), 18)):
        assert [written[prompt, seed]] == texts(voice, prompt, 1, seed), (prompt, seed)
    assert len(written) == 20 * clients and all(text.startswith(p) for (p, _), text in written.items())
    alone = [ask(seed) for seed in range(0, clients, 5)] # one client after the other
    assert alone == found[::5]


def cpu(server):
    times = psutil.Process(server.pid).cpu_times()
    return times.user + times.system


def idle(server):
    "Whether it does nothing for half a second."
    before = cpu(server)
    time.sleep(0.5)
    return cpu(server) - before < 0.05


@pytest.mark.parametrize("stream", [False, True])
def test_who_hangs_up_is_not_written_for(server, stream):
    address = urlsplit(server.address)
    asked = ASK | dict(prompt=["The", "A", "It", "My"] * 30, n=8)
    began = cpu(server)
    assert raw(server, asked)[0] == 200
    all_of_it, began = cpu(server) - began, cpu(server)
    with socket.create_connection((address.hostname, address.port)) as s:
        body = json.dumps(asked | dict(stream=stream)).encode()
        s.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                  b"content-length: %d\r\n\r\n" % len(body) + body)
        time.sleep(0.3)
    while not idle(server): pass
    assert cpu(server) - began < all_of_it / 2
    assert raw(server, ASK)[0] == 200


def test_the_port_of_another_program(server, served_home):
    done = run("serve", "--port", urlsplit(server.address).port, home=served_home)
    assert "already in use; choose another one with --port" in failed(done, 5)
    assert "no host" in failed(run("serve", "--host", "no.such.host.invalid", home=served_home), 5)


@pytest.mark.parametrize("sent, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_it_ends_quietly(served_home, sent, code):
    with serving(served_home, "small") as process, ThreadPoolExecutor() as pool:
        busy = pool.submit(raw, process, ASK | dict(prompt=["The", "A"] * 60, n=8))
        time.sleep(1)
        process.send_signal(sent)
        assert process.wait(300) == code # two seconds on an idle machine
        assert process.stderr.read() == "stopped\n"
        assert busy.exception() is not None or busy.result()[0] >= 200 # cut off, or just in time


def test_voices_that_come_and_change(served_home, tmp_path):
    shutil.copytree(served_home/"voices", tmp_path/"voices")
    voices, named = Voices(home=tmp_path), Voices(["small"], tmp_path)
    first = voices.open("small")
    shutil.copytree(tmp_path/"voices"/"small", tmp_path/"voices"/"later")
    assert {*voices.listed()} == {"small", "later"} and [*named.listed()] == ["small"]
    assert voices.open("small") is first
    os.utime(tmp_path/"voices"/"small"/"voice.json", (1, 1)) # trained again
    assert voices.open("small") is not first
    (tmp_path/"voices"/"later"/"model.safetensors").write_bytes(b"damaged")
    with Writer() as writer:
        client = TestClient(completions_app(Server(voices, writer)), "http://localhost")
        found = client.post("/v1/completions", json=ASK | dict(model="later"))
        assert found.status_code == 500 and "has changed since it was saved" in found.json()["error"]["message"]
        both = TestClient(completions_app(Server(Voices(["small", "later"], tmp_path), writer)), "http://localhost")
        shutil.rmtree(tmp_path/"voices"/"later")
        assert [m["id"] for m in both.get("/v1/models").json()["data"]] == ["small"]
        shutil.rmtree(tmp_path/"voices")
        assert client.post("/v1/completions", json=ASK).status_code == 404


def llm(home, folder, *args):
    env = {**os.environ, "ULMTWEET_HOME": str(home), "LLM_USER_PATH": str(folder), "LLM_LOAD_PLUGINS": "ulmtweet",
           "OPENAI_API_KEY": "none"}
    return subprocess.run([LLM, *args], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)


def test_llm_asks_the_server(server, voice, served_home, tmp_path):
    (tmp_path/"extra-openai-models.yaml").write_text(
        f"- model_id: served\n  model_name: small\n  api_base: {server.address}/v1\n  completion: true\n")
    done = llm(served_home, tmp_path, "-m", "served", "The van", "-o", "seed", "3")
    assert "The van" + done.stdout.removesuffix("\n") == texts(voice, "The van", 1, 3)[0], done.stderr


@pytest.mark.slow
def test_llm_finds_the_voices(voice, served_home, tmp_path):
    done = llm(served_home, tmp_path, "-m", "ulmtweet/small", "The  van", "-o", "seed", "3")
    assert done.stdout == texts(voice, "The van", 1, 3, temperature=0.8)[0] + "\n", done.stderr
    [logged] = json.loads(llm(served_home, tmp_path, "logs", "--json").stdout)
    assert logged["response_json"] == dict(generated="by the voice small; not a real tweet", seed=3)
    done = llm(served_home, tmp_path, "-m", "ulmtweet/small", "The", "-o", "temperature", "99")
    assert (done.returncode, done.stderr) == (1, "Error: temperature is 99.0; expected 0, or from 0.01 to 10\n")


def test_what_the_plugin_refuses(served_home, monkeypatch):
    monkeypatch.setenv("ULMTWEET_HOME", str(served_home))
    model = VoiceModel("small")
    for prompt, options, says in [("x" * 300, {}, "fewer than 280"), ("The", dict(system="be nice"), "system prompt"),
                                  ("The", dict(seed=-1), "seed is -1")]:
        with pytest.raises(UsageError, match=says): model.prompt(prompt, **options).text()
    with pytest.raises(ModelError, match="no voice 'nobody'"): VoiceModel("nobody").prompt("The").text()
