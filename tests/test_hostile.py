"""Malformed files: each ends in an error that says why or in a table without a tweet that isn't in the file.

500 are made by a seeded generator, read in processes of their own, and held to limits of time and memory.
"""
import ast, bz2, gzip, importlib, inspect, io, json, lzma, os, pkgutil, random, re, struct, subprocess, sys
import tarfile, time, zipfile
from collections import deque
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, strategies as st

import ulmtweet.data
from conftest import ROOT, failed, run
from test_files import damaged, member
from test_kinds import NEWEST_FIRST, TWEETS, table, x_tweet
from ulmtweet.core import DataError, UlmtweetError
from ulmtweet.data.clean import clean_text, clean_tweets
from ulmtweet.data.describe import describe_tweets
from ulmtweet.data.dialects import read_dialect
from ulmtweet.data.files import decode_bytes
from ulmtweet.data.objects import html_text, read_objects
from ulmtweet.data.sources import read_bytes, read_text, read_tweets
from ulmtweet.data.tables import read_lines, read_table
from ulmtweet.data.times import tell_times

SECONDS, MEMORY = 10, 512 * 2**20 # for a file; bytes of a process


# Whole files, one of each format, to be damaged

def cbor(value):
    "DAG-CBOR of what is in a repository of Bluesky; `bytes` that begin with a zero are links."
    head = lambda kind, n: bytes([kind << 5 | n]) if n < 24 else bytes([kind << 5 | 25]) + n.to_bytes(2, "big")
    if value is None: return b"\xf6"
    if isinstance(value, int): return head(0, value)
    if isinstance(value, str): return head(3, len(value.encode())) + value.encode()
    if isinstance(value, bytes): return (b"\xd8\x2a" if value[:1] == b"\0" else b"") + head(2, len(value)) + value
    if isinstance(value, list): return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


def varint(n): return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)

def block(content, number):
    "Identifier and bytes of a block; nobody checks the hash in it."
    cid = b"\x01\x71\x12\x20" + number.to_bytes(32, "big")
    return cid, varint(36 + len(content)) + cid + content


def repository(posts):
    "A CAR file with posts, CBOR each."
    header = cbor(dict(roots=[], version=1))
    written = [block(post, i) for i, post in enumerate(posts, 1)]
    entries = [dict(p=0, k=b"app.bsky.feed.post/%06d" % i, v=b"\0" + cid, t=None) for i, (cid, _) in enumerate(written)]
    blocks = [raw for _, raw in written]
    return varint(len(header)) + header + b"".join([block(cbor(dict(e=entries, l=None)), 0)[1], *blocks])


def x_posts(): return "window.YTD.tweets.part0 = " + as_json([dict(tweet=x_tweet(*row)) for row in NEWEST_FIRST])

def as_json(value): return json.dumps(value, ensure_ascii=False, indent=1)

def as_zip(files, kind=zipfile.ZIP_DEFLATED):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", kind) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return raw.getvalue()


PUBLIC = "https://www.w3.org/ns/activitystreams#Public"
X_ARCHIVE = {"data/account.js": 'window.YTD.account.part0 = [{"account": {"username": "maker", "accountId": "7"}}]',
             "data/manifest.js": 'window.__THAR_CONFIG = {"dataTypes": {"tweets": {"files": [{"count": "60"}]}}}',
             "data/like.js": 'window.YTD.like.part0 = [{"like": {"fullText": "Liked only, private"}}]',
             "data/tweets.js": x_posts()}
BY_LINE = "\n".join(json.dumps(dict(id=i, date=f"{t}", rawContent=x)) for i, t, x in NEWEST_FIRST)
GOOD = { # name -> content, and the text in it that tweets may come from
    "t.csv": table(["id", "created_at", "author", "text"], [(i, t, "maker", x) for i, t, x in NEWEST_FIRST]),
    "t.tsv": table(["text", "created_at"], [(x, t) for _, t, x in NEWEST_FIRST], "\t"),
    "t.txt": "\n".join(TWEETS),
    "t.jsonl": BY_LINE,
    "tweets.js": x_posts(),
    "outbox.json": as_json(dict(type="OrderedCollection", orderedItems=[
        dict(type="Create", published=f"{t:%Y-%m-%dT%H:%M:%SZ}", object=dict(
            type="Note", id=f"https://s.example/{i}", content=f"<p>{x}</p>", to=[PUBLIC], cc=[],
            published=f"{t:%Y-%m-%dT%H:%M:%SZ}")) for i, t, x in NEWEST_FIRST])),
    "feed.json": as_json(dict(cursor="x", feed=[dict(post=dict(
        uri=f"at://did:plc:m/app.bsky.feed.post/{i}", author=dict(handle="maker.example"), record={
            "$type": "app.bsky.feed.post", "text": x, "createdAt": f"{t:%Y-%m-%dT%H:%M:%SZ}"}))
        for i, t, x in NEWEST_FIRST])),
    "repo.car": repository([cbor({"$type": "app.bsky.feed.post", "text": x, "createdAt": f"{t:%Y-%m-%dT%H:%M:%SZ}"})
                            for _, t, x in NEWEST_FIRST]),
    "x.zip": as_zip(X_ARCHIVE),
    "t16.csv": table(["created_at", "text"], [(t, x) for _, t, x in NEWEST_FIRST]).encode("utf-16"),
    "latin.csv": table(["date", "text"], [(t, x + " Déjà vu à l’été") for _, t, x in NEWEST_FIRST]).encode("cp1252"),
}
GOOD = {name: content if isinstance(content, bytes) else content.encode() for name, content in GOOD.items()}


# The generator

HOSTILE = {} # name -> name of the file, function: random numbers, path -> its content, more of the kind


def hostile(file_name, times=1, **more):
    """Register a function that makes a kind of file: from random numbers its bytes, or a dictionary for a folder.

    `holds` is the text in a packed file, `refused` says that there is nothing to be read in it."""
    def register(makes):
        for i in range(times):
            HOSTILE[f"{makes.__name__}_{i}"] = file_name, makes, more
        return makes
    return register


@hostile("t.csv", refused=True)
def empty(rng): return b""

@hostile("t.csv", 4, refused=True)
def white_space_only(rng): return "".join(rng.choices(" \t\r\n\ufeff", k=rng.randrange(1, 1000))).encode()

@hostile("t.csv", 6, refused=True)
def header_only(rng): return (rng.choice(",;\t|").join(["id", "date", "text"]) + rng.choice(["", "\n", "\r"])).encode()

@hostile("t.csv", 8, refused=True)
def columns_without_a_text(rng):
    "Counts, dates and links, but no words."
    columns = rng.sample(["id", "likes", "date", "link", "lat"], 3)
    value = dict(id=lambda: rng.randrange(10**18), likes=lambda: rng.randrange(99), lat=rng.random,
                 date=lambda: f"2020-01-{rng.randrange(1, 29):02}", link=lambda: f"https://s.example/{rng.random()}")
    return table(columns, [[value[c]() for c in columns] for _ in range(50)]).encode()

@hostile("t.csv", 8)
def rows_of_any_width(rng):
    return table(["date", "author", "text"], [rng.choices(TWEETS + ["2020-01-02", "maker", ""], k=rng.randrange(7))
                                              for _ in range(60)]).encode()

@hostile("t.csv", 6)
def names_of_columns_missing_or_twice(rng):
    header = rng.choices(["text", "date", "", " ", "id"], k=4)
    return table(header, [(t, i, x, x[::-1]) for i, t, x in NEWEST_FIRST]).encode()

@hostile("t.csv", 8)
def utf_16_spoilt(rng):
    "Without its mark, with the wrong one, or half a character short."
    raw = GOOD["t16.csv"]
    return rng.choice([raw[2:], raw[1:], raw[:-1], raw[::-1], raw + b"tea", raw[:2] + raw, raw[2:2001] + raw])

@hostile("t.csv", 12)
def other_encodings(rng):
    text = "text\n" + "\n".join(f"{t} {rng.choice(['é', 'ж', 'ü', 'ね', 'ß', '’'])}" for t in TWEETS)
    encodings = ["latin-1", "cp1252", "koi8-r", "shift-jis", "utf-32", "utf-7", "cp037", "utf-16-be"]
    return text.encode(rng.choice(encodings), "replace")

@hostile("t.csv", 8)
def zero_bytes(rng):
    raw = GOOD[rng.choice(["t.csv", "t.txt", "t.jsonl"])]
    for _ in range(rng.choice([1, 5, 2000])):
        place = rng.randrange(len(raw))
        raw = raw[:place] + b"\0" + raw[place:]
    return raw

@hostile("t.csv", 12)
def quotes_left_open(rng):
    raw = bytearray(GOOD["t.csv"])
    places = [m.start() for m in re.finditer(b'"', raw)]
    for place in sorted(rng.sample(places, rng.choice([1, 3, 40])), reverse=True):
        del raw[place]
    return bytes(raw)

@hostile("t.csv", 5)
def a_cell_of_a_megabyte(rng):
    cell = (rng.choice(['a', 'tea ', '""', '","', "\n", "é", "@a ", "http://"]) * 2**20)[:2**20]
    rows = f'7,2020-01-01 00:00:00,maker,"{cell}"\n8,2020-01-02 00:00:00,maker,Tea\n'
    return GOOD["t.csv"] + rows.encode()

@hostile("t.txt", 6)
def a_line_of_a_megabyte(rng):
    piece = rng.choice(["a", "tea ", "<", "[", "{", '"', "'", "- ", "#", "\\"])
    return "\n".join([*TWEETS, (piece * 2**20)[:2**20]]).encode()

@hostile("t.csv", 3, refused=True)
def a_hundred_thousand_columns(rng):
    separator = rng.choice(",;\t|")
    header = separator.join(f"c{i}" for i in range(100_000))
    return f"{header}\n{separator.join(['tea at nine'] * 100_000)}\n".encode()

@hostile("t.json", 2)
def a_hundred_thousand_keys(rng):
    post = {f"c{i}": "tea at nine" for i in range(100_000)}
    return as_json([rng.choice([post, dict(text="Tea", id=1) | post, {"post": post}])]).encode()

@hostile("t.txt", 4)
def a_hundred_thousand_separators(rng): return (rng.choice(",;\t|") * 100_000 + "\ntea at nine\n").encode()

@hostile("t.csv", 4)
def copies_only(rng):
    row = rng.choice([TWEETS[0], f"1,2020-01-01,{TWEETS[0]}", '{"id": 1, "text": "%s"}' % TWEETS[0]])
    return (row + "\n").encode() * 5000

BOMBS = dict(gz=cache(lambda: gzip.compress(bytes(2**24)) * 100), bz2=cache(lambda: bz2.compress(bytes(10**7)) * 200),
             xz=cache(lambda: lzma.compress(bytes(2**24)) * 100))

@hostile("t.csv", 3, refused=True)
def bombs(rng): return BOMBS[rng.choice([*BOMBS])]()

@hostile("t.csv.gz", refused=True)
def a_bomb_packed_again(rng): return gzip.compress(BOMBS["gz"]())

@hostile("t.zip", 3, refused=True)
def a_zip_full_of_bombs(rng):
    bomb = rng.choice([*BOMBS])
    return as_zip({f"{i}.csv.{bomb}": BOMBS[bomb]() for i in range(3)})

@hostile("t.zip", 4, holds=GOOD["t.csv"])
def a_zip_that_lies_about_sizes(rng):
    "The size in the directory, packed or unpacked, is another one."
    raw = bytearray(as_zip({"t.csv": bytes(10**7) if rng.random() < 0.5 else GOOD["t.csv"]}))
    struct.pack_into("<I", raw, raw.index(b"PK\1\2") + rng.choice([20, 24]), rng.choice([1, 100, 2**31, 2**32 - 1]))
    return bytes(raw)

@hostile("t.zip", 4, refused=True)
def a_zip_in_a_zip(rng):
    raw = as_zip({"t.csv": GOOD["t.csv"]})
    for i in range(rng.randrange(1, 20)):
        raw = as_zip({f"{i}.zip": raw})
    return raw

@hostile("t.zip", 8, refused=True)
def members_outside(rng):
    name = rng.choice(["../", "a/../../", "/tmp/", "..\\", "C:\\", "//host/"]) + rng.choice(["data/tweets.js", "t.csv"])
    raw = GOOD[Path(name.replace("\\", "/")).name]
    if rng.random() < 0.5: return as_zip({name: raw})
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=rng.choice(["w", "w:gz"])) as tar: tar.addfile(*member(name, raw))
    return archive.getvalue()

@hostile("t.zip", 6, refused=True)
def links_in_archives(rng):
    name, target = rng.choice(["t.csv", "data/tweets.js"]), rng.choice(["/etc/passwd", "../../t.csv", "t.csv"])
    info, archive = zipfile.ZipInfo(name), io.BytesIO()
    info.external_attr = 0o120777 << 16
    if rng.random() < 0.5: return as_zip({info: target})
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(*member(name, kind=tarfile.SYMTYPE, linkname=target))
    return archive.getvalue()

@hostile("folder", 6)
def links_in_folders(rng):
    target = rng.choice(["/etc/passwd", "/etc", "..", ".", "../folder/t.csv", "/dev/zero", "nowhere"])
    return {"t.csv": target, **({"u.csv": GOOD["t.csv"]} if rng.random() < 0.5 else {})}

@hostile("folder", 2)
def strange_names(rng):
    names = [b"\xff\xfe.csv", "a\nb.csv", "\u202e.csv", " .csv", "-h.csv", "t" * 240 + ".csv"]
    return dict.fromkeys(names, GOOD["t.csv"])

@hostile("x.zip", refused=True)
def twenty_thousand_parts(rng):
    "Of an X archive; tests/test_files.py has a hundred thousand members."
    part = b"window.YTD.tweets.part1 = []"
    return as_zip({f"data/tweets-part{i}.js": part for i in range(20_000)}, zipfile.ZIP_STORED)

@hostile("t", 6, holds=GOOD["t.csv"])
def another_ending(rng):
    return rng.choice([gzip.compress, bz2.compress, lzma.compress, lambda raw: as_zip({"t.csv": raw})])(GOOD["t.csv"])

@hostile("t.zip", 8)
def named_zip(rng): return GOOD[rng.choice([n for n in GOOD if not n.endswith(".zip")])]

@hostile("t.js", 12, refused=True)
def json_cut_off(rng):
    raw = GOOD[rng.choice(["tweets.js", "outbox.json", "feed.json"])]
    return raw[:rng.randrange(60, len(raw) - 4)]

NESTS = [("[", "]"), ('{"a":', "}"), ('[{"tweet":', "}]"), ('{"text": "tea", "id": 1, "user":', "}"), ("<p>", "</p>"),
         ("(", ")"), ('{"data": [', "]}"), ("b'", "'"), ("{'a':", "}")]

@hostile("t.json", 18)
def nested_deeply(rng):
    (opens, closes), depth = rng.choice(NESTS), rng.choice([100, 1000, 20_000, 100_000])
    value, closed = rng.choice(["1", "", '"Tea at nine"']), rng.choice([depth, depth - 1, 0])
    return (opens * depth + value + closes * closed).encode()

@hostile("tweets.js", 6)
def nested_deeply_in_a_tweet(rng):
    (opens, closes), depth = rng.choice(NESTS), rng.choice([100, 500, 5000])
    value = opens * depth + "1" + closes * depth
    return GOOD["tweets.js"].replace(b'"created_at"', f'"user": {value}, "created_at"'.encode(), 1)

ODD = [None, True, False, 0, -1, 1e300, float("nan"), 10**400, "", "2020", [], {}, [[]], [None], {"a": None}, "\ud800",
       "\0"]

@hostile("t.json", 26)
def values_of_another_type(rng):
    "Some values anywhere in good JSON are others."
    def changed(value):
        if rng.random() < share: return rng.choice(ODD)
        if isinstance(value, dict): return {k: changed(v) for k, v in value.items()}
        return [changed(v) for v in value] if isinstance(value, list) else value
    raw, share = GOOD[rng.choice(["tweets.js", "outbox.json", "feed.json"])], rng.choice([0.001, 0.02, 0.2])
    value = json.loads(raw[raw.index(b"= ") + 2:] if raw.startswith(b"window") else raw)
    return json.dumps(changed(value)).encode()

@hostile("t.csv", 6)
def numbers_and_days_out_of_reach(rng):
    odd = ["9" * 400, "9" * 20, "1e999", "-1e999", "nan", "inf", "99999-99-99", "0000-00-00", "2020-02-31 25:61:61",
           "1e16", "-9223372036854775808", "0001-01-01", "٣٠/٠٢/٢٠٢٠", "2262-04-12 00:00:00",
           "9999-12-31T23:59:59-23:59", "²³"]
    rows = [(rng.choice(odd), rng.choice(odd + [t]), x) for _, t, x in NEWEST_FIRST]
    return table(["id", "created_at", "text"], rows).encode()

@hostile("t.csv", 8)
def signs_that_are_none(rng):
    "Control characters, halves of characters, marks of direction, endless accents."
    odd = ["\x1b[2J", "\x07", "\u202e", "\x85", "\u2028", "\ufffe", "\ue000", "e" + "\u0301" * 5000, "\x1c"]
    return table(["created_at", "text"], [(t, x + rng.choice(odd)) for _, t, x in NEWEST_FIRST]).encode()

@hostile("repo.car", 12)
def lying_lengths(rng):
    "Counts and lengths in a repository of Bluesky are too large, or lead back."
    odd = [b"\x9b" + b"\xff" * 8, b"\x7b" + b"\xff" * 8, b"\xff" * 9, b"\x9f", b"\x81" * 500,
           b"\xbb" + b"\0" * 7 + b"\xff", b"\xd8\x2a" * 400]
    raw = bytearray(GOOD["repo.car"])
    place, lie = rng.randrange(20, len(raw)), rng.choice(odd)
    raw[place:place + len(lie)] = lie
    return bytes(raw)

@hostile("repo.car", 4)
def posts_of_odd_types(rng):
    records = [{"$type": "app.bsky.feed.post", "text": rng.choice([1, None, [], b"tea", "Tea", {}]),
                "createdAt": rng.choice([1, None, "2020", []])} for _ in range(100)]
    return repository([cbor(r) for r in records])

STARTS = [b"", b"\x1f\x8b\x08", b"BZh91AY&SY", b"\xfd7zXZ\0", b"PK\3\4", b"PK\5\6", b"\xff\xfe", b"\xef\xbb\xbf",
          b"\x3a\xa2eroots", b"text,date\n", b"[{", b"window.YTD.tweets.part0 = [", b"%PDF-", b"\xff\xfe\0\0"]

@hostile("t.csv", 53)
def random_bytes(rng): return rng.choice(STARTS) + rng.randbytes(rng.choice([1, 10, 1000, 100_000]))

SIGNS = [*"\"',;|\t\n\r\\{}[]<>:=()&#@/ \0", "\r\n", '""', "b'", "//", "/*", "RT @", "https://", "null",
         "1", "é", "text", "id", "tea"]

@hostile("t.csv", 52)
def random_signs(rng):
    return rng.choice(STARTS[-8:] + [b"[", b"{"]) + "".join(rng.choices(SIGNS, k=rng.choice([5, 100, 5000]))).encode()


def with_signs(rng, raw):
    "Some signs put in, or in the place of others, that mean something to a reader."
    raw = bytearray(raw)
    for _ in range(rng.choice([1, 1, 3, 30])):
        place, sign = rng.randrange(len(raw)), rng.choice(SIGNS).encode()
        raw[place:place + rng.choice([0, len(sign)])] = sign
    return bytes(raw)


for name in GOOD:
    for damage in (damaged, with_signs):
        inside = X_ARCHIVE["data/tweets.js"].encode() if name == "x.zip" else None
        def spoils(rng, raw=GOOD[name], damage=damage): return damage(rng, raw)
        spoils.__name__ = f"{damage.__name__}_{name}"
        hostile(name, 7, holds=inside)(spoils)


def make_all(folder, seed=11):
    "Write all hostile files, each in a folder of its own; returns path and source by name."
    made = {}
    for name, (file_name, makes, more) in HOSTILE.items():
        content = makes(random.Random(f"{seed} {name}"))
        path = folder/name/file_name
        path.parent.mkdir()
        if isinstance(content, dict):
            path.mkdir()
            for inner, value in content.items():
                inner = os.path.join(os.fsencode(path), os.fsencode(inner))
                if isinstance(value, str): os.symlink(value, inner)
                else: Path(os.fsdecode(inner)).write_bytes(value)
        else: path.write_bytes(content)
        made[name] = path, more.get("holds") or (GOOD["t.csv"] if isinstance(content, dict) else content)
    return made


# The reader, in processes of its own

WRITES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod",
          "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect"}

def most_memory():
    "Bytes that this process held at most; its ru_maxrss would begin with those of its parent."
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

def read_all(paths):
    "Read and clean files; prints a line for each: what came of it, the time and memory it took, what was written."
    wrote = []
    def watch(event, args):
        opened = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if opened or event in WRITES: wrote.append(f"{event} {args}")
    sys.addaudithook(watch)
    for path in paths:
        begin, found = time.process_time(), dict(refused=None, texts=[])
        wrote.clear()
        try: read_and_clean(path, found)
        except DataError as error: found["refused"] = str(error)
        except BaseException as error: found["fault"] = repr(error)
        found |= dict(seconds=time.process_time() - begin, wrote=[*wrote],
                      memory=most_memory())
        print(json.dumps(found), flush=True)


def read_and_clean(path, found):
    "What `ulmtweet data` does; the texts as read are put into `found`."
    table = read_tweets(path)
    found["texts"] = [t for t in table.text if isinstance(t, str)]
    tweets, report = clean_tweets(table)
    assert report["read"] == report["kept"] + sum(report["dropped"].values()) == len(table)
    describe_tweets(tweets, report)


def letters(text): return re.sub("[^A-Za-z]", "", text)

def foreign(texts, source):
    "The texts whose letters don't stand one after the other in a source; the whole one, whatever its encoding."
    if not texts: return []
    sources = [letters(source.decode(encoding, "ignore")) for encoding in ("latin-1", "utf-16-le", "utf-16-be")]
    return [t for t in texts if not any(letters(t) in s for s in sources)]


@pytest.mark.slow
def test_hostile_files_are_refused_or_read_right(tmp_path):
    assert len(HOSTILE) == 500
    made = make_all(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    names, found = list(made), {}
    for part in (names[:250], names[250:]): # memory is a high-water mark, so what comes late is held to less
        code = "import sys; sys.path.insert(0, sys.argv[1]); import test_hostile; test_hostile.read_all(sys.argv[2:])"
        done = subprocess.run([sys.executable, "-c", code, ROOT/"tests", *(made[n][0] for n in part)],
                              capture_output=True, text=True, timeout=1800, cwd=tmp_path)
        assert done.returncode == 0 and len(done.stdout.splitlines()) == len(part), done.stderr[-2000:]
        found |= zip(part, map(json.loads, done.stdout.splitlines()))
    for name, result in found.items():
        said = f"{name}: {str(result)[:500]}"
        assert "fault" not in result and not result["wrote"], said
        assert result["seconds"] < SECONDS and result["memory"] < MEMORY, said
        assert not foreign(result["texts"], made[name][1]), said
        assert result["refused"] or not HOSTILE[name][2].get("refused"), said
    assert sorted(tmp_path.rglob("*")) == before
    read = sum(not result["refused"] for result in found.values())
    assert 150 < read < 400 # neither everything nor nothing is refused


@pytest.mark.parametrize("kind", ["header_only_0", "bombs_0", "members_outside_0", "json_cut_off_0", "nested_deeply_0",
                                  "random_bytes_0"])
def test_the_command_refuses_hostile_files_in_one_line(tmp_path, kind):
    file_name, makes, _ = HOSTILE[kind]
    (tmp_path/file_name).write_bytes(makes(random.Random(3)))
    done = run("data", tmp_path/file_name, home=tmp_path/"home")
    failed(done, 3)
    assert len(done.stderr.strip().splitlines()) == 1 and not done.stdout
    assert [p.name for p in tmp_path.iterdir()] == [file_name]


# Time: twice as long for twice the text, whatever it is

MODULES = [importlib.import_module(name) for name in
           ("ulmtweet.core", *(f"ulmtweet.data.{m.name}" for m in pkgutil.iter_modules(ulmtweet.data.__path__)))]
SOURCE = "\n".join(map(inspect.getsource, MODULES))
METHODS = ("match", "fullmatch", "search", "finditer")

def patterns_in(value):
    if isinstance(value, re.Pattern): yield value
    if isinstance(value, dict): value = [*value, *value.values()]
    for inner in value if isinstance(value, (list, tuple)) else []:
        yield from patterns_in(inner)


def used_patterns():
    "Each regular expression of these modules with the methods that it is used with, as far as the source tells."
    for module in MODULES:
        for name, value in vars(module).items():
            used = set(re.findall(rf"\b{name}(?:\[[^]]*\])?\.(\w+)", SOURCE))
            used = {m if m in METHODS else "finditer" for m in used & {*METHODS, "sub", "split", "findall", "subn"}}
            for pattern in patterns_in(value):
                yield pattern, used or {"match", "fullmatch"}
        for call in ast.walk(ast.parse(inspect.getsource(module))):
            if not isinstance(call, ast.Call) or not ast.unparse(call.func).startswith("re."): continue
            method = ast.unparse(call.func)[3:]
            if method == "compile" or not call.args or not isinstance(call.args[0], ast.Constant): continue
            yield re.compile(call.args[0].value), {method if method in METHODS else "finditer"}


USED = {}
for pattern, methods in used_patterns():
    USED.setdefault((pattern.pattern, pattern.flags), set()).update(methods)
CLASSES = dict(CATEGORY_DIGIT="1", CATEGORY_SPACE=" ", CATEGORY_WORD="a", CATEGORY_NOT_WORD=".")


def match_of(tree, pieces, rng):
    "A text that a parsed expression may match; its parts are added to `pieces`."
    out = ""
    for op, value in tree:
        op = str(op)
        if op == "LITERAL": part = chr(value)
        elif op == "IN":
            signs = [chr(v) if str(o) == "LITERAL" else chr(v[0]) if str(o) == "RANGE" else CLASSES.get(str(v), "a")
                     for o, v in value if str(o) != "NEGATE"]
            pieces.update(signs[:4])
            part = "a" if str(value[0][0]) == "NEGATE" else rng.choice(signs)
        elif op == "BRANCH": part = rng.choice([match_of(branch, pieces, rng) for branch in value[1]])
        elif op == "SUBPATTERN": part = match_of(value[3], pieces, rng)
        elif op == "ATOMIC_GROUP": part = match_of(value, pieces, rng)
        elif op.endswith("REPEAT"): part = match_of(value[2], pieces, rng) * max(1, value[0])
        elif op in ("AT", "ASSERT", "ASSERT_NOT", "GROUPREF"): part = ""
        else: part = "a" # any character, or not some
        pieces.add(part)
        out += part
    return out


def attacks(pattern, flags, rng):
    "Beginning, repeated middle and end of texts made of what an expression looks for."
    pieces, is_bytes = set(), isinstance(pattern, bytes)
    tree = re._parser.parse(pattern.decode("latin-1") if is_bytes else pattern, 0 if is_bytes else flags)
    wholes = [match_of(tree, pieces, rng) for _ in range(3)]
    pieces = [" ", *rng.sample(sorted(pieces - {""}), min(len(pieces - {""}), 16))]
    yield from [("", piece, "\0") for piece in pieces]
    yield from [("", whole[:-1] or "a", "\0") for whole in wholes]
    for _ in range(20):
        first, second, third = rng.choices(pieces, k=3)
        yield rng.choice([first, *wholes]), second + rng.choice(["", third]), rng.choice(["\0", first])


def seconds(function, attack, n, times=1):
    begin, middle, end = attack
    text, best = (begin + middle * (n // len(middle)))[:n] + end, 9.0
    for _ in range(times):
        start = time.process_time()
        function(text)
        best = min(best, time.process_time() - start)
    return best


FINE = [*range(20, 100, 4), *range(100, 400, 25), 1000, 4000, 20_000] # an exponential one would never end

def is_linear(function, attack, sizes=(30, 400, 4000)):
    "Whether twice the text takes at most 2.5 times as long, up to 100,000 characters; short times aren't compared."
    for n in sizes:
        if seconds(function, attack, n) > 0.5 and seconds(function, attack, n, 3) > 0.5: return False
    if seconds(function, attack, 20_000) < 0.004: return True
    half, whole = (lambda k, n=n: seconds(function, attack, n, k) for n in (50_000, 100_000))
    return any(whole(times) < 2.5 * half(times) + 0.02 for times in (1, 3, 5))


@pytest.mark.slow
def test_regular_expressions_are_linear():
    assert len(USED) > 100
    for (pattern, flags), methods in USED.items():
        compiled, rng = re.compile(pattern, flags), random.Random(5)
        encode = (lambda text: text.encode("latin-1", "replace")) if isinstance(pattern, bytes) else str
        for method in methods:
            apply = getattr(compiled, method)
            every = lambda text: deque(apply(encode(text)), 0)
            finds = every if method == "finditer" else lambda text: apply(encode(text))
            for attack in attacks(pattern, flags, rng):
                assert is_linear(finds, attack, FINE), (pattern, method, attack)


FUNCTIONS = dict(
    clean_text=clean_text, html_text=html_text, decode_bytes=lambda text: decode_bytes(text.encode(), "t"),
    decode_others=lambda text: decode_bytes(b"\xe9t\xe9 " + text.encode("cp1252", "replace"), "t"),
    read_objects=lambda text: read_objects(text, "t"), read_table=lambda text: read_table(text, "t"),
    read_dialect=lambda text: read_dialect(text, "t"), read_lines=lambda text: read_lines(text, "t"),
    tell_times=lambda text: tell_times([dict(date=text)], [""]),
    tell_many_times=lambda text: tell_times([dict(date=text[i:i + 40]) for i in range(0, len(text), 40)],
                                            [""] * len(text)))
ATTACKS = ["a", " ", "1", "\n", "a,b\n", "\t", '"', '""', "'", "[", "{", '{"a":1}\n', '[{"text":', "(", "<", "<p>",
           "<!--", "&amp;", "&#", "/*", "//", "\\", "https://", "http:// a.", "@a ", "#", "RT @a: ", "1/1/1 ", "12:00 ",
           "b'", "-", "é", "\r", "…", "a-b_"]
BEGINNINGS = dict(read_table=["", "text,date\n"], read_objects=["", "["])


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_readers_are_linear(name):
    def function(text):
        try: FUNCTIONS[name](text)
        except UlmtweetError: pass
    for piece in ATTACKS[::3] if name in ("tell_many_times", "decode_others") else ATTACKS: # the slowest
        for begin in BEGINNINGS.get(name, [""]):
            assert is_linear(function, (begin, piece, "!")), (begin, piece)


def by_column(n): return {k: {str(i): f"{k} {i}" for i in range(n)} for k in ("text", "date")} # as pandas writes a table

def by_row(n): return {str(i): dict(text=f"tea {i}", date=f"2020-01-{i}") for i in range(n)}

def with_users(n): # as X's interface answers
    return dict(data=[dict(id=str(i), text=f"tea {i}", author_id=str(i)) for i in range(n)],
                includes=dict(users=[dict(id=str(i), username=f"ann{i}") for i in range(n)]))


@pytest.mark.slow
@pytest.mark.parametrize("written", [by_column, by_row, with_users])
def test_json_is_read_in_linear_time(written):
    assert len(read_text(json.dumps(written(10)), "t")) == 10
    assert is_linear(lambda text: read_objects(json.dumps(written(len(text) // 20)), "t"), ("", "a", ""))


# Any text and any bytes

ANY = st.text(max_size=200) | st.lists(st.sampled_from(SIGNS) | st.text(max_size=5), max_size=40).map("".join)

@given(ANY, st.none() | st.just("text"))
@example('[{"text": "a", "id": 1, "user": ' + "[" * 600 + "]" * 600 + "}]", None)
@example('[{"text": "a", "id": 1, "type": ' + "[" * 600 + "]" * 600 + "}]", None)
def test_any_text_is_read_or_refused(text, column):
    try: table = read_text(text, "t", column)
    except UlmtweetError: return
    assert len(table) and all(t is None or isinstance(t, str) for t in table.text)


@given(st.sampled_from(STARTS) , st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(start, raw):
    try: assert len(read_bytes(start + raw, "t"))
    except UlmtweetError: pass


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60).map("tea for two {}".format)

@given(st.lists(WORDS | WORDS.map(lambda w: f"{w}\n{w}"), min_size=12, max_size=30))
def test_a_table_of_any_texts_comes_back(texts):
    rows = [(f"2020-01-{i + 1:02} 10:00:00", "maker", text) for i, text in enumerate(texts[:28])]
    assert read_text(table(["created_at", "author", "text"], rows), "t").text.tolist() == [text for *_, text in rows]


@given(st.lists(WORDS, min_size=2, max_size=30), st.booleans())
def test_json_of_any_texts_comes_back(texts, by_line):
    tweets = [dict(id=i, content=text, date="2020-01-01") for i, text in enumerate(texts)]
    text = "\n".join(map(json.dumps, tweets)) if by_line else json.dumps(tweets)
    assert read_text(text, "t").text.tolist() == texts
