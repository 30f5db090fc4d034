// Which runs of words are the person's: hashes of four words in a row and of whole tweets, see the chapter html.

const RUN = 4;

function hashOf(text) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

class Copies {
  constructor(texts, hashes) {
    this.texts = texts;
    this.hashes = new Set(hashes);
  }

  isTweet(text) { return this.hashes.has(hashOf("=" + this.texts.fold(text))); }

  // the first of the longest runs of words of which every four in a row are the person's; null if there is none
  longest(text) {
    const found = [...text.matchAll(this.texts.words)];
    const words = found.map((m) => this.texts.fold(m[0]).replaceAll("’", "'"));
    let most = 0, end = 0;
    for (let i = 0, run = 0; i + RUN <= words.length; i++) {
      run = this.hashes.has(hashOf(words.slice(i, i + RUN).join(" "))) ? run + 1 : 0;
      if (run > most) [most, end] = [run, i + RUN - 1];
    }
    if (!most) return null;
    const count = most + RUN - 1, first = found[end + 1 - count], last = found[end];
    const span = text.slice(first.index, last.index + last[0].length);
    return {text: span, words: count, share: [...span].length / [...text].length};
  }
}
