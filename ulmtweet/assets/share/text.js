// Texts as the chapters core, words, originality and generate see them; the patterns come from there.

const SPACES = /\p{White_Space}+/gu;
const LINK = /https?:\/\/\P{White_Space}+/gu;
const UNSEEN_ENDS = /[\u2028\u2029]/;
const LIGHT = [[0, 4351], [8192, 8205], [8208, 8223], [8242, 8247]]; // code points that X counts once, others twice

class Texts {
  constructor({unspaced, emoji, handle, invisible, folds}) {
    const without = `(?![${unspaced}])`; // Python's \w is \p{L}\p{N}_, and its \d is \p{Nd}
    const letters = `(?:${without}[\\p{L}\\p{Nl}\\p{No}])+`, run = `(?:${without}[\\p{L}\\p{N}_])+`;
    this.letterRuns = new RegExp(letters, "gu");
    this.parts = new RegExp(`${letters}|.`, "gsu");
    this.lead = new RegExp(`^((?:${letters})?)(.*)$`, "su");
    this.longer = new RegExp(`^${without}[\\p{L}\\p{N}]`, "u");
    this.words = new RegExp(`[@#]?${run}(?:['’]${run})*|[${unspaced}]`, "gu");
    this.emoji = new RegExp(emoji, "gu");
    this.handles = new RegExp(handle, "gu");
    this.invisible = new RegExp(invisible, "gu");
    this.folds = folds; // where it isn't the small letter
  }

  fold(text) {
    let folded = "";
    for (const c of text) folded += this.folds[c] ?? c.toLowerCase();
    return folded;
  }

  makesLonger(text) { return this.longer.test(text); }

  // words, and parts of words with an apostrophe or a digit, outside of handles and links
  letters(text) {
    return new Set(this.fold(text.replace(LINK, " ").replace(this.handles, " ")).match(this.letterRuns));
  }

  clean(prompt) { return prompt.replace(this.invisible, "").split(SPACES).filter(Boolean).join(" "); }

  isSeen(text) { return text.search(this.invisible) < 0 && !UNSEEN_ENDS.test(text); }

  saysSomething(text) {
    const rest = text.replace(this.handles, "");
    return /[\p{L}\p{N}_]/u.test(rest) || rest.search(this.emoji) >= 0;
  }

  // how long X takes a tweet to be
  weightedLength(text) {
    let length = 0;
    const count = (pattern, weight) => { text = text.replace(pattern, () => { length += weight; return ""; }); };
    text = text.normalize("NFC");
    count(LINK, 23);
    count(this.emoji, 2);
    for (const c of text) {
      const code = c.codePointAt(0);
      length += LIGHT.some(([first, last]) => first <= code && code <= last) ? 1 : 2;
    }
    return length;
  }
}

function decodeBase64(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes.buffer;
}

// what the chapter html has compressed
function inflate(buffer) {
  return new Response(new Blob([buffer]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
}

// Bytes that are no whole character stand as signs from U+DC80 to U+DCFF, as Python's "surrogateescape" has them.

const UTF8 = new TextDecoder("utf-8", {ignoreBOM: true});
const isRest = (byte) => (byte & 0xc0) === 0x80;

function characterLength(bytes, i) {
  const [a, b, c, d] = bytes.slice(i, i + 4);
  if (a < 0x80) return 1;
  if (a >= 0xc2 && a < 0xe0 && isRest(b)) return 2;
  const second = {0xe0: [0xa0, 0xbf], 0xed: [0x80, 0x9f], 0xf0: [0x90, 0xbf], 0xf4: [0x80, 0x8f]}[a] ?? [0x80, 0xbf];
  if (!(b >= second[0] && b <= second[1]) || !isRest(c)) return 0;
  if (a >= 0xe0 && a < 0xf0) return 3;
  return a >= 0xf0 && a < 0xf5 && isRest(d) ? 4 : 0;
}

function textOf(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length;) {
    const n = characterLength(bytes, i);
    text += n ? UTF8.decode(Uint8Array.from(bytes.slice(i, i + n))) : String.fromCharCode(0xdc00 + bytes[i]);
    i += n || 1;
  }
  return text;
}

const isHalf = (c) => c >= "\udc80" && c <= "\udcff" && c.length === 1;

function bytesOf(text) {
  const bytes = [];
  for (const c of text) bytes.push(...isHalf(c) ? [c.charCodeAt(0) - 0xdc00] : new TextEncoder().encode(c));
  return bytes;
}
