"A voice as one HTML file: what is in it, and that a browser writes with it what Python writes."
import base64, json, random, re, shutil
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from browser import accessible, browser_page, shoot
from conftest import SAMPLE, run
from ulmtweet.cli.__main__ import app
from ulmtweet.generation.engine import Sampling, sample_ids, steps_of, tweet_uniforms
from ulmtweet.generation.generate import Sieve, clean_prompt, explain, request, weighted_length, writing_rules
from ulmtweet.generation.originality import folded_words
from ulmtweet.models.awdlstm import AWDLSTM
from ulmtweet.models.tokens import EOT_ID, CharTokenizer, WordTokenizer, train_subword
from ulmtweet.models.voice import Voice
from ulmtweet.sharing.html import packed_weights, rounded_voice, token_data

TIE = 1e-5 # of the probability of all tokens: sums of 32 bits differ by less, and a random number may fall in between
BEGINNINGS = ("", "The van", "@til", "日本", "It's 100% my fault that")


@pytest.fixture(scope="module")
def shared(home, tmp_path_factory):
    "The small voice as a file, and the voice."
    path = tmp_path_factory.mktemp("shared")/"small.html"
    done = run("share", "small", "--out", path, "--json", home=home)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == dict(file=str(path), bytes=path.stat().st_size, voice="small")
    return path, Voice.load(home/"voices"/"small")


@pytest.fixture(scope="module")
def rounded(shared): return rounded_voice(shared[1])


def weights_of(page): return re.search('id="weights">([^<]*)', page)[1]


def test_the_file_has_no_tweet_and_is_small(shared):
    path, voice = shared
    page = path.read_text(encoding="utf-8")
    words = re.search(r'"words":"([^"]*)"', page)[1].split()
    assert words == sorted(set(words)) # so neighbours say nothing
    rest = page.replace(weights_of(page), "")
    text = " ".join(["", *folded_words(rest), ""])
    said = map(folded_words, voice.learnt + voice.unseen)
    runs = {" ".join(w[i:i + 5]) for w in said for i in range(len(w) - 4)}
    assert len(runs) > 1000 and not [r for r in runs if f" {r} " in text]
    assert path.stat().st_size < 1.2 * voice.model.n_parameters


def test_the_file_asks_nobody(shared):
    page = shared[0].read_text(encoding="utf-8")
    head = page.partition("<script")[0]
    assert "default-src 'none'; script-src 'sha256-" in head and "unsafe" not in head
    assert not re.search(r"(?:src|href|action) *=|url\(|@import", head)
    assert not re.search(r"innerHTML|eval\(|document\.write|https?://\w", page.partition('id="program">')[2])


def share(*args):
    "The command in this process, which is faster."
    return CliRunner().invoke(app, ["share", *map(str, args)])


def refused(done, code):
    assert done.exit_code == code and done.stderr.count("\n") == 1 and done.stderr.startswith("error: "), done.stderr
    return done.stderr


def test_bare_leaves_words_out(home, tmp_path):
    done = share("small", "--bare", "--out", tmp_path/"bare.html", "--home", home)
    assert done.exit_code == 0, done.stderr
    page = (tmp_path/"bare.html").read_text(encoding="utf-8")
    assert '"words":null,"characters":null,"copies":null' in page and "It may invent words" in page
    assert share("small", "--out", tmp_path/"bare.html", "--home", home).exit_code == 0 # in its place
    (tmp_path/"mine.html").write_text("my own page")
    assert "is there already" in refused(share("small", "--out", tmp_path/"mine.html", "--home", home), 2)
    assert (tmp_path/"mine.html").read_text() == "my own page"


def test_a_name_stays_text(home, tmp_path):
    hostile = tmp_path/"{name} <b>&"
    shutil.copytree(home/"voices"/"small", hostile)
    assert share(hostile, "--out", tmp_path/"h.html").exit_code == 0
    page = (tmp_path/"h.html").read_text(encoding="utf-8")
    assert "<h1>What would {name} &lt;b&gt;&amp; tweet next?</h1>" in page and "<b>" not in page


def test_what_cannot_be_shared(home, shared, tmp_path):
    for tokenizer in (WordTokenizer(["<eot>", "xxunk", "van"]), CharTokenizer("van")):
        folder = tmp_path/tokenizer.kind
        Voice(AWDLSTM(len(tokenizer), 8, 8), tokenizer, shared[1].meta).save(folder)
        line = refused(share(folder, "--out", tmp_path/"out.html"), 4)
        assert f"over {tokenizer.kind}s; one HTML file can hold an AWD-LSTM" in line
    assert ".html" in refused(share("small", "--out", tmp_path/"me.csv", "--home", home), 2)
    assert "cannot write" in refused(share("small", "--out", tmp_path/"no"/"me.html", "--home", home), 5)
    assert "no voice 'nobody'" in refused(share("nobody", "--home", home), 4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["char", "word"]


@pytest.fixture(scope="module")
def browser(shared):
    "The page in a browser, with a list of what it complains about."
    with browser_page(shared[0].as_uri()) as page:
        page.complaints = []
        page.on("console", lambda m: page.complaints.append(m.text))
        page.on("pageerror", lambda e: page.complaints.append(str(e)))
        yield page
        assert not page.complaints


@pytest.fixture
def page(browser):
    "The page, opened anew."
    browser.reload()
    browser.locator("#generate:enabled").wait_for()
    return browser


@pytest.fixture
def writer(page, shared):
    "The page with a writer `w` of its own, so that a test sees what the workers don't tell."
    script = """async (weights) => {
        globalThis.w = new Writer(voice, unpackWeights(await inflate(decodeBase64(weights)), voice.shape)); }"""
    page.evaluate(script, weights_of(shared[0].read_text(encoding="utf-8")))
    return page


def odd_texts(n):
    "Prompts from tweets, emoji, Japanese, handles and any characters; seeded."
    rng, tweets = random.Random(0), SAMPLE.read_text(encoding="utf-8").splitlines()[1:]
    parts = ["🚀", "👩🏽‍🚀", "🇯🇵", "日本語のツイート", "こんにちは", "@elon_1 ", "#TäG", "it's", "I'LL", "  ", "\t", "\u00a0",
             "\n\n", "...", "3.14", "½", "Ⅷ", "ß", "ﬁ", "İ", "e\u0301", "\ufeff", "\u200b", "<eot>",
             "https://t.co/x?y=1", "ไทย", "한국어"]
    def character():
        while 0xd800 <= (c := rng.choice((rng.randrange(32, 0x3000), rng.randrange(0x30000)))) < 0xe000: pass
        return chr(c)
    def part():
        start, tweet = rng.randrange(40), rng.choice(tweets)
        return rng.choice([rng.choice(parts), tweet[start:start + rng.randrange(30)], character()])
    return ["".join(part() for _ in range(rng.randrange(1, 9))) for _ in range(n)]


@pytest.mark.slow
def test_same_tokens_and_lengths(writer, shared):
    texts, tokenizer = odd_texts(1000), shared[1].tokenizer
    found = writer.evaluate("""(texts) => texts.map((t) => ({ids: w.tokens.encode(t), back: w.tokens.decode(
        w.tokens.encode(t)), clean: w.texts.clean(t), length: w.texts.weightedLength(t)}))""", texts)
    for text, js in zip(texts, found):
        assert js["ids"] == tokenizer.encode(text), text
        assert js["back"] == text
        assert js["length"] == weighted_length(text), text
        assert weighted_length(text) >= 280 or js["clean"] == clean_prompt(text), text


@pytest.mark.slow
def test_same_random_numbers(page):
    keys = [(0, 0), (7, 3), (2**53 - 1, 99), (4294967295, 20 * 100)]
    for seed, index in keys:
        found = page.evaluate("""([seed, index]) => [0, 1, 159].map((nth) => {
            const [first, again] = tokenUniforms(seed, index, nth); return [first, again()]; })""", [seed, index])
        assert found == tweet_uniforms(seed, index, 160)[[0, 1, 159]][:, [0, 4]].tolist()


@pytest.mark.slow
def test_same_probabilities(writer, shared, rounded):
    exact, texts = shared[1], ["The van is cold", "@tilly 日本 🚀 it's 5%", *islice(shared[1].unseen, 4)]
    for text in texts:
        js, same, near = writer.evaluate("(t) => w.explain(t)", text), explain(rounded, text), explain(exact, text)
        assert [r["piece"] for r in js] == [r["piece"] for r in same]
        logs = [np.log([r["probability"] for r in rows]) for rows in (js, same, near)]
        assert abs(logs[0] - logs[1]).max() < 1e-4
        assert abs(logs[0] - logs[2]).max() < 0.5 and abs(logs[0] - logs[2]).mean() < 0.1 # nats; of both signs
        for r, s in zip(js, same): assert r["alternatives"][0]["piece"] == s["alternatives"][0][0]


@pytest.mark.slow
def test_networks_of_other_shapes(page, shared):
    tokenizer = train_subword(shared[1].learnt, 301)
    for shape in (dict(emb_sz=5, n_hid=7, n_layers=1), dict(emb_sz=9, n_hid=6, n_layers=3)):
        torch.manual_seed(0)
        model = AWDLSTM(len(tokenizer), **shape)
        torch.nn.init.normal_(model.start)
        weights, floats = packed_weights(model)
        data = dict(weights=base64.b64encode(weights).decode(), shape=model.shape | dict(floats=floats),
                    tokens=token_data(tokenizer))
        js = page.evaluate("""({weights, shape, tokens}) => new Writer({...voice, tokens, words: null, copies: null},
            unpackWeights(decodeBase64(weights), shape)).explain("The van is cold 🚀")""", data)
        same = explain(rounded_voice(replace(shared[1], model=model, tokenizer=tokenizer)), "The van is cold 🚀")
        assert [r["piece"] for r in js] == [r["piece"] for r in same]
        np.testing.assert_allclose([r["probability"] for r in js], [r["probability"] for r in same], rtol=1e-4)


@pytest.mark.slow
def test_same_pieces_can_follow(writer, rounded):
    spelling = writing_rules(rounded, Sampling()).spelling
    emoji = "🚀".encode().decode("ascii", "surrogateescape")
    halves = [s + emoji[:n] for s in ("", "van") for n in (1, 2, 3)]
    states = ["", "@", "…", "v", "van", "V", "VA", "Va", "vA", "http", "stra", "café", "xq", *halves]
    for state in states:
        found = writer.evaluate("""(codes) => {
            const ids = (mask) => [...mask.keys()].filter((i) => mask[i]), state = String.fromCharCode(...codes);
            return [ids(w.spelling.possible(state)), ids(w.spelling.nearlyPossible(state))]; }""", [*map(ord, state)])
        for js, mask in zip(found, (spelling.possible(state), spelling.nearly_possible(state))):
            assert js == mask.nonzero()[:, 0].tolist(), state


WRITE = """([prompts, seed, temperature]) => {
  const done = [];
  for (let next = 0; next < prompts.length || w.busy;) {
    for (let i = 0; i < LANES && next < prompts.length; i++)
      if (!w.lanes[i]) w.begin(i, {index: next, prompt: prompts[next++], seed, temperature});
    for (const i of w.step()) {
      const lane = w.lanes[i];
      if (!w.hasEnded(lane)) continue;
      done[lane.index] = {ids: lane.ids, kept: w.kept(lane)};
      w.lanes[i] = null;
    }
  }
  return done;
}"""


def near_tie(voice, asked, ids, other, seed, sampling):
    "Whether rounding decides, at the edges near a random number, which of the first tokens that differ is drawn."
    place = next(i for i, (a, b) in enumerate(zip(ids, other)) if a != b)
    rules, model = writing_rules(voice, sampling), steps_of(voice.model, torch.float32)
    state, spelt = model.start_state(1), asked.spelt
    for token in [EOT_ID, *asked.ids, *ids[:place]]: out, state = model.step(torch.tensor([token]), state)
    for token in ids[:place]: spelt = rules.spelling.after(spelt, token)
    logits, drawable = model.logits(out)[0], set()
    if not place: logits[[EOT_ID] + (rules.inner.nonzero()[:, 0].tolist() if asked.ends_word else [])] = -torch.inf
    p, drawn = (logits / sampling.temperature).softmax(-1).double(), tweet_uniforms(seed, asked.index, place + 1)[place]
    again = drawn[4] * 2**26 % 1
    for uniform, mask in [(drawn[0], p > -1), (drawn[4], rules.spelling.nearly_possible(spelt)),
                          (again, rules.spelling.possible(spelt))]:
        share = p * mask / (p * mask).sum()
        edges = share.cumsum(0)
        near = ((share > 0) & (edges - share - TIE < uniform) & (uniform < edges + TIE)).nonzero()[:, 0].tolist()
        spelled = {t for t in near if rules.spelling.after(spelt, t) is not None}
        drawable |= spelled
        if len(spelled) == len(near): break # nothing has to be drawn again
    return {ids[place], other[place]} <= drawable


def naive_copy(text, tweets):
    "Words of the longest run of which every four in a row are in one of the tweets, and whether that is too much."
    words, four = folded_words(text), {tuple(w[i:i + 4]) for w in map(folded_words, tweets) for i in range(len(w) - 3)}
    ours = "".join("x" if tuple(words[i:i + 4]) in four else " " for i in range(len(words) - 3))
    most = max(map(len, ours.split()), default=0)
    return most and most + 3


@pytest.mark.slow
@pytest.mark.parametrize("temperature, n", [(0.8, 100), (1.6, 50)])
def test_same_tweets(writer, shared, rounded, temperature, n):
    known = [" ".join(tweet.split()[:6]) for tweet in shared[1].learnt[:5]] # copies, so that there are some
    prompts = [clean_prompt(p) for p in [*known, *(BEGINNINGS[i % len(BEGINNINGS)] for i in range(n - len(known)))]]
    found, ties, copied = writer.evaluate(WRITE, [prompts, 7, temperature]), 0, 0
    sampling = Sampling(temperature, max_copied=1.) # copies are looked at by themselves
    asked, sieve = [request(rounded.tokenizer, i, p) for i, p in enumerate(prompts)], Sieve(rounded, sampling)
    model, rules = steps_of(rounded.model, torch.float32), writing_rules(rounded, sampling)
    for i, ids, nats in sample_ids(model, asked, sampling, 7, 64, rules):
        js, tweet = found[i], sieve(prompts[i], asked[i].ids, ids, nats)
        if js["ids"] != ids:
            assert near_tie(rounded, asked[i], ids, js["ids"], 7, sampling), (prompts[i], ids, js)
            ties += 1
        elif js["kept"]:
            assert js["kept"]["text"] == tweet.text
            words = naive_copy(tweet.text, shared[1].learnt)
            assert (js["kept"]["copied"] or dict(words=0))["words"] == words
            copied += words > 0
        else: assert not tweet or naive_copy(tweet.text, shared[1].learnt) or tweet.text in shared[1].learnt
    assert ties <= n / 20 and copied, (ties, copied)


@pytest.mark.slow
def test_copies_are_found(writer, shared):
    tweets, unseen = shared[1].learnt, shared[1].unseen
    ask = "(texts) => texts.map((t) => [w.copies.isTweet(t), w.copies.longest(t)?.words ?? 0])"
    texts = tweets + unseen + [f"{a} or {b[len(b) // 2:]}" for a, b in zip(tweets, tweets[50:])]
    for text, (whole, words) in zip(texts, writer.evaluate(ask, texts)):
        assert whole == (text.casefold() in {t.casefold() for t in tweets}), text
        assert words == naive_copy(text, tweets), text


def generate(page, **values):
    for label, value in values.items(): page.get_by_label(label, exact=True).fill(value)
    page.get_by_role("button", name="Generate").click()


@pytest.mark.slow
@pytest.mark.parametrize("width, scheme", [(390, "dark"), (1280, "light")])
def test_the_page_writes(page, width, scheme):
    page.set_viewport_size(dict(width=width, height=900))
    page.emulate_media(color_scheme=scheme)
    written = []
    for _ in range(2): # the same seed gives the same tweets
        page.get_by_label("The tweet begins with").fill(" The  van ")
        generate(page, Seed="7", Tweets="4")
        page.get_by_text("4 tweets. The seed 7").wait_for()
        written.append(page.locator("li .tweet").all_inner_texts())
    assert written[0] == written[1] and len(set(written[0])) == 4
    assert all(t.startswith("The van") for t in written[0])
    check_heat(page, written[0][0])
    page.get_by_text("About this voice").click()
    assert page.get_by_text("It has none of their tweets").is_visible()
    accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shoot(page, f"share-{width}-{scheme}")


def check_heat(page, tweet):
    "Whether the pieces of the first tweet can be walked through with the keyboard, and are read out."
    page.get_by_role("button", name="How sure was it?").first.press("Enter")
    pieces = page.locator(".heat").first.get_by_role("button")
    pieces.first.wait_for()
    assert "".join(pieces.all_text_contents()) == tweet + "■"
    pieces.first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("van: ")
    assert "Likeliest here" in page.locator(".said").first.inner_text()
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.textContent") == "■"


@pytest.mark.slow
def test_a_copy_says_what_it_is(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    generate(page, Tweets="1")
    page.get_by_role("button", name="Copy").click()
    page.get_by_text("Copied").wait_for()
    tweet = page.locator("li .tweet").inner_text()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{tweet}\n(generated by a parody of small, not a real tweet)"


@pytest.mark.slow
def test_bad_requests_and_a_stop(page):
    generate(page, Seed="-3")
    page.get_by_text("whole number").wait_for()
    page.get_by_label("The tweet begins with").fill("x" * 300)
    generate(page, Seed="")
    page.get_by_text("use a shorter one").wait_for()
    page.get_by_label("The tweet begins with").fill("")
    generate(page, Tweets="100")
    page.locator(".growing", has_text=re.compile("....")).wait_for() # as it is written
    page.locator("li .below").first.wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Generate").wait_for()
    assert 1 <= page.locator("li .below").count() < 100 and "may give more" not in page.inner_text("#status")


@pytest.mark.slow
def test_few_endings_and_a_damaged_file(page, shared):
    slider = page.get_by_role("slider", name="Creativity")
    slider.evaluate("(e) => { e.min = 0.01; e.step = 0.01; }")
    slider.fill("0.01") # nearly always the likeliest token
    page.get_by_label("The tweet begins with").fill("The van is")
    generate(page, Tweets="5", Seed="7")
    page.get_by_text("Another beginning or more creativity may give more").wait_for()
    assert page.locator("li .below").count() < 5
    broken = shared[0].with_name(shared[0].name + ".broken.html") # no other address to `browser_page`
    whole = shared[0].read_text(encoding="utf-8")
    broken.write_text(whole.replace('id="weights">', 'id="weights">!'), encoding="utf-8")
    address = page.url
    page.goto(broken.as_uri())
    page.get_by_text("This browser can't open the voice").wait_for()
    page.goto(address)


@pytest.mark.slow
def test_the_page_can_fetch_nothing(page):
    assert page.evaluate("fetch('data:,x').catch(() => 'refused')") == "refused"
    page.complaints.clear() # the browser says that it refused
