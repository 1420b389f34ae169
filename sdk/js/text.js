// Text and bytes: the engine has neither TextEncoder nor TextDecoder.

/** UTF-8 of a text. Lone halves of characters become U+FFFD. */
export function encoded(text) {
  const whole = String(text).toWellFormed?.() ?? String(text);
  return Uint8Array.from(unescape(encodeURIComponent(whole)), (char) => char.charCodeAt(0));
}

/** The text of UTF-8. What is none becomes U+FFFD, or an error where that is wanted. */
export function decoded(bytes, fatal = false) {
  try {
    return decodeURIComponent(escape(latin1(bytes)));
  } catch {
    if (fatal) throw new TypeError('the bytes are not UTF-8');
    return repaired(bytes);
  }
}

/** Each byte as a character. */
export function latin1(bytes) {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function repaired(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at];
    const length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
    let taken = 1;
    while (taken < length && (bytes[at + taken] & 0xc0) === 0x80) taken += 1;
    try {
      if (taken !== length) throw new Error('cut off');
      text += decodeURIComponent(escape(latin1(bytes.slice(at, at + length))));
    } catch {
      text += '\ufffd';
      // A form that only looks whole, such as a half of a pair, is no character from its first byte on.
      if (taken === length) taken = 1;
    }
    at += taken;
  }
  return text;
}
