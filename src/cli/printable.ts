/** Control characters, and those that turn the direction of text: what could make a terminal do or show something else. */
const DANGEROUS = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** `text` for one of pyro's own lines: a guest may have made it, so nothing in it reaches the terminal as a command. */
export function printable(text: string): string {
  return text.replaceAll(DANGEROUS, (character) => {
    if (character === "\t") return " ";
    if (character === "\n") return "\\n";
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}
