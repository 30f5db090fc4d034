// What the page asks of its workers: tweets in the order of their numbers, whoever has written them.

const AHEAD = 2; // requests that wait in a worker, so that no lane is idle
const MAX_DRAWS = 20; // samples for each tweet wanted; a prompt may leave too few different endings
const MAX_WORKERS = 4; // each has the weights in 32 bits

class Writing {
  constructor(voice, weights, source, workers = Math.min(navigator.hardwareConcurrency || 2, MAX_WORKERS)) {
    const address = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
    this.workers = Array.from({length: workers}, () => new Worker(address));
    this.run = null;
    this.waiting = new Map(); // texts that are being looked into
    this.opened = Promise.all(this.workers.map((worker) => new Promise((opened, failed) => {
      worker.onmessage = ({data}) => data.kind === "opened" ? opened() : this.hear(worker, data);
      worker.onerror = ({message}) => failed(new Error(message));
      worker.postMessage({kind: "open", voice, weights});
    })));
  }

  // calls `writes(text)` as the next tweet grows and `wrote(tweet)` when it is there; resolves to how many there are,
  // and whether no more were to be had
  write({prompt, n, seed, temperature}, {writes, wrote}) {
    return new Promise((done) => {
      this.run = {prompt, n, seed, temperature, writes, wrote, done, most: MAX_DRAWS * n, asked: 0, next: 0,
        ended: new Map(), seen: new Set()};
      for (let i = 0; i < LANES + AHEAD; i++) for (const worker of this.workers) this.ask(worker);
    });
  }

  ask(worker) {
    const {run} = this;
    if (run.asked === run.most) return;
    const {prompt, seed, temperature} = run;
    worker.postMessage({kind: "write", requests: [{index: run.asked++, prompt, seed, temperature}]});
  }

  hear(worker, message) {
    if (message.kind === "explained") {
      this.waiting.get(message.text)?.(message.pieces);
      return this.waiting.delete(message.text);
    }
    if (message.kind === "stopped") return this.stopped(worker);
    const {run} = this;
    if (!run || run.ending) return;
    if (message.kind === "writes") return message.index === run.next && run.writes(message.text);
    this.ask(worker);
    run.ended.set(message.index, message.tweet);
    while (run.ended.has(run.next)) this.take(run);
  }

  // the tweet that is next
  take(run) {
    const tweet = run.ended.get(run.next);
    run.ended.delete(run.next++);
    if (tweet && !run.seen.has(tweet.text) && run.seen.size < run.n) {
      run.seen.add(tweet.text);
      run.wrote(tweet);
    }
    if (run.seen.size === run.n || run.next === run.most) this.stop();
  }

  stop() {
    if (!this.run || this.run.ending) return;
    this.run.ending = new Set(this.workers);
    for (const worker of this.workers) worker.postMessage({kind: "stop"});
  }

  stopped(worker) {
    const {run} = this;
    run.ending.delete(worker);
    if (run.ending.size) return;
    this.run = null;
    run.done({found: run.seen.size, exhausted: run.next === run.most});
  }

  explain(text) {
    return new Promise((explained) => {
      this.waiting.set(text, explained);
      this.workers[0].postMessage({kind: "explain", text});
    });
  }
}
