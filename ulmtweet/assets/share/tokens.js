// Byte-level BPE, as the chapter tokens has it: text to ids and back. Id 0 is the end of a tweet.

const END = 0;
const SPLIT = new RegExp([
  "'s|'t|'re|'ve|'m|'ll|'d", " ?\\p{L}+", " ?\\p{N}+", " ?[^\\p{White_Space}\\p{L}\\p{N}]+",
  "\\p{White_Space}+(?!\\P{White_Space})", "\\p{White_Space}+",
].join("|"), "gu");

// pieces are written with a printable character for each byte
function byteCharacters() {
  const printable = (b) => (b > 32 && b < 127) || (b > 160 && b !== 173);
  let others = 256;
  return Array.from({length: 256}, (_, b) => String.fromCharCode(printable(b) ? b : others++));
}

class Tokens {
  constructor({pieces, merges}) {
    const ids = new Map(pieces.map((piece, id) => [piece, id])), characters = byteCharacters();
    const bytes = new Map(characters.map((c, b) => [c, b]));
    this.size = pieces.length;
    this.bytes = pieces.map((piece, id) => id === END ? [] : [...piece].map((c) => bytes.get(c)));
    this.ofByte = characters.map((c) => ids.get(c));
    this.merges = new Map(); // of each pair: how early it was learnt, and what it becomes
    for (let i = 0; i < merges.length; i += 2) {
      const [a, b] = [merges[i], merges[i + 1]];
      this.merges.set(a * this.size + b, [i, ids.get(pieces[a] + pieces[b])]);
    }
  }

  encode(text) { return (" " + text).match(SPLIT).flatMap((part) => this.merged(part)); }

  merged(part) {
    const ids = Array.from(new TextEncoder().encode(part), (byte) => this.ofByte[byte]);
    for (;;) {
      let best = null, place = 0;
      for (let i = 0; i + 1 < ids.length; i++) {
        const found = this.merges.get(ids[i] * this.size + ids[i + 1]);
        if (found && (!best || found[0] < best[0])) [best, place] = [found, i];
      }
      if (!best) return ids;
      ids.splice(place, 2, best[1]);
    }
  }

  joined(ids) {
    return UTF8.decode(Uint8Array.from(ids.flatMap((id) => this.bytes[id])));
  }

  decode(ids) { return this.joined(ids).replace(/^ /, ""); }
}
