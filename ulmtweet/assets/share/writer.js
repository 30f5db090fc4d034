// Sampling and keeping tweets, and a look inside: the chapters engine and generate, with all settings but the
// temperature as they are there by default.

const MAX_LENGTH = 280, MAX_COPIED = 0.8, ALTERNATIVES = 3;
const ENDLESS = /\p{Nd}{10}/gu; // a number that a network did not know how to end

// how probable each token is; what the mask leaves out is not
function probabilities(scores, temperature, into, mask) {
  let best = -Infinity, total = 0;
  for (let i = 0; i < scores.length; i++) if (scores[i] > best && (!mask || mask[i])) best = scores[i];
  for (let i = 0; i < scores.length; i++) {
    into[i] = !mask || mask[i] ? Math.exp((scores[i] - best) / temperature) : 0;
    total += into[i];
  }
  for (let i = 0; i < scores.length; i++) into[i] /= total;
  return into;
}

// whose share of the sum a number from 0 to 1 falls into; -1 if nothing has a share
function pick(p, uniform, mask) {
  let total = 0;
  for (let i = 0; i < p.length; i++) if (!mask || mask[i]) total += p[i];
  let place = uniform * total, last = -1;
  for (let i = 0; i < p.length; i++) {
    if (!p[i] || (mask && !mask[i])) continue;
    last = i;
    place -= p[i];
    if (place < 0) break;
  }
  return last;
}

class Writer {
  constructor(voice, weights) {
    this.texts = new Texts(voice.patterns);
    this.needed = voice.needed; // tokens within which a tweet has to end
    this.tokens = new Tokens(voice.tokens);
    this.network = new Network(weights);
    this.copies = voice.copies && new Copies(this.texts, new Uint32Array(decodeBase64(voice.copies)));
    this.known = voice.words && this.texts.letters(voice.words);
    this.spelling = voice.words && new Spelling(this.texts, this.tokens, voice.characters, this.forms(voice.words));
    const inner = this.tokens.bytes.map((_, id) => this.texts.makesLonger(this.tokens.joined([id])));
    this.first = Uint8Array.from(inner, (_, id) => id !== END); // what a tweet can go on with
    this.firstWhole = Uint8Array.from(inner, (is, id) => id !== END && !is); // where a new word has to begin
    this.p = new Float32Array(this.tokens.size);
    this.lanes = Array(LANES).fill(null);
  }

  // how words may be written: in small letters, with a capital, in capitals, and the others as they are
  forms(words) {
    return words.split(" ").flatMap((word) => {
      const [first, ...rest] = word;
      return word === word.toLowerCase() ? [word, first.toUpperCase() + rest.join(""), word.toUpperCase()] : word;
    });
  }

  begin(lane, {index, prompt, seed, temperature}) {
    const ids = prompt ? this.tokens.encode(prompt) : [];
    const endsWord = !prompt || this.texts.makesLonger([...prompt].at(-1));
    this.lanes[lane] = {index, prompt, seed, temperature, start: ids, read: [END, ...ids], place: 0, ids: [],
      mask: endsWord ? this.firstWhole : this.first, spelt: prompt.endsWith("@") ? IN_HANDLE : BETWEEN};
    this.network.begin(lane);
  }

  get busy() { return this.lanes.some(Boolean); }

  // read a token in each lane, and sample one where the prompt was read; the lanes that went on
  step() {
    this.network.read(this.lanes.map((lane) => lane ? lane.read[lane.place++] : END));
    const writing = this.lanes.flatMap((lane, i) => lane && lane.place === lane.read.length ? [i] : []);
    if (writing.length) this.network.score();
    for (const i of writing) this.sample(this.lanes[i], this.network.scoresOf(i));
    return writing;
  }

  sample(lane, scores) {
    const {ids, seed, index, temperature} = lane, mask = ids.length ? null : lane.mask;
    const [uniform, again] = tokenUniforms(seed, index, ids.length);
    const p = probabilities(scores, temperature, this.p, mask);
    let id = pick(p, uniform);
    if (this.spelling) id = this.spelled(lane, p, scores, id, again);
    ids.push(id);
    lane.read.push(id);
  }

  // the token that was picked, or another one where a word or a character would be invented
  spelled(lane, p, scores, id, again) {
    const {spelling} = this;
    let after = spelling.after(lane.spelt, id), uniform = null;
    for (const among of ["nearlyPossible", "possible"]) {
      if (after !== null) break;
      uniform = uniform === null ? again() : uniform * 2 ** 26 % 1; // digits that decided nothing so far
      const possible = spelling[among](lane.spelt);
      id = pick(p, uniform, possible);
      if (id < 0) id = pick(this.amongPossible(lane, scores, possible), uniform);
      after = spelling.after(lane.spelt, id);
    }
    lane.spelt = after ?? BETWEEN;
    return id;
  }

  // probabilities among tokens that are so improbable that rounding has left nothing of them
  amongPossible({ids, mask: first, temperature}, scores, possible) {
    const mask = ids.length ? possible.slice() : possible.map((is, id) => is & first[id]);
    if (!mask.includes(1)) mask[END] = 1; // nothing is left: an end within a word, which is no tweet
    return probabilities(scores, temperature, new Float32Array(this.p.length), mask);
  }

  hasEnded(lane) { return lane.ids.at(-1) === END || lane.ids.length === this.needed; }

  // what a lane says so far, prompt included
  textOf({prompt, start, ids}) {
    const text = this.tokens.decode([...start, ...ids]), before = start.length ? this.tokens.decode(start) : "";
    return (prompt + (text.startsWith(before) ? text.slice(before.length) : text)).trim();
  }

  // a whole tweet, and what in it is copied; null if it is none, or not wanted
  kept(lane) {
    const text = this.textOf(lane), {texts, copies} = this;
    if (lane.ids.at(-1) !== END || !texts.saysSomething(text) || !texts.isSeen(text)) return null;
    const length = texts.weightedLength(text);
    if (length < 1 || length > MAX_LENGTH || (this.known && this.invents(text, lane.prompt))) return null;
    const copied = copies && copies.longest(text);
    return copies && (copied?.share > MAX_COPIED || copies.isTweet(text)) ? null : {text, copied};
  }

  invents(text, prompt) {
    const given = this.texts.letters(prompt), numbers = text.replace(LINK, "").match(ENDLESS) ?? [];
    return [...this.texts.letters(text)].some((w) => !given.has(w) && !this.known.has(w))
      || numbers.some((n) => !prompt.includes(n));
  }

  // how probable each piece of a text and its end are after those before it
  explain(text) {
    const network = new Network(this.network.weights), rows = [];
    const ids = [END, ...this.tokens.encode(text.replace(this.texts.invisible, "")), END];
    let said = "", probability = 1, best = null;
    network.begin(0);
    for (let i = 1; i < ids.length; i++) {
      network.read(Array(LANES).fill(ids[i - 1]));
      network.score();
      const p = probabilities(network.scoresOf(0), 1, this.p);
      if (probability === 1) best = this.best(p);
      probability *= p[ids[i]];
      const soFar = this.tokens.decode(ids.slice(1, i + 1)), ends = ids[i] === END;
      if (!ends && soFar.endsWith("\ufffd")) continue; // the first part of an emoji: pieces are bytes
      rows.push({piece: ends ? "" : soFar.slice(said.length), probability, alternatives: best});
      [said, probability] = [soFar, 1];
    }
    return rows;
  }

  best(p) {
    const ids = [];
    for (let n = 0; n < ALTERNATIVES; n++) {
      let best = -1;
      for (let i = 0; i < p.length; i++) if (!ids.includes(i) && (best < 0 || p[i] > p[best])) best = i;
      ids.push(best);
    }
    return ids.map((id) => ({piece: id === END ? "" : this.tokens.joined([id]), probability: p[id]}));
  }
}
