"""The main job on Kaggle's tweets of Elon Musk: quality, minutes and the first tweets, as JSON.

    python bench/main_job.py > bench/results/main_job.json

Needs data_elonmusk.csv in the folder kaggle of ULMTWEET_DATA (default ../shared/data). Defaults everywhere; the
newest 10 % of the tweets are the test; bits per character count one character more a tweet for its end. About four
minutes on two cores.
"""
import json, os, statistics, subprocess, sys, tempfile, time
from pathlib import Path

DATA = Path(os.environ.get("ULMTWEET_DATA", Path(__file__).parents[2]/"shared"/"data"))
PROGRAM = Path(sys.executable).with_name("ulmtweet")
PROMPT, SEED = "Tesla will", 1


def run(*args, home):
    "Run a command; its seconds and output."
    start = time.perf_counter()
    done = subprocess.run([str(PROGRAM), *map(str, args), "--home", str(home)],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - start, json.loads(done.stdout)


def main():
    source = DATA/"kaggle"/"data_elonmusk.csv"
    with tempfile.TemporaryDirectory() as home:
        seconds, meta = run("train", source, "--name", "base", "--json", home=home)
        scratch_seconds, scratch = run("train", source, "--name", "scratch", "--base", "none", "--json", home=home)
        cold, tweets = zip(*[run("predict", PROMPT, "-n", 10, "--voice", "base", "--seed", SEED, "--json", home=home)
                             for _ in range(5)])
    bits = lambda m: round(m["metrics"]["test"]["bits_per_character"], 4)
    print(json.dumps(dict(
        data="Kaggle kulgen/elon-musks-tweets, newest 10 % as test", command="python bench/main_job.py", seed=0,
        tweets=meta["counts"],
        bits_per_character=dict(base=bits(meta), scratch=bits(scratch),
                                before=round(meta["metrics"]["before"]["bits_per_character"], 4)),
        minutes=round(seconds / 60, 2), scratch_minutes=round(scratch_seconds / 60, 2),
        cold_predict_seconds=round(statistics.median(cold), 2), versions=meta["versions"],
        prompt=PROMPT, examples=[t["text"] for t in tweets[0]]), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
