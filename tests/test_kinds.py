"""Files as other programs and people write them: each kind is made of the same tweets, and all must come out the same.

Each kind was met in somebody's bug report: read as other tweets, in another order, or not at all.
"""
import csv, gzip, io, json, random, zipfile
from datetime import datetime, timedelta

import pytest

from ulmtweet.data.clean import CleanOptions, clean_tweets
from ulmtweet.data.sources import read_tweets

SUBJECTS = ["The tide clock", "Aunt Ada's van", "My second kiln", "A wet umbrella", "The night bus", "Our beehive",
            "This old compass", "The corner baker", "A lost button", "The brass band", "My left boot", "The paper kite"]
ENDINGS = ["runs ten minutes late, as ever", "wants a new coat of paint, I think", "sang all afternoon, badly",
           "came home by itself, slowly", "knows more than it says, surely"]
TWEETS = [f"{s} {e}." for e in ENDINGS for s in SUBJECTS] # 60, all different, each with a comma
START = datetime(2018, 12, 27, 23, 12)
TIMES = [START + timedelta(days=9, hours=5, minutes=17) * i for i in range(len(TWEETS))]
IDS = [((int((t - datetime(1970, 1, 1)).total_seconds() * 1000) - 1288834974657) << 22) + 99 for t in TIMES]
NEWEST_FIRST = list(zip(IDS, TIMES, TWEETS))[::-1]
X_TIME = "%a %b %d %H:%M:%S +0000 %Y"

KINDS = {} # name -> (file name, content, tweets expected, options of cleaning)


def kind(file_name, expected=TWEETS, **options):
    "Register what a function makes as a file."
    def register(makes):
        content = makes()
        raw = content if isinstance(content, bytes) else content.encode()
        KINDS[makes.__name__] = file_name, raw, expected, options
        return makes
    return register


def table(header, rows, delimiter=",", quoting=csv.QUOTE_MINIMAL):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting)
    if header: writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def dated(write, header=("when it was", "text"), rows=NEWEST_FIRST):
    "A table of times, as `write` puts them, and texts."
    return table(header, [(write(time), text) for _, time, text in rows])


# Times

@kind("t.csv")
def day_first(): return dated(lambda t: t.strftime("%d/%m/%Y %H:%M"), ("date", "text"))

@kind("t.csv")
def month_first(): return dated(lambda t: t.strftime("%m/%d/%y %I:%M %p"), ("date", "text"))

@kind("t.csv")
def day_first_with_points(): return dated(lambda t: t.strftime("%d.%m.%Y %H:%M"), ("Datum", "text"))

@kind("t.tsv")
def zone_in_words():
    rows = [(i, f"{t} Eastern Daylight Time", x) for i, t, x in NEWEST_FIRST]
    return table(["id", "created_at", "tweet"], rows, "\t")

@kind("t.csv")
def seconds_with_a_point(): return dated(lambda t: (t - datetime(1970, 1, 1)).total_seconds(), ("timestamp", "text"))

@kind("t.csv")
def microseconds(): return dated(lambda t: int((t - datetime(1970, 1, 1)).total_seconds() * 1e6), ("timestamp", "text"))

@kind("t.csv")
def time_before_date(): return dated(lambda t: f"{t:%I:%M %p} - {t.day} {t:%b %Y}", ("date", "text"))

@kind("t.csv")
def french_months():
    months = "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.".split()
    return dated(lambda t: f"{t.day} {months[t.month - 1]} {t.year}", ("date", "text"))

@kind("t.csv")
def ids_alone(): return table(["id", "text"], [(i, x) for i, _, x in NEWEST_FIRST])

@kind("t.csv")
def ids_in_addresses():
    rows = [(f"https://x.example/maker/status/{i}", x) for i, _, x in NEWEST_FIRST]
    return table(["Tweet URL", "Tweet content"], rows)

@kind("t.csv")
def day_and_hour_apart():
    return table(["Tweet date", "Time", "Text"], [(t.date(), f"{t:%H:%M:%S}", x) for _, t, x in NEWEST_FIRST])

@kind("t.csv")
def second_column_of_times():
    rows = [(f"{(t - datetime(1970, 1, 1)).total_seconds():.3e}", t, x) for _, t, x in NEWEST_FIRST]
    return table(["created_at", "date", "tweet"], rows)

@kind("t.csv")
def days_oldest_first():
    return table(["date", "text"], [(f"2019-01-{1 + i // 12:02}", x) for i, x in enumerate(TWEETS)])

@kind("t.csv")
def days_newest_first():
    return table(["date", "text"], [(f"2019-01-{1 + i // 12:02}", x) for i, x in enumerate(TWEETS)][::-1])


@kind("t.csv")
def browser_times():
    return dated(lambda t: f"{t:%a %b %d %Y %H:%M:%S} GMT+0100 (Central European Standard Time)", ("date", "text"))

@kind("t.csv")
def vietnamese_months(): return dated(lambda t: f"{t.day} tháng {t.month}, {t.year}", ("date", "text"))

@kind("t.csv")
def thai_years():
    months = "ม.ค. ก.พ. มี.ค. เม.ย. พ.ค. มิ.ย. ก.ค. ส.ค. ก.ย. ต.ค. พ.ย. ธ.ค.".split()
    return dated(lambda t: f"{t.day} {months[t.month - 1]} {t.year + 543}", ("date", "text"))

@kind("t.csv")
def impossible_times():
    rows = [("1970-01-01 00:00:00" if n % 9 == 4 else t, x) for n, (_, t, x) in enumerate(NEWEST_FIRST)]
    return table(["date", "text"], rows)

@kind("t.csv")
def ids_with_signs(): return table(["status_id", "text"], [(f"x{i}", x) for i, _, x in NEWEST_FIRST])

@kind("t.csv")
def months_without_days():
    return table(["id", "date", "text"], [(i, f"{t:%b %Y}", x) for i, t, x in sorted(NEWEST_FIRST, key=lambda r: r[2])])

def seconds(time): return int((time - datetime(1970, 1, 1)).total_seconds())

@kind("t.csv")
def thousands_in_seconds(): return dated(lambda t: f"{seconds(t):,}", ("timestamp", "text"))

@kind("t.csv")
def printed_times(): return dated(repr, ("created", "text"))

@kind("t.csv")
def minutes_of_one_digit(): return dated(lambda t: f"{t.year}年{t.month}月{t.day}日 {t.hour}時{t.minute}分", ("日時", "text"))

@kind("t.csv")
def year_month_and_day_apart():
    rows = [(t.year, t.month, t.day, x) for _, t, x in sorted(NEWEST_FIRST, key=lambda row: row[2])]
    return table(["Year", "Month", "Day", "Text"], rows)

@kind("t.csv")
def seconds_without_a_name(): return table(None, [(seconds(t), x) for _, t, x in NEWEST_FIRST])


# JSON in any wrapping

def x_tweet(i, time, text): return dict(id_str=str(i), full_text=text, created_at=f"{time:{X_TIME}}")

@kind("tweets.js")
def x_script():
    return "window.YTD.tweets.part0 = " + json.dumps([dict(tweet=x_tweet(*row)) for row in NEWEST_FIRST], indent=1)

@kind("2019_01.js")
def x_month():
    tweets = [dict(id_str=str(i), text=x, created_at=f"{t} +0000", user=dict(screen_name="maker"))
              for i, t, x in NEWEST_FIRST]
    return "Grailbird.data.tweets_2019_01 = \n " + json.dumps(tweets, indent=1)

@kind("t.json")
def wrapped():
    tweets = [dict(id=str(i), createdAt=f"{t:%Y-%m-%dT%H:%M:%S.000Z}", fullText=x) for i, t, x in NEWEST_FIRST]
    return json.dumps(dict(meta=dict(user="maker", count=60), data=dict(items=tweets)), indent=2)

@kind("t.json")
def array_of_rounded_ids():
    return json.dumps([dict(id=float(i), created_at=f"{t:{X_TIME}}", text=x) for i, t, x in NEWEST_FIRST], indent=4)

@kind("outbox.json")
def mastodon():
    note = lambda t, x: dict(type="Note", published=f"{t:%Y-%m-%dT%H:%M:%SZ}", content=f"<p>{x}</p>", inReplyTo=None,
                             to=["https://www.w3.org/ns/activitystreams#Public"])
    items = [dict(type="Create", published=f"{t:%Y-%m-%dT%H:%M:%SZ}", object=note(t, x))
             for _, t, x in NEWEST_FIRST[::-1]]
    boosts = [dict(type="Announce", published=f"{START:%Y-%m-%dT%H:%M:%SZ}", object="https://m.example/1")]
    return json.dumps(dict(type="OrderedCollection", totalItems=61, orderedItems=items + boosts))

@kind("feed.json")
def bluesky():
    post = lambda i, t, x: dict(uri=f"at://did:plc:m/app.bsky.feed.post/{i}", author=dict(handle="maker.example"),
                                record=dict(text=x, createdAt=f"{t:%Y-%m-%dT%H:%M:%S.000Z}"))
    feed = [dict(post=post(*row)) for row in NEWEST_FIRST]
    feed.append(dict(post=post(1, START, "Somebody else's."), reason={"$type": "app.bsky.feed.defs#reasonRepost"}))
    return json.dumps(dict(feed=feed, cursor="x"))

@kind("t.jsonl")
def a_level_down():
    return "\n".join(json.dumps(dict(rest_id=str(i), legacy=dict(full_text=x, created_at=f"{t:{X_TIME}}"),
                                     core=dict(user_results=dict(result=dict(legacy=dict(screen_name="maker"))))))
                     for i, t, x in NEWEST_FIRST)

@kind("t.jsonl")
def whole_text_beside_a_cut_one():
    return "\n".join(
        json.dumps(x_tweet(i, t, x[:25] + "…") | dict(
            text=x[:25] + "…", full_text=None, truncated=True, extended_tweet=dict(full_text=x)))
        for i, t, x in NEWEST_FIRST)

@kind("t.jsonl.gz")
def compressed():
    return gzip.compress("\n".join(json.dumps(dict(text=x, created_at=str(t))) for _, t, x in NEWEST_FIRST).encode())

@kind("t.js")
def strict_script():
    tweets = json.dumps([x_tweet(*row) for row in NEWEST_FIRST], indent=1)
    return f"'use strict';\nconst tweets: Tweet[] = {tweets} as const;\nexport default tweets;\n"

@kind("t.json")
def database_dates():
    return json.dumps([{"_id": {"$oid": str(n)}, "created_at": {"$date": f"{t:%Y-%m-%dT%H:%M:%SZ}"}, "text": x}
                       for n, (_, t, x) in enumerate(NEWEST_FIRST)])

@kind("t.json")
def lists_with_names(): return json.dumps([["id", "date", "text"], *([str(i), str(t), x] for i, t, x in NEWEST_FIRST)])

@kind("t.json")
def texts_by_id(): return json.dumps({str(i): x for i, _, x in sorted(NEWEST_FIRST, key=lambda row: row[2])})

@kind("t.json")
def texts_by_time(): return json.dumps({str(t): x for _, t, x in sorted(NEWEST_FIRST, key=lambda row: row[2])})

@kind("t.json")
def column_by_milliseconds():
    rows = sorted(NEWEST_FIRST, key=lambda row: row[2])
    return json.dumps(dict(text={f"{seconds(t)}000": x for _, t, x in rows}))

@kind("t.json")
def shell_of_a_database():
    return "\n".join(f'{{"_id": ObjectId("5e"), "id": NumberLong({i}), "at": ISODate("{t}"), "text": {json.dumps(x)}}}'
                     for i, t, x in NEWEST_FIRST)


# Text files

@kind("t.txt")
def start_and_end_marks(): return "".join(f"<|startoftext|>{x}<|endoftext|>\n" for x in TWEETS)

@kind("t.txt")
def lists_of_one(): return "".join(f"{[x]}\n" for x in TWEETS)

@kind("t.txt")
def notes_with_dates():
    return "".join(f"{x}\n\n{t:%B %d, %Y at %I:%M%p}\n[https://x.example/{i}](https://x.example/{i})\n\n- - -\n\n"
                   for i, t, x in reversed(NEWEST_FIRST))

@kind("t.txt")
def a_comma_a_line(): return "\n".join(TWEETS)

@kind("t.txt")
def numbered_lines(): return "".join(f"{n}. {x}\n" for n, x in enumerate(TWEETS, 1))

@kind("t.txt")
def times_before_lines(): return "".join(f"{i} {t} UTC <maker> {x}\n" for i, t, x in NEWEST_FIRST)


# Tables

@kind("t.csv")
def no_header(): return table(None, [(x,) for x in TWEETS])

@kind("t.csv")
def three_columns_without_header(): return table(None, NEWEST_FIRST)

@kind("t.csv")
def separator_named(): return "\ufeffsep=;\r\n" + table(["date", "text"], [(t, x) for _, t, x in NEWEST_FIRST], ";")

@kind("t.csv")
def pipes(): return table(["date", "text"], [(t, x) for _, t, x in NEWEST_FIRST], "|")

@kind("t.csv")
def utf16_without_mark(): return dated(str, ("date", "text")).encode("utf-16-le")

@kind("t.csv")
def nothing_quoted(): return "id,created_at,text\n" + "".join(f"{i},{t},{x}\n" for i, t, x in NEWEST_FIRST)

@kind("t.csv", [x + ' They call it "late"; I do not.' for x in TWEETS])
def quotes_within_quotes():
    return "username;date;likes;text;id\n" + "".join(
        f'maker;{t};3;"{x} They call it "late"; I do not.";"{i}"\n' for i, t, x in NEWEST_FIRST)

@kind("t.tsv", [f'"Late," {x}' if n % 7 == 0 else x for n, x in enumerate(TWEETS)])
def opening_quotes():
    rows = [(i, t, f'"Late," {x}' if TWEETS.index(x) % 7 == 0 else x, 3) for i, t, x in NEWEST_FIRST]
    return "id\tdate\ttweet\tlikes\n" + "".join("\t".join(map(str, row)) + "\n" for row in rows)

@kind("t.csv", [x for n, x in enumerate(TWEETS) if n % 6])
def broken_formulas():
    return table(["date", "text"], [(t, x if TWEETS.index(x) % 6 else "#NAME?") for _, t, x in NEWEST_FIRST])

@kind("t.zip")
def two_tables():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("a_users.csv", "id,followers\n1,2\n3,4\n")
        z.writestr("tweets.csv", dated(str, ("date", "text")))
    return out.getvalue()

@kind("t.csv")
def one_column_unquoted(): return "text\n" + "\n".join(TWEETS) + "\n"

@kind("t.csv")
def nothing_quoted_nor_named(): return "".join(f"{i},{t},{x}\n" for i, t, x in NEWEST_FIRST)

@kind("t.csv")
def titles_above():
    return "Posts of maker\nExported 2020-07-01\n\n" + table(["id", "date", "text"], NEWEST_FIRST) + "\n(60 rows)\n"

@kind("t.csv")
def joined_tables():
    return "".join(table(["id", "date", "text"], part) for part in (NEWEST_FIRST[:30], NEWEST_FIRST[30:]))


# Tables in a manner of their own

def joined(separator):
    return "".join(separator.join(map(str, row)) + "\n" for row in [("id", "date", "text"), *NEWEST_FIRST])

@kind("t.csv")
def three_colons(): return joined(":::")

@kind("t.csv", [f"{x} #clock" for x in TWEETS])
def number_signs(): return "".join(f"{i}#{t}#{x}\n" for i, t, x in [("id", "date", "text"), *(
    (i, t, f"{x} #clock") for i, t, x in NEWEST_FIRST)])

@kind("t.csv")
def broken_bars(): return joined("¦")

@kind("t.txt")
def arrows_without_header(): return "".join(f"{i} -> {t} -> {x}\n" for i, t, x in NEWEST_FIRST)

@kind("t.csv")
def fields_in_single_quotes():
    doubled = lambda x: x.replace("'", "''")
    return "id,date,text\n" + "".join(f"'{i}','{t}','{doubled(x)}'\n" for i, t, x in NEWEST_FIRST)

@kind("t.csv")
def rows_in_quotes(): # a sheet of one column
    lines = table(["id", "date", "text"], NEWEST_FIRST).splitlines()
    return table(None, [(line,) for line in lines], quoting=csv.QUOTE_ALL)

@kind("t.csv")
def names_of_rows():
    rows = "".join(f'"{n}" "{x}" "{t}" "maker"\n' for n, (_, t, x) in enumerate(NEWEST_FIRST, 1))
    return '"text" "created" "screenName"\n' + rows

@kind("t.txt")
def tuples_of_one(): return "".join(f"{(x,)}\n" for x in TWEETS)

@kind("t.txt")
def list_of_tuples(): return str([(i, str(t), x) for i, t, x in NEWEST_FIRST])

@kind("t.sql")
def inserted():
    rows = ",\n".join("({}, '{}', '{}')".format(i, t, x.replace("'", "\\'")) for i, t, x in NEWEST_FIRST)
    return f"INSERT INTO `tweets` (`id`, `created_at`, `text`) VALUES\n{rows};\n"

@kind("t.txt")
def labels_and_rules():
    return "".join(f"Date: {t}\nTweet: {x}\nLikes: 3\n-----------\n" for _, t, x in NEWEST_FIRST)

@kind("t.txt")
def labels_between_empty_lines(): return "".join(f"Text: {x}\nDate: {t}\n\n" for _, t, x in NEWEST_FIRST)

@kind("t.csv")
def a_report_above():
    rows = [(1, t, x[:20] + "...", f"https://x.example/maker/status/{i}", "neutral", "maker", x)
            for i, t, x in NEWEST_FIRST]
    return "Report:,Bulk Mentions\nBrand:,Maker\nFrom:,2015\nTo:,2020\nLabel:,Maker\n\n" + table(
        ["Query Id", "Date", "Snippet", "Url", "Sentiment", "Author", "Full Text"], rows)


# Columns

@kind("t.csv")
def html(): return table(["date", "html"], [(t, f'<p lang="en" dir="ltr">{x}</p>') for _, t, x in NEWEST_FIRST])

@kind("t.csv", [x.replace(" ", "\n", 1) for x in TWEETS], line_breaks=True)
def line_breaks_of_html():
    return table(["date", "text"], [(t, x.replace(" ", "<br />", 1)) for _, t, x in NEWEST_FIRST])

@kind("t.csv", [x for n, x in enumerate(TWEETS) if n % 5], replies=False)
def words_of_a_page():
    answer = lambda x: "Replying to \n@other\n and \n@ada\n" if TWEETS.index(x) % 5 == 0 else ""
    return table(["date", "text"], [(t, f"{answer(x)}{x}\nShow this thread") for _, t, x in NEWEST_FIRST])

@kind("t.csv")
def embedded_text():
    rows = [("Maker", "@maker", f"{t:%Y-%m-%dT%H:%M:%S.000Z}",
             "Replying to \n@other" if i % 2 else "Maker\n@maker", x, 1)
            for i, (_, t, x) in enumerate(NEWEST_FIRST)]
    return table(["UserScreenName", "UserName", "Timestamp", "Text", "Embedded_text", "Likes"], rows)

@kind("t.csv")
def post_text():
    rows = [(i, f"{t:%a, %b} {t.day}, {t.year}", x, f"https://x.example/maker/status/{i}", 5)
            for i, t, x in NEWEST_FIRST]
    return table(["Post id", "Date", "Post text", "Post Link", "Likes"], rows)

@kind("t.csv")
def spanish_names(): return table(["id", "fecha", "texto"], NEWEST_FIRST)

@kind("t.csv")
def tweet_is_a_number():
    return table(["tweet", "message", "date"], [(i, x, t) for i, t, x in NEWEST_FIRST])

@kind("t.csv")
def whole_text_in_another_column():
    rows = [(i, t, x[:25] + "…" if n % 3 else x, x if n % 3 else "") for n, (i, t, x) in enumerate(NEWEST_FIRST)]
    return table(["id", "created_at", "text", "extended_tweet.full_text"], rows)

@kind("t.csv")
def prepared_beside_original():
    return table(["date", "cleaned", "original"], [(t, x.lower().replace(",", ""), x) for _, t, x in NEWEST_FIRST])


# Retweets and replies

OWN = [x for n, x in enumerate(TWEETS) if n % 5]

def others(write): # every fifth row is somebody else's
    return [write(i, t, x, TWEETS.index(x) % 5 == 0) for i, t, x in NEWEST_FIRST]

@kind("t.csv")
def retweets_counted():
    rows = [(x, n % 6, 7 * n, t) for n, (_, t, x) in enumerate(NEWEST_FIRST)]
    return table(["tweet", "retweet", "likes", "date"], rows)

@kind("t.csv", OWN)
def retweeted_by_id():
    rows = others(lambda i, t, x, other: (i, f"{t} +0000", x, i - 5 if other else ""))
    return table(["tweet_id", "timestamp", "text", "retweeted_status_id"], rows)

@kind("t.jsonl", OWN)
def retweeted_by_object():
    return "\n".join(others(lambda i, t, x, other: json.dumps(dict(
        date=t.isoformat(), rawContent=x, id=i, quotedTweet=dict(id=1, rawContent="Quoted."),
        retweetedTweet=dict(id=2, rawContent=x) if other else None))))

@kind("t.csv", OWN)
def retweets_written_otherwise():
    ways = ["rt @other ", "RT: @other ", '"RT @other: ', " RT @other ", "RT@other "]
    return table(["date", "text"], others(lambda i, t, x, other: (t, other * ways[i // 7 % 5] + x)))

@kind("t.csv", OWN, replies=False)
def replies_by_column():
    rows = others(lambda i, t, x, other: (i, t, x, i - 5 if other else "", "other" if other else ""))
    return table(["id", "created_at", "text", "in_reply_to_status_id_str", "in_reply_to_screen_name"], rows)

@kind("t.csv", OWN, replies=False)
def responses_by_number():
    rows = others(lambda i, t, x, other: (i, t, x, i - 5 if other else ""))
    return table(["id", "created_at", "text", "in_response_to_tweet_id"], rows)

@kind("t.csv", OWN)
def recycling_signs():
    return table(["date", "text"], others(lambda i, t, x, other: (t, other * "🔁 @other: " + x)))

@kind("t.csv", OWN)
def retweeted_in_words():
    return table(["date", "text"], others(lambda i, t, x, other: (t, other * "Maker Retweeted\n@other: " + x)))

@kind("t.csv", OWN)
def quoted_by_hand(): # a whole tweet of another's in quotes is a retweet; with something said to it, that is the tweet
    quote = lambda x, other: f"“@other: {x}”" if other else f'"@other: Some "words" here." {x}'
    return table(["date", "text"], others(lambda i, t, x, other: (t, quote(x, other))))

@kind("t.csv")
def numbers_of_threads():
    rows = [(t, f"🧵 1/ {x}" if n % 3 == 0 else f"{n % 3 + 1}/ {x}") for n, (_, t, x) in enumerate(NEWEST_FIRST[::-1])]
    return table(["date", "text"], rows)


@pytest.mark.parametrize("name", KINDS)
def test_kind(name, tmp_path):
    file_name, content, expected, options = KINDS[name]
    (tmp_path/file_name).write_bytes(content)
    tweets, report = clean_tweets(read_tweets(tmp_path/file_name), CleanOptions(**options))
    assert tweets.text.tolist() == expected
    assert report["read"] == report["kept"] + sum(report["dropped"].values())


# What can't be known is said

def test_without_times_the_order_taken_is_said(tmp_path):
    (tmp_path/"t.csv").write_text(table(["text"], [(x,) for x in TWEETS[::-1]]))
    tweets, report = clean_tweets(read_tweets(tmp_path/"t.csv"))
    assert tweets.text.tolist() == TWEETS[::-1]
    assert any("newest" in note and "--newest-first" in note for note in report["notes"])
    turned, _ = clean_tweets(read_tweets(tmp_path/"t.csv"), CleanOptions(newest_first=True))
    assert turned.text.tolist() == TWEETS


def test_a_skipped_table_is_named(tmp_path):
    (tmp_path/"t.zip").write_bytes(KINDS["two_tables"][1])
    assert any("a_users.csv" in note for note in read_tweets(tmp_path/"t.zip").attrs["notes"])


def test_two_people_are_noticed_and_one_can_be_chosen(tmp_path):
    rows = [(t, "other" if n % 3 == 0 else "Maker", x) for n, (_, t, x) in enumerate(NEWEST_FIRST)]
    (tmp_path/"t.csv").write_text(table(["date", "username", "text"], rows))
    _, report = clean_tweets(read_tweets(tmp_path/"t.csv"))
    assert report["authors"] == dict(Maker=40, other=20)
    assert any("--author" in note for note in report["notes"])
    tweets, _ = clean_tweets(read_tweets(tmp_path/"t.csv", author="@maker"))
    assert set(tweets.author) == {"Maker"} and len(tweets) == 40


PEOPLE = {
    "a user printed as a dictionary": ("user", lambda name: str(dict(id=5, username=name, displayname="M"))),
    "a user printed as an object": ("user", lambda name: f"User(username='{name}', id=5, displayname='M')"),
    "addresses of people": ("author", lambda name: f"https://twitter.com/{name}"),
    "addresses of tweets": ("url", lambda name: f"https://x.com/{name}/status/1277725529994166349"),
    "another name": ("account_handle", str),
    "an @ here and there": ("username", lambda name: "@" * (name == "maker") + name)}

@pytest.mark.parametrize("kind", PEOPLE)
def test_people_are_told_apart_however_they_are_written(kind, tmp_path):
    column, write = PEOPLE[kind]
    rows = [(t, write("other" if n % 3 == 0 else "maker"), x) for n, (_, t, x) in enumerate(NEWEST_FIRST)]
    (tmp_path/"t.csv").write_text(table(["date", column, "text"], rows))
    _, report = clean_tweets(read_tweets(tmp_path/"t.csv"))
    assert report["authors"] == dict(maker=40, other=20)


def test_lists_under_the_names_of_people(tmp_path):
    post = lambda i, t, x: dict(id=i, text=x, created_at=str(t))
    lists = dict(maker=[post(*row) for row in NEWEST_FIRST[:40]], other=[post(*row) for row in NEWEST_FIRST[40:]])
    (tmp_path/"t.json").write_text(json.dumps(lists))
    _, report = clean_tweets(read_tweets(tmp_path/"t.json"))
    assert report["authors"] == dict(maker=40, other=20)


RUSSIAN = ["Сегодня старый чайник опять опоздал на работу", "Соседская коза читает газету и смеётся",
           "Мой велосипед снова знает дорогу лучше меня", "Хлеб сегодня особенно хорош, спасибо пекарю"]
JAPANESE = ["今日は古い時計がまた遅れています", "隣の山羊が新聞を読んで笑っている", "自転車の方が道をよく知っている"]

@pytest.mark.parametrize("texts, encoding", [(RUSSIAN, "windows-1251"), (RUSSIAN, "koi8-r"), (RUSSIAN, "mac-cyrillic"),
                                             (JAPANESE, "shift-jis"),
                                             (JAPANESE, "euc-jp"), (JAPANESE, "iso-2022-jp")])
def test_other_encodings_are_read_and_named_or_refused(texts, encoding, tmp_path):
    choose = random.Random(0)
    texts = [f"{t} {choose.randrange(100)}" for t in texts * 9]
    (tmp_path/"t.csv").write_bytes(table(["text"], [(t,) for t in texts]).encode(encoding))
    found = read_tweets(tmp_path/"t.csv")
    assert found.text.tolist() == texts
    assert found.attrs["notes"]
