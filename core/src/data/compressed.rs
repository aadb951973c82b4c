//! Compressed data files: a stream of plain bytes, which the caller keeps where it can be read at any place.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::format::{ending, is_parquet, logical_name};
use crate::error::{Error, Result};
use crate::told::told;

/// The bytes of `input` without the compression that `name` tells of, or `None` for a file that is not compressed.
///
/// Memory is bounded by the format's window, for `.zst` at most 128 MiB: the whole file is never held.
///
/// # Errors
/// A compression that is not read; damaged bytes show as errors of the reader.
pub fn decompressor<'a>(name: &str, input: impl Read + 'a) -> Result<Option<Box<dyn Read + 'a>>> {
    let ending = ending(name);
    match ending.as_str() {
        "gz" | "zst" if is_parquet(logical_name(name)) => Err(Error::Data(told!(
            "file.packed_parquet",
            "{name}: a .parquet file is not read in a compressed form; unpack it first",
            name
        ))),
        "gz" => Ok(Some(Box::new(MultiGzDecoder::new(BufReader::new(input))))),
        "zst" => Ok(Some(Box::new(ZstdReader::new(BufReader::new(input))))),
        "bz2" | "xz" | "lz4" | "7z" | "zip" | "tar" | "tgz" => Err(Error::Data(told!(
            "file.packing",
            "{name}: .{ending} files are not read; unpack it, or use .gz or .zst",
            name,
            ending
        ))),
        _ => Ok(None),
    }
}

/// Decodes Zstandard frames one after the other and checks their checksums.
pub(super) struct ZstdReader<R> {
    input: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> ZstdReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, decoder: FrameDecoder::new(), in_frame: false }
    }

    /// Starts the next frame with content, or says that there is none.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.input) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(&mut self.input.by_ref().take(length.into()), &mut io::sink())?;
                    if skipped < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(damaged(error)),
            }
        }
        Ok(false)
    }

    /// Closes a frame whose bytes are all read.
    fn end_frame(&mut self) -> io::Result<()> {
        self.in_frame = false;
        let stored = self.decoder.get_checksum_from_data();
        if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
            return Err(damaged("its checksum does not fit"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                self.in_frame = self.next_frame()?;
                if !self.in_frame {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.input, one).map_err(damaged)?;
            }
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            self.end_frame()?;
        }
    }
}

fn damaged(why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("its Zstandard data is damaged: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use std::io::Write;

    fn gz(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zst(text: &[u8]) -> Vec<u8> {
        compress_to_vec(text, CompressionLevel::Fastest)
    }

    fn unpack(name: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        decompressor(name, bytes).unwrap().unwrap().read_to_end(&mut text)?;
        Ok(text)
    }

    fn long_text() -> Vec<u8> {
        (0..100_000).flat_map(|i| format!("line {i}\n").into_bytes()).collect()
    }

    #[test]
    fn both_compressions_are_undone_also_in_several_members() {
        let text = long_text();
        let twice = [text.as_slice(), b"end"].concat();
        assert_eq!(unpack("a.jsonl.gz", &[gz(&text), gz(b"end")].concat()).unwrap(), twice);
        assert_eq!(unpack("a.jsonl.zst", &[zst(&text), zst(b"end")].concat()).unwrap(), twice);
    }

    #[test]
    fn skippable_zstd_frames_are_skipped() {
        let skippable = [&[0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        assert_eq!(unpack("a.ZST", &[skippable, zst(b"text")].concat()).unwrap(), b"text");
    }

    #[test]
    fn damaged_files_are_errors() {
        for (name, packed) in [("a.gz", gz(&long_text())), ("a.zst", zst(&long_text()))] {
            assert!(unpack(name, &packed[..packed.len() - 9]).is_err(), "{name} cut off");
            assert!(unpack(name, b"plain text").is_err(), "{name} not compressed");
        }
    }

    #[test]
    fn names_tell_the_compression() {
        assert!(decompressor("a.jsonl", &b""[..]).unwrap().is_none());
        let error = decompressor("a.txt.xz", &b""[..]).err().unwrap().to_string();
        assert_eq!(error, "a.txt.xz: .xz files are not read; unpack it, or use .gz or .zst");
        let error = decompressor("a.Parquet.gz", &b""[..]).err().unwrap().to_string();
        assert_eq!(error, "a.Parquet.gz: a .parquet file is not read in a compressed form; unpack it first");
    }
}
