/** Bytes as text, and as they are where they are none. */
export function textFields<Name extends string>(
  name: Name,
  bytes: Uint8Array,
): Record<Name, string> & Partial<Record<`${Name}_base64`, string>> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString();
  const base64 = Buffer.from(text).equals(buffer) ? {} : { [`${name}_base64`]: buffer.toString("base64") };
  return { [name]: text, ...base64 } as Record<Name, string> & Partial<Record<`${Name}_base64`, string>>;
}
