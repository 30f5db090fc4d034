// Which pieces can follow, so that no word and no character is invented: `Spelling` of the chapter words.

// states where no word is under way; in the last one all may come until the next space
const BETWEEN = "", IN_HANDLE = "@", ANYTHING = "…";
const WHOLE_AND_HALF = /^([^\udc80-\udcff]*)([\udc80-\udcff]*)$/u;
const halfOf = (text) => text.match(/^[^\udc80-\udcff]*([\udc80-\udcff]*)/u)[1];

class Characters {
  constructor(texts, tokens, characters) {
    Object.assign(this, {texts, pieces: tokens.bytes.map(textOf)});
    this.characters = new Set(characters);
    this.goingOn = this.pieces.flatMap((p, i) => p[0] >= "\udc80" && p[0] <= "\udcbf" ? [i] : []);
    this.begun = this.byBeginning();
    this.masks = new Map();
  }

  // the characters by the bytes that they can begin with; one sign stands for all that are no letters
  byBeginning() {
    const begun = new Map();
    for (const c of this.characters) {
      const bytes = bytesOf(c), stands = c.match(this.texts.letterRuns) ? c : "-";
      for (let n = 1; n < bytes.length; n++) {
        const beginning = textOf(bytes.slice(0, n));
        if (!begun.has(beginning)) begun.set(beginning, new Set());
        begun.get(beginning).add(stands);
      }
    }
    return begun;
  }

  // where a text ends that ended in `state` and goes on with `text`; null if a word or a character would be none
  read(state, text) {
    const half = halfOf(state), joined = (half ? textOf(bytesOf(half + text)) : text).match(WHOLE_AND_HALF);
    if (!joined) return null;
    const [, whole, rest] = joined;
    if (half && whole && !this.characters.has([...whole][0])) return null;
    const after = this.readWhole(state.slice(0, state.length - half.length), whole);
    if (after === null || !rest) return after;
    return this.canBegin(after, rest) ? after + rest : null;
  }

  readWhole(state) { return state; }

  canBegin(state, half) { return [...this.begun.get(half) ?? []].some((c) => this.readWhole(state, c) !== null); }

  isWhole(state) { return !halfOf(state); }

  after(state, piece) {
    if (piece === END) return this.isWhole(state) ? BETWEEN : null;
    return this.read(state, this.pieces[piece]);
  }

  // which pieces can follow, one byte for each
  possible(state) {
    if (!this.masks.has(state)) {
      if (this.masks.size >= 500) this.masks.clear();
      this.masks.set(state, this.computeMask(state));
    }
    return this.masks.get(state);
  }

  computeMask(state) {
    const mask = new Uint8Array(this.pieces.length), among = halfOf(state) ? this.goingOn : this.pieces.keys();
    for (const i of among) if (this.after(state, i) !== null) mask[i] = 1;
    return mask;
  }

  nearlyPossible(state) { return this.possible(state); }
}

class Spelling extends Characters {
  constructor(texts, tokens, characters, words) {
    super(texts, tokens, characters);
    this.words = new Set([...words, "http", "https"]);
    this.inOrder = [...this.words].sort();
    this.halves = this.pieces.flatMap((p, i) => halfOf(p.replace(/^ /, "")) ? [i] : []);
    this.leads = this.byLead();
  }

  firstFrom(beginning) {
    let low = 0, high = this.inOrder.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.inOrder[middle] < beginning) low = middle + 1; else high = middle;
    }
    return low;
  }

  canBecome(beginning) { return this.inOrder[this.firstFrom(beginning)]?.startsWith(beginning) ?? false; }

  isWhole(state) { return state === BETWEEN || state === IN_HANDLE || state === ANYTHING || this.words.has(state); }

  readWhole(state, text) {
    for (const part of text.match(this.texts.parts) ?? []) {
      const inWord = part.search(this.texts.letterRuns) === 0;
      if (state === ANYTHING && !/^\p{White_Space}/u.test(part)) continue;
      if (state === IN_HANDLE && /^[\p{L}\p{N}_]/u.test(part)) continue;
      if (inWord) {
        state += part;
        if (!this.canBecome(state)) return null;
      } else if (!this.isWhole(state)) return null;
      else if (part === ":" && (state === "http" || state === "https")) state = ANYTHING;
      else state = part === "@" ? IN_HANDLE : BETWEEN;
    }
    return state;
  }

  // ids of pieces by the letters that they can begin with: those without and those with something behind
  byLead() {
    const leads = new Map();
    this.pieces.forEach((piece, id) => {
      if (id === END) return;
      for (const text of this.readings(piece)) {
        const [, lead, rest] = text.match(this.texts.lead);
        if (rest && this.readWhole(BETWEEN, rest) === null) continue;
        if (!leads.has(lead)) leads.set(lead, {alone: [], followed: []});
        leads.get(lead)[rest ? "followed" : "alone"].push(id);
      }
    });
    return leads;
  }

  // what the whole of a piece and the bytes at its end can become
  readings(piece) {
    const found = piece.match(WHOLE_AND_HALF);
    if (!found) return [];
    const [, whole, half] = found;
    return half ? [...this.begun.get(half) ?? []].map((c) => whole + c) : [whole];
  }

  computeMask(state) {
    if (state === IN_HANDLE || state === ANYTHING || halfOf(state)) return super.computeMask(state);
    const mask = new Uint8Array(this.pieces.length), allow = (ids = []) => { for (const i of ids) mask[i] = 1; };
    if (this.isWhole(state)) allow([END, ...this.leads.get("")?.followed ?? []]);
    for (let i = this.firstFrom(state); this.inOrder[i]?.startsWith(state); i++) {
      const word = this.inOrder[i];
      for (let end = state.length + 1; end <= word.length; end++) {
        const found = this.leads.get(word.slice(state.length, end));
        allow(found?.alone);
        if (end === word.length) allow(found?.followed);
      }
    }
    return mask;
  }

  // the same if any character may begin where no word is under way
  nearlyPossible(state) {
    if (!this.isWhole(state)) return this.possible(state);
    const mask = this.possible(state).slice();
    for (const i of this.halves) mask[i] = 1;
    return mask;
  }
}
