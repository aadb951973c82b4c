// A zip archive, as far as tests need one: nothing in it is compressed, and names are as they are given.

/** The archive of files, `{name, bytes}` each. */
export function zip(files) {
  const [contents, entries] = [[], []];
  let at = 0;
  for (const { name, bytes } of files) {
    const shared = about(name, bytes);
    const entry = Buffer.alloc(14);
    entry.writeUInt32LE(at, 10);
    entries.push(Buffer.from("PK\x01\x02\x14\x00"), shared, entry, Buffer.from(name));
    const parts = [Buffer.from("PK\x03\x04"), shared, Buffer.from(name), bytes];
    contents.push(...parts);
    at += Buffer.concat(parts).length;
  }
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06");
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(Buffer.concat(entries).length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...contents, ...entries, end]);
}

/** What stands both before a file and in the list at the end: version, date, checksum, sizes, length of the name. */
function about(name, bytes) {
  const shared = Buffer.alloc(26);
  shared.writeUInt16LE(20, 0);
  shared.writeUInt16LE(0x21, 8);
  shared.writeUInt32LE(checksum(bytes), 10);
  shared.writeUInt32LE(bytes.length, 14);
  shared.writeUInt32LE(bytes.length, 18);
  shared.writeUInt16LE(Buffer.byteLength(name), 22);
  return shared;
}

/** CRC-32; node's own is too new. */
function checksum(bytes) {
  let sum = ~0;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ (0xedb88320 & -(sum & 1));
  }
  return ~sum >>> 0;
}
