"Folders, archives and packed files, the hostile ones too: an error or the right bytes, in little time and memory."
import bz2, gzip, io, lzma, os, random, subprocess, sys, tarfile, time, zipfile

import pytest

from ulmtweet.core import DataError
from ulmtweet.data.files import MAX_MEMBER, decode_bytes, may_hold_tweets, open_collection, read_file, unpack

TABLE = b"text,date\n" + b"".join(b"tea number %d at nine,2020-01-%02d\n" % (i, i % 28 + 1) for i in range(200))
TWEETS = b'window.YTD.tweets.part0 = [{"tweet": {"full_text": "Tea at nine"}}]'
PACKS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def read_all(path):
    "What of a path may hold tweets, as the importers get it: name -> bytes."
    collection = open_collection(path)
    if collection is None:
        raw, name = unpack(read_file(path), path.name)
        return {name: raw}
    return dict(reversed(unpack(collection.read(n), n)) for n in may_hold_tweets(collection.names))


def make_zip(path, files, kind=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def member(name, content=b"", kind=tarfile.REGTYPE, **more):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info, io.BytesIO(content)


def make_tar(path, members, mode="w:gz", **options):
    with tarfile.open(path, mode, **options) as archive:
        for info, content in members:
            archive.addfile(info, content)
    return path


@pytest.mark.parametrize("ending", PACKS)
def test_a_packed_file_is_read_as_what_is_in_it(tmp_path, ending):
    for name in (f"t.csv.{ending}", "t.csv"):
        (tmp_path/name).write_bytes(PACKS[ending](TABLE))
        assert read_all(tmp_path/name) == {"t.csv": TABLE}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("name", ["t.tar", "t.zip", "tweets.csv"])
def test_a_tar_is_known_by_its_content(tmp_path, mode, name):
    path = make_tar(tmp_path/name, [member(n, TABLE) for n in ("a/README.md", "./a/t.csv", "a/b/u.csv")], mode)
    assert read_all(path) == {"a/t.csv": TABLE, "a/b/u.csv": TABLE}


@pytest.mark.parametrize("options", [dict(format=tarfile.PAX_FORMAT), dict(format=tarfile.GNU_FORMAT)])
def test_long_and_foreign_names_in_a_tar(tmp_path, options):
    name = "ордер/" * 40 + "t.csv"
    assert read_all(make_tar(tmp_path/"t.tgz", [member(name, TABLE)], **options)) == {name: TABLE}


def test_packed_tables_in_an_archive_and_names_from_windows(tmp_path):
    path = make_zip(tmp_path/"t.zip", {"2020\\t.csv.gz": gzip.compress(TABLE), "u.csv": TABLE})
    assert read_all(path) == {"2020/t.csv": TABLE, "u.csv": TABLE}


@pytest.mark.parametrize("top", ["", "twitter-2024/"])
def test_only_the_posts_of_an_archive_of_x_are_opened(tmp_path, top):
    private = ["direct-messages.js", "direct-messages-group.js", "like.js", "deleted-tweets.js",
               "deleted-note-tweet.js", "tweet-headers.js", "grok-chat-item.js", "manifest.js", "account.js",
               "README.txt", "users.csv"]
    posts = ["tweets.js", "tweets-part2.js", "tweets-part10.js", "note-tweet.js", "community-tweet.js"]
    path = make_zip(tmp_path/"x.zip", {f"{top}data/{n}": TWEETS for n in private + posts})
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path/"x")
    for source in (path, tmp_path/"x"):
        assert sorted(read_all(source)) == sorted(f"{top}data/{n}" for n in posts)
    for n in posts:
        (tmp_path/"x"/top/"data"/n).unlink()
    assert read_all(tmp_path/"x") == {}


def test_a_folder_is_read_with_its_folders_but_not_through_links_that_lead_outside(tmp_path):
    folder = tmp_path/"all"
    (folder/"2020"/".git").mkdir(parents=True)
    (folder/"2020"/".git"/"t.csv").write_bytes(TABLE)
    (folder/"2020"/"t.csv").write_bytes(TABLE)
    (folder/"2020"/"empty.csv").touch()
    (tmp_path/"secret").mkdir()
    (tmp_path/"secret"/"s.csv").write_bytes(TABLE)
    (folder/"way_out").symlink_to(tmp_path/"secret")
    (folder/"loop").symlink_to(folder)
    os.mkfifo(folder/"pipe.csv")
    assert read_all(folder) == {"2020/t.csv": TABLE}
    (folder/"inside.csv").symlink_to(folder/"2020"/"t.csv")
    assert read_all(folder) == {"2020/t.csv": TABLE, "inside.csv": TABLE}
    (folder/"outside.csv").symlink_to(tmp_path/"secret"/"s.csv")
    with pytest.raises(DataError, match="points outside"):
        read_all(folder)
    with pytest.raises(DataError, match="not a regular file"):
        open_collection(folder/"pipe.csv")


OUTSIDE = ["../t.csv", "a/../../t.csv", "/t.csv", "C:\\t.csv", "..\\t.csv"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_out_of_an_archive_are_refused(tmp_path, name):
    for path in (make_zip(tmp_path/"t.zip", {name: TABLE}), make_tar(tmp_path/"t.tar", [member(name, TABLE)])):
        with pytest.raises(DataError, match="points outside"):
            read_all(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.tar", "t.zip"]


def test_links_and_devices_in_an_archive_are_refused(tmp_path):
    for i, kind in enumerate([tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]):
        path = make_tar(tmp_path/f"{i}.tar", [member("t.csv", kind=kind, linkname="/etc/passwd")])
        with pytest.raises(DataError, match="link or device"):
            read_all(path)
    info = zipfile.ZipInfo("t.csv")
    info.external_attr = 0o120777 << 16
    path = make_zip(tmp_path/"t.zip", {info: "/etc/passwd"})
    with pytest.raises(DataError, match="link or device"):
        read_all(path)


def test_what_else_is_told_by_name(tmp_path):
    make_zip(tmp_path/"book.csv", {"xl/workbook.xml": "<workbook/>", "[Content_Types].xml": "<Types/>"})
    inner = make_zip(tmp_path/"t.zip", {"t.csv": TABLE}).read_bytes()
    make_zip(tmp_path/"nested.zip", {"README.txt": "no", "twitter.zip": inner})
    make_zip(tmp_path/"named.zip", {"t.csv": inner})
    locked = bytearray(inner)
    locked[6] |= 1
    locked[locked.index(b"PK\1\2") + 8] |= 1
    (tmp_path/"locked.zip").write_bytes(locked)
    for name, said in {"book.csv": "Excel", "nested.zip": "twitter.zip is an archive",
                       "named.zip": "a zip in an archive", "locked.zip": "locked with a password"}.items():
        with pytest.raises(DataError, match=said):
            read_all(tmp_path/name)


def limited(path, seconds=10, memory=512 * 2**20):
    "Read a path in a process of its own; its output, and whether it kept within limits of time and memory."
    code = ("import sys, pathlib; sys.path.insert(0, sys.argv[2]); import test_files as t\n"
            "try: found = t.read_all(pathlib.Path(sys.argv[1])); "
            "print('read', len(found), sum(map(len, found.values())))\n"
            "except t.DataError as e: print('refused', e)\n"
            # of this process alone: its ru_maxrss begins with what the parent had
            "print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0] + '000')\n"
            "print(t.time.process_time())")
    command = [sys.executable, "-c", code, str(path), os.path.dirname(__file__)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *said, used, took = done.stdout.splitlines()
    assert int(used) < memory and float(took) < seconds, (path, used, took)
    return "\n".join(said)


def gzip_of_zeros(path, megabytes, before=b""):
    with gzip.open(path, "wb", compresslevel=1) as f:
        f.write(before)
        for _ in range(megabytes):
            f.write(bytes(2**20))
    return path


@pytest.mark.slow
def test_bombs_are_refused_within_limits(tmp_path):
    big = member("t.csv")[0]
    big.size = 2**31
    header = member("x", b"")[0]
    header.type, header.size = tarfile.XHDTYPE, 2**31 - 512
    bombs = [gzip_of_zeros(tmp_path/"t.csv.gz", 2048), gzip_of_zeros(tmp_path/"t.tar.gz", 2048, big.tobuf()),
             gzip_of_zeros(tmp_path/"u.tar.gz", 2048, header.tobuf()),
             make_zip(tmp_path/"t.zip", {"t.csv": bytes(MAX_MEMBER)}),
             make_zip(tmp_path/"many.zip", {f"{i}.csv": bytes(2**19) for i in range(400)})]
    for path in bombs:
        assert limited(path).startswith("refused"), path


@pytest.mark.slow
def test_a_hundred_thousand_members(tmp_path):
    names = [f"media/{i}.jpg" for i in range(100_000)]
    path = make_zip(tmp_path/"t.zip", {**dict.fromkeys(names, b"x"), "t.csv": TABLE}, zipfile.ZIP_STORED)
    assert limited(path) == f"read 1 {len(TABLE)}"
    path = make_zip(tmp_path/"u.zip", {f"{i}.csv": b"text\nhello\n" for i in range(100_000)}, zipfile.ZIP_STORED)
    assert "too many files" in limited(path)
    path = make_tar(tmp_path/"t.tar.gz", [*(member(n) for n in names), member("t.csv", TABLE)], compresslevel=1)
    assert limited(path) == f"read 1 {len(TABLE)}"


def damaged(rng, raw):
    "Some bytes changed, cut out, doubled or cut off."
    raw, kind = bytearray(raw), rng.randrange(4)
    place = rng.randrange(len(raw))
    if kind == 0:
        for _ in range(rng.randrange(1, 8)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
    elif kind == 1:
        del raw[place:place + rng.randrange(1, 50)]
    elif kind == 2:
        raw[place:place] = raw[max(0, place - 40):place]
    else:
        del raw[place:]
    return bytes(raw)


def test_damaged_archives_are_refused_or_read_right(tmp_path):
    rng = random.Random(7)
    files = {"a/t.csv": TABLE, "a/u.json": TWEETS, "README.txt": b"no"}
    members = lambda: [member(n, c) for n, c in files.items()]
    whole = [make_zip(tmp_path/"t.zip", files), make_zip(tmp_path/"s.zip", files, zipfile.ZIP_STORED),
             make_zip(tmp_path/"b.zip", files, zipfile.ZIP_BZIP2), make_zip(tmp_path/"l.zip", files, zipfile.ZIP_LZMA),
             make_tar(tmp_path/"t.tgz", members()), make_tar(tmp_path/"t.txz", members(), "w:xz")]
    for ending, packs in PACKS.items():
        (tmp_path/f"t.csv.{ending}").write_bytes(packs(TABLE))
        whole.append(tmp_path/f"t.csv.{ending}")
    counts = dict(refused=0, read=0)
    for i in range(450):
        path = tmp_path/"damaged"
        path.write_bytes(damaged(rng, whole[i % len(whole)].read_bytes()))
        try:
            found = read_all(path)
            # names may be changed, contents are guarded by checksums; without its first bytes it is a single file,
            # and no text unless hardly anything is left
            if found.get("damaged") == path.read_bytes():
                text, _ = decode_bytes(path.read_bytes(), "damaged")
                assert len(text) < 5, (i, text)
            else:
                assert set(found.values()) <= {TABLE, TWEETS}, (i, found)
            counts["read"] += 1
        except DataError:
            counts["refused"] += 1
    assert counts["refused"] > 250


def test_damaged_tars_end_in_an_error_or_with_all_members(tmp_path):
    rng = random.Random(8)
    raw = make_tar(tmp_path/"t.tar", [member("t.csv", TABLE), member("u.json", TWEETS)], "w").read_bytes()
    for i in range(200):
        (tmp_path/"damaged").write_bytes(damaged(rng, raw))
        try:
            read_all(tmp_path/"damaged")
        except DataError:
            pass
    # damage in the second header would be the end of the archive for tarfile
    place = raw.index(b"u.json")
    (tmp_path/"damaged").write_bytes(raw[:place] + b"U" + raw[place + 1:])
    with pytest.raises(DataError, match="header is damaged"):
        read_all(tmp_path/"damaged")
