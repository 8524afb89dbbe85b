use std::io;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use pyro_seed::report::printable;
use pyro_seed::stream::{Entry, Reader};

use super::*;

/// Bytes that are read as a file.
struct Archive(Vec<u8>);

impl FileExt for Archive {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let count = into.len().min(self.0.len() - start);
        into[..count].copy_from_slice(&self.0[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn header(name: &[u8], kind: u8, size: u64, link: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(b"0000640");
    block[108..115].copy_from_slice(b"0001750");
    block[116..123].copy_from_slice(b"0001750");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"00000000005");
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    summed(block)
}

fn summed(mut block: Vec<u8>) -> Vec<u8> {
    block[148..156].copy_from_slice(b"        ");
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn data(content: &[u8]) -> Vec<u8> {
    let mut blocks = content.to_vec();
    blocks.resize(content.len().next_multiple_of(512), 0);
    blocks
}

fn file(name: &[u8], content: &[u8]) -> Vec<u8> {
    [header(name, b'0', content.len() as u64, b""), data(content)].concat()
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let text: String = records
        .iter()
        .map(|(key, value)| {
            let rest = format!(" {key}={value}\n");
            let length = (1..).find(|length: &usize| length.to_string().len() + rest.len() == *length).unwrap();
            format!("{length}{rest}")
        })
        .collect();
    [header(b"x", b'x', text.len() as u64, b""), data(text.as_bytes())].concat()
}

/// What `pax` makes, for all entries that follow.
fn global(records: &[(&str, &str)]) -> Vec<u8> {
    let mut blocks = pax(records);
    blocks[156] = b'g';
    let header = summed(blocks[..512].to_vec());
    blocks[..512].copy_from_slice(&header);
    blocks
}

fn archive(parts: &[Vec<u8>]) -> Archive {
    Archive([&parts.concat()[..], &[0; 1024]].concat())
}

/// An entry, with the parts of a file: where each begins, and its bytes.
type Taken = (Entry, Vec<(u64, Vec<u8>)>);

/// The entries of its stream, with what the files hold where no hole is; or why it is refused.
fn taken(archive: &Archive) -> Result<Vec<Taken>, String> {
    let mut report = Report::default();
    let tree = read(archive, archive.0.len() as u64, &mut report)?;
    let mut stream = Vec::new();
    tree.write(archive, &mut stream, &mut report).map_err(|failure| format!("{failure:?}"))?;
    let mut reader = Reader::new(&stream[..]).unwrap();
    let mut entries = Vec::new();
    loop {
        let entry = reader.next().unwrap();
        let (mut chunks, mut chunk) = (Vec::new(), Vec::new());
        if matches!(entry, Entry::File { .. }) {
            while let Some(offset) = reader.chunk(&mut chunk).unwrap() {
                chunks.push((offset, chunk.clone()));
            }
        }
        let over = matches!(entry, Entry::End(_));
        entries.push((entry, chunks));
        if over {
            return Ok(entries);
        }
    }
}

fn refused(parts: &[Vec<u8>]) -> String {
    taken(&archive(parts)).err().unwrap_or_else(|| "taken".to_owned())
}

#[test]
fn each_kind_of_entry_is_taken() {
    let long = [b'n'; 200];
    let found = taken(&archive(&[
        header(b"./", b'5', 0, b""),
        file(b"./d/f", b"content"),
        header(b"d/hard", b'1', 0, b"./d/f"),
        header(b"d/soft", b'2', 0, b"../../etc/passwd"),
        header(b"d/", b'5', 0, b""),
        [header(b"l", b'L', 201, b""), data(&[&long[..], b"\0"].concat()), file(b"short", b"")].concat(),
        [pax(&[("path", "d/\u{e9}"), ("mtime", "7.5"), ("SCHILY.xattr.user.a", "v")]), file(b"x", b"p")].concat(),
        header(b"fifo", b'6', 0, b""),
    ]))
    .unwrap();
    let paths: Vec<_> = found
        .iter()
        .map(|(entry, _)| match entry {
            Entry::Directory { path } => format!("+{}", printable(path)),
            Entry::File { path, .. } | Entry::Symlink { path, .. } | Entry::Link { path, .. } => printable(path),
            Entry::Finished { path, .. } => format!("-{}", printable(path)),
            Entry::End(totals) => format!("{totals:?}"),
        })
        .collect();
    let long = "n".repeat(200);
    let end = "Totals { entries: 6, bytes: 8 }";
    assert_eq!(paths, ["+d", "d/f", "d/hard", "d/soft", "d/\\xc3\\xa9", "-d", &long, "-", end]);
    let (Entry::File { meta, .. }, chunks) = &found[4] else { panic!() };
    assert_eq!((meta.seconds, meta.nanoseconds, meta.mode, meta.uid), (7, 500_000_000, 0o640, 1000));
    assert_eq!(meta.xattrs, [(b"user.a".to_vec(), b"v".to_vec())]);
    assert_eq!(chunks, &[(0, b"p".to_vec())]);
}

#[test]
fn what_leads_out_or_is_not_whole_refuses_the_archive() {
    let deep = [b"d/".repeat(9000).as_slice(), b"f"].concat();
    let deep = std::str::from_utf8(&deep).unwrap();
    let cases: [(&str, Vec<Vec<u8>>); 27] = [
        ("absolute", vec![file(b"/etc/passwd", b"x")]),
        ("leads out", vec![file(b"a/../../x", b"x")]),
        ("leads out", vec![[pax(&[("path", "..")]), file(b"x", b"x")].concat()]),
        ("no directory", vec![header(b"l", b'2', 0, b"/etc"), file(b"l/passwd", b"x")]),
        ("no directory", vec![file(b"f", b"x"), file(b"f/g", b"x")]),
        ("nothing that came", vec![header(b"h", b'1', 0, b"missing")]),
        ("absolute", vec![header(b"h", b'1', 0, b"/etc/passwd")]),
        ("leads out", vec![header(b"h", b'1', 0, b"../../etc/passwd")]),
        ("nothing that came", vec![header(b"d/", b'5', 0, b""), header(b"h", b'1', 0, b"d")]),
        ("a directory had", vec![file(b"d/f", b"x"), file(b"d", b"x")]),
        ("cut off", vec![header(b"f", b'0', 0o777_7777_7777, b"")]),
        ("not known", vec![header(b"f", b'M', 0, b"")]),
        ("checksum", vec![file(b"f", b"x"), vec![1; 512]]),
        ("follows the end", vec![vec![0; 512], file(b"f", b"x")]),
        ("target", vec![header(b"l", b'2', 0, b"")]),
        ("extended header", vec![pax(&[("path", "x")])]),
        ("content of its own", vec![file(b"f", b"x"), header(b"h", b'1', 5, b"f")]),
        // A link that becomes a directory, and one between.
        ("no directory", vec![header(b"d", b'2', 0, b"."), header(b"d/e", b'2', 0, b".."), file(b"d/e/x", b"x")]),
        ("no directory", vec![file(b"d/f", b"x"), header(b"d/l", b'2', 0, b"/"), header(b"d/l/h", b'1', 0, b"d/f")]),
        ("no name", vec![[pax(&[("path", "a\0b")]), file(b"x", b"x")].concat()]),
        ("no name", vec![[pax(&[("path", &"n".repeat(256))]), file(b"x", b"x")].concat()]),
        ("no name", vec![[pax(&[("path", deep)]), file(b"x", b"x")].concat()]),
        ("target", vec![[pax(&[("linkpath", &"t".repeat(4096))]), header(b"l", b'2', 0, b"t")].concat()]),
        ("only a directory", vec![file(b".", b"x")]),
        ("cut off", vec![[pax(&[("size", "9223372036854775807")]), file(b"f", b"x")].concat()]),
        ("owner", vec![[pax(&[("gid", "4294967295")]), file(b"f", b"x")].concat()]),
        ("owner", vec![[pax(&[("uid", "4294967296")]), file(b"f", b"x")].concat()]),
    ];
    for (why, parts) in cases {
        let said = refused(&parts);
        assert!(said.contains(why), "{why}: {said}");
    }
    assert!(taken(&Archive(file(b"f", b"x"))).unwrap_err().contains("cut off"), "without its end");
}

#[test]
fn what_a_global_header_multiplies_is_bounded() {
    let value = "v".repeat(60 << 10);
    let one = global(&[("SCHILY.xattr.user.a", &value)]);
    let said = refused(&[one.clone(), global(&[("SCHILY.xattr.user.b", &value)])]);
    assert!(said.contains("global header is too large"), "{said}");
    // Within that bound, but with each of so many files once more.
    let files: Vec<Vec<u8>> = (0..20_000).map(|number| header(format!("{number}").as_bytes(), b'0', 0, b"")).collect();
    let many = archive(&[vec![one], files].concat());
    let why = read(&many, many.0.len() as u64, &mut Report::default()).err().unwrap();
    assert!(why.contains("too large"), "{why}");
    // What git's own archives have.
    let found = taken(&archive(&[global(&[("comment", "0123456789abcdef")]), file(b"f", b"x")])).unwrap();
    assert!(matches!(&found[0].0, Entry::File { path, .. } if path == b"f"));
}

#[test]
fn names_that_only_look_alike_are_names_of_their_own() {
    let names: [&[u8]; 7] = [b"a", b"a ", b" a", b"A", b"a\n", b"\xff", b"\xfe"];
    let parts: Vec<Vec<u8>> = names.iter().map(|name| file(name, name)).collect();
    let found = taken(&archive(&parts)).unwrap();
    let contents: Vec<_> = found
        .iter()
        .filter_map(|(entry, chunks)| match entry {
            Entry::File { path, meta, .. } => Some((path.clone(), meta.mode, chunks[0].1.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(contents.len(), names.len());
    assert!(contents.iter().all(|(path, mode, content)| path == content && *mode == 0o640), "{contents:?}");
}

#[test]
fn a_name_that_comes_again_is_the_last_one_and_keeps_its_links() {
    let found = taken(&archive(&[file(b"f", b"one"), header(b"g", b'1', 0, b"f"), file(b"f", b"two")])).unwrap();
    let contents: Vec<_> = found.iter().flat_map(|(_, chunks)| chunks.clone()).collect();
    assert_eq!(contents, [(0, b"two".to_vec()), (0, b"one".to_vec())]);
}

#[test]
fn sparse_files_keep_their_holes_in_every_form() {
    let parts = [data(b"begin"), data(b"middle")].concat();
    let mut old = header(b"f", b'S', 1024, b"");
    old[257..265].copy_from_slice(b"ustar  \0");
    for (index, number) in [0, 512, 8192, 512].iter().enumerate() {
        old[386 + index * 12..][..11].copy_from_slice(format!("{number:011o}").as_bytes());
    }
    old[483..494].copy_from_slice(format!("{:011o}", 1 << 20).as_bytes());
    let sizes = ("GNU.sparse.size", "1048576");
    let forms = [
        [summed(old), parts.clone()].concat(),
        [pax(&[sizes, ("GNU.sparse.map", "0,512,8192,512")]), file(b"f", &parts)].concat(),
        [
            pax(&[
                sizes,
                ("GNU.sparse.offset", "0"),
                ("GNU.sparse.numbytes", "512"),
                ("GNU.sparse.offset", "8192"),
                ("GNU.sparse.numbytes", "512"),
            ]),
            file(b"f", &parts),
        ]
        .concat(),
        [
            pax(&[
                ("GNU.sparse.major", "1"),
                ("GNU.sparse.minor", "0"),
                ("GNU.sparse.name", "f"),
                ("GNU.sparse.realsize", "1048576"),
            ]),
            file(b"GNUSparseFile.1/f", &[data(b"2\n0\n512\n8192\n512\n"), parts.clone()].concat()),
        ]
        .concat(),
    ];
    for form in forms {
        let found = taken(&archive(&[form])).unwrap();
        let (Entry::File { path, size, .. }, chunks) = &found[0] else { panic!("{found:?}") };
        assert_eq!((path.as_slice(), *size), (&b"f"[..], 1 << 20));
        assert_eq!(chunks.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [0, 8192]);
        assert!(chunks[1].1.starts_with(b"middle"));
    }
    for map in ["0,512,100,512", "0,512,8192", "0,512,1048576,512", "0,512,8192,1024", "18446744073709551615,512,0,512"]
    {
        let said = refused(&[[pax(&[sizes, ("GNU.sparse.map", map)]), file(b"f", &parts)].concat()]);
        assert!(said.contains("map"), "{map}: {said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_bytes_make_the_reader_panic_or_give_a_path_that_is_not_plain(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        mend in any::<bool>(),
    ) {
        let mut bytes = archive(&[
            file(b"d/f", b"content"),
            header(b"h", b'1', 0, b"d/f"),
            [pax(&[("path", "p"), ("GNU.sparse.size", "9000"), ("GNU.sparse.map", "0,4")]), file(b"x", b"abcd")].concat(),
            header(b"s", b'2', 0, b"t"),
        ]).0;
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
            if mend && at % 512 < 500 {
                // Behind the checksum is where it becomes interesting.
                let block = at / 512 * 512;
                let summed = summed(bytes[block..block + 512].to_vec());
                bytes[block..block + 512].copy_from_slice(&summed);
            }
        }
        if let Some(index) = cut {
            bytes.truncate(index.index(bytes.len()));
        }
        // The stream's own reader refuses every path that is not plain: `taken` unwraps what it says.
        let _ = taken(&Archive(bytes));
    }
}
