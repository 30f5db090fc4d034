"""How many tweets does the server write, and how long does a client wait, alone and among others, as JSON.

    python bench/serve.py [VOICE] > bench/results/serve.json

VOICE is the folder of a voice; without it one is trained on the bundled sample with the defaults. `ulmtweet serve` runs
in a process of its own. Each client asks for one tweet that begins with "The", waits for it, and asks for the next:
1, 8 and 64 clients at once, whole tweets a second, and the median and 95 % of the waiting times in seconds. Beside it
`one_after_the_other`: the same clients, but a request waits until the one before has been answered, which is what a
server without a common batch would do. Every round begins with requests that are not counted. Where other programs run
(`load`, of the last minute), the tweets for each second that the server had a core say what it would do alone. Two
minutes on two cores with a VOICE.
"""
import asyncio, itertools, json, os, re, statistics, subprocess, sys, tempfile, time
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))
from share import sample_voice

CLIENTS, SECONDS, WARM = (1, 8, 64), 10, 2 # of a round, and before its requests count


@contextmanager
def serving(folder):
    "A server in a process of its own; gives its address and the process."
    command = [sys.executable, "-m", "ulmtweet.cli", "serve", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try: yield re.search(r"http://([^:]+):(\d+)", process.stderr.readline()).groups(), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


async def ask(address, model, seed):
    "A tweet, over a connection of its own."
    body = json.dumps(dict(model=model, prompt="The", seed=seed)).encode()
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                 b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    found = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
    writer.close()
    assert found["choices"][0]["text"], found


def core_seconds(process): return sum(process.cpu_times()[:2])


async def round_of(address, process, model, clients, turn):
    "Ask for a while; `turn` is held while a request is under way."
    waits, answered, before, begun = [], 0, core_seconds(process), time.perf_counter()
    async def client(number):
        nonlocal answered
        for seed in itertools.count(number, clients):
            asked = time.perf_counter()
            if asked > begun + WARM + SECONDS: return
            async with turn: await ask(address, model, seed)
            done, answered = time.perf_counter(), answered + 1
            if begun + WARM < done < begun + WARM + SECONDS: waits.append(done - asked)
    await asyncio.gather(*map(client, range(clients)))
    busy, ordered = core_seconds(process) - before, sorted(waits)
    return dict(tweets_per_second=round(len(waits) / SECONDS, 1),
                tweets_per_core_second=round(answered / busy, 1), median_wait=round(statistics.median(waits), 3),
                wait_95=round(ordered[int(0.95 * (len(ordered) - 1))], 3))


def main():
    rows = []
    with tempfile.TemporaryDirectory() as home:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else saved(Path(home)/"sample")
        with serving(folder) as (address, process):
            for clients in CLIENTS:
                ask_for = partial(round_of, address, process, folder.name, clients)
                together, in_turn = (asyncio.run(ask_for(turn)) for turn in (nullcontext(), asyncio.Lock()))
                rows.append(dict(clients=clients, together=together, one_after_the_other=in_turn))
    print(json.dumps(dict(
        rows=rows, seconds_a_round=SECONDS, cores=os.cpu_count(), load=round(os.getloadavg()[0], 1),
        command=" ".join(["python bench/serve.py", *(Path(a).name for a in sys.argv[1:])])), indent=1))


def saved(folder):
    sample_voice().save(folder)
    return folder


if __name__ == "__main__":
    main()
