//! Files that are damaged, hostile or of another kind: each is refused by a sentence, none by a panic or by its size.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

/// An archive as torch makes it, of any contents.
fn archive(parts: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in parts {
        archive.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn open(pickle: &[u8]) -> Result<Vec<TorchTensor>> {
    let parts = [("x/data.pkl", pickle), ("x/data/0", &[0u8; 64])];
    open_state_dict(&archive(&parts, CompressionMethod::Stored))
}

fn refused(pickle: &[u8]) -> String {
    open(pickle).unwrap_err().to_string()
}

/// `{"w": _rebuild_tensor_v2(("storage", FloatStorage, "0", "cpu", count), offset, shape, strides)}`.
fn pickle(count: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let long = |number: &i64| [[0x8a, 8].as_slice(), &number.to_le_bytes()].concat();
    let all = |numbers: &[i64]| numbers.iter().flat_map(long).collect::<Vec<_>>();
    [
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
            .as_slice(),
        b"ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu",
        &long(&count),
        b"tQ",
        &long(&offset),
        b"(",
        &all(shape),
        b"t(",
        &all(strides),
        b"t\x89}tRs.",
    ]
    .concat()
}

#[test]
fn code_is_named_and_never_run() {
    let hostile = include_bytes!("../../../../tests/golden/torch/hostile.pth");
    let message = open_state_dict(hostile).unwrap_err().to_string();
    assert!(message.starts_with("the file holds code: os.system; only tensors are read"), "{message}");
    for (pickle, name) in [
        (b"cbuiltins\neval\n(X\x01\x00\x00\x001tR.".as_slice(), "builtins.eval"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "posix.system"),
        (b"c__main__\nMiniMind\n)\x81}b.", "__main__.MiniMind"),
        (b"ctorch.hub\nload\n)R.", "torch.hub.load"),
        (b"ctorch._utils\n_rebuild_qtensor\n)R.", "torch._utils._rebuild_qtensor"),
    ] {
        assert!(refused(pickle).contains(name), "{}", refused(pickle));
    }
    // INST, OBJ and extension codes are no instructions here.
    for code in [b"(ios\nsystem\n.".as_slice(), b"(o.", b"\x82\x01."] {
        assert!(refused(code).contains("unknown instruction"), "{}", refused(code));
    }
}

#[test]
fn other_kinds_of_file_are_told_apart() {
    let old = include_bytes!("../../../../tests/golden/torch/before_1_6.pth");
    let told = |bytes: &[u8]| open_state_dict(bytes).unwrap_err().to_string();
    assert!(told(old).contains("from before torch 1.6") && told(old).contains("torch.save(torch.load(FILE"));
    assert!(told(b"GGUF").contains("no PyTorch file") && told(b"").contains("no PyTorch file"));
    let plain = CompressionMethod::Stored;
    assert!(told(&archive(&[("a/config.json", b"{}")], plain)).contains("no folder with data.pkl"));
    let pickle = pickle(2, 0, &[2], &[1]);
    let parts: [(&str, &[u8]); 3] = [("x/data.pkl", &pickle), ("x/byteorder", b"big"), ("x/data/0", &[0; 8])];
    assert!(told(&archive(&parts, plain)).contains("big-endian"));
    assert!(told(&archive(&parts, CompressionMethod::Deflated)).contains("compressed"));
    for empty in [b"}.".as_slice(), b"].", b"N.", b"}X\x05\x00\x00\x00modelNs."] {
        assert!(refused(empty).contains("holds no tensors by name"), "{}", refused(empty));
    }
}

#[test]
fn views_stay_within_their_storage() {
    assert_eq!(open(&pickle(16, 0, &[2, 8], &[8, 1])).unwrap()[0].values.len(), 16);
    assert_eq!(open(&pickle(16, 15, &[], &[])).unwrap()[0].values, [0.0]);
    assert!(open(&pickle(16, 99, &[0, i64::MAX, i64::MAX], &[1, 1, 1])).unwrap()[0].values.is_empty());
    for (count, offset, shape, strides) in [
        (16, 1, [2, 8], [8, 1]),
        (16, 0, [2, 8], [9, 1]),
        (16, i64::MAX, [2, 8], [i64::MAX, i64::MAX]),
        (16, 0, [i64::MAX, i64::MAX], [0, 0]),
    ] {
        let message = refused(&pickle(count, offset, &shape, &strides));
        assert!(message.contains("lies outside of its storage"), "{message}");
    }
    for (count, shape) in [(17, 17), (i64::MAX, 1)] {
        let message = refused(&pickle(count, 0, &[shape], &[1]));
        assert!(message.contains("of which the PyTorch file has 64 bytes"), "{message}");
    }
    // One element that is repeated until the memory is full.
    let message = refused(&pickle(16, 0, &[1 << 40], &[0]));
    assert!(message.contains("made to fill the memory"), "{message}");
    for pickle in [pickle(-1, 0, &[1], &[1]), pickle(1, 0, &[-1], &[1]), pickle(1, 0, &[1], &[1, 1])] {
        assert!(refused(&pickle).contains("damaged"), "{}", refused(&pickle));
    }
    assert!(refused(&pickle(1, 0, &[1; 17], &[1; 17])).contains("16 axes"));
}

#[test]
fn lying_lengths_and_a_broken_stack_are_refused() {
    for pickle in [
        b"X\xff\xff\xff\xff".as_slice(),
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffw.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x8b\xff\xff\xff\x7f.",
        b"\x95\xff",
        b"cos",
        b"",
        b".",
        b"(.",
        b"K\x01(0.",
        b"t.",
        b"\x87.",
        b"h\x05.",
        b"j\xff\xff\xff\xff.",
        b"q\x00.",
        b"K\x01K\x02K\x03s.",
        b"}(K\x01u.",
        b"K\x01K\x02a.",
        b"K\x01)R.",
        b"K\x01}b.",
        b"K\x01Q.",
        b"K\x01K\x02\x93.",
        b"ccollections\nOrderedDict\nK\x01R.",
        b"ccollections\nOrderedDict\n]\x85R.",
    ] {
        assert!(refused(pickle).contains("the pickle in the PyTorch file"), "{}", refused(pickle));
    }
    let long = vec![b']'; 9 << 20];
    assert!(refused(&long).contains("are the most"));
}

#[test]
fn depth_cycles_and_repetition_cost_no_more_than_their_bytes() {
    // A million lists within each other; a list that holds itself; a thousand copies of a large tuple by the memo.
    let deep = [vec![b']'; 1 << 20], vec![b'a'; (1 << 20) - 1], b".".to_vec()].concat();
    assert!(refused(&deep).contains("holds no tensors"));
    assert!(refused(b"]q\x00h\x00a.").contains("holds no tensors"));
    let wide =
        [b"(".to_vec(), vec![b'N'; 1 << 20], b"tq\x00(".to_vec(), b"h\x00".repeat(1 << 20), b"t.".to_vec()];
    assert!(refused(&wide.concat()).contains("holds no tensors"));
    // A million entries for the weights, all of one large dictionary.
    let filled = b"h\x00N".repeat(1 << 20);
    let many = b"h\x00h\x01".repeat(1 << 20);
    let all = [b"X\x05\x00\x00\x00modelq\x000}q\x01(".as_slice(), &filled, b"u0}(", &many, b"u."].concat();
    assert!(refused(&all).contains("holds no tensors"));
}

#[test]
fn names_are_unique_and_parts_are_read_once() {
    let one = pickle(16, 0, &[16], &[1]);
    let entry = &one[3..one.len() - 1];
    let twice = [b"}", entry, entry, b"."].concat();
    assert!(refused(&twice).contains("two tensors of the PyTorch file are named 'w'"), "{}", refused(&twice));
    let parts: [(&str, &[u8]); 2] = [("x/data.pkl", &one), ("x/data/0", &[0; 64])];
    let mut bytes = archive(&parts, CompressionMethod::Stored);
    let place = bytes.windows(8).position(|window| window == b"x/data/0").unwrap() + 8;
    bytes[place] ^= 1;
    let message = open_state_dict(&bytes).unwrap_err().to_string();
    assert!(message.contains("not whole") && message.contains("copy it again"), "{message}");
}

#[test]
fn no_cut_and_no_changed_byte_panics() {
    for whole in [
        include_bytes!("../../../../tests/golden/torch/training.pth").as_slice(),
        include_bytes!("../../../../tests/golden/torch/views.pth"),
        include_bytes!("../../../../tests/golden/torch/protocol4.pth"),
        include_bytes!("../../../../tests/golden/torch/lora.pth"),
    ] {
        for length in 0..whole.len() {
            assert!(open_state_dict(&whole[..length]).is_err(), "{length}");
        }
        let mut zip = zip::ZipArchive::new(Cursor::new(whole)).unwrap();
        let mut pickle = Vec::new();
        std::io::Read::read_to_end(&mut zip.by_index(0).unwrap(), &mut pickle).unwrap();
        for place in 0..pickle.len() {
            for change in [1, 0x20, 0x80, 0xff] {
                let mut changed = pickle.clone();
                changed[place] ^= change;
                let _ = open(&changed);
                let _ = from_minimind(
                    &archive(&[("x/data.pkl", &changed)], CompressionMethod::Stored),
                    &MinimindShape::default(),
                );
            }
        }
    }
}
