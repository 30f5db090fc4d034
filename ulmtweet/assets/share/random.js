// The random numbers of a tweet, as the chapter engine draws them: Philox 4x64-10, keyed by seed and number.

const WORD = (1n << 64n) - 1n;
const MULTIPLIERS = [0xD2E7470EE14C6C93n, 0xCA5A826395121157n], WEYL = [0x9E3779B97F4A7C15n, 0xBB67AE8584CAA73Bn];

function philox(key, counter) {
  let [a, b, c, d] = [counter, 0n, 0n, 0n], [k, l] = key;
  for (let round = 0; round < 10; round++) {
    const first = MULTIPLIERS[0] * a, second = MULTIPLIERS[1] * c;
    [a, b, c, d] = [(second >> 64n) ^ b ^ k, second & WORD, (first >> 64n) ^ d ^ l, first & WORD];
    [k, l] = [(k + WEYL[0]) & WORD, (l + WEYL[1]) & WORD];
  }
  return [a, b, c, d];
}

const asUniform = (word) => Number(word >> 11n) / 2 ** 53;

// the numbers in [0, 1) of the nth token: for picking it, and for picking it again
function tokenUniforms(seed, index, nth) {
  const key = [BigInt(seed), BigInt(index)], drawn = (counter) => asUniform(philox(key, BigInt(counter))[0]);
  return [drawn(2 * nth + 1), () => drawn(2 * nth + 2)];
}
