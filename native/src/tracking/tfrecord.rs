//! The framing of TensorFlow's record files,
//! <https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/lib/io/record_writer.h>: length, checksum of the
//! length, bytes, checksum of the bytes; numbers are little-endian.

/// What is added to a rotated checksum, so that checksums of bytes that hold checksums stay of use.
const MASK: u32 = 0xa282_ead8;

/// A record as it stands in a file.
pub fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(data.len() + 16);
    record.extend(length);
    record.extend(masked_crc32c(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked_crc32c(data).to_le_bytes());
    record
}

/// The checksum (CRC-32C), rotated by 15 bits to the right and masked.
fn masked_crc32c(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard_rotated_and_masked() {
        // RFC 3720, B.4: 32 bytes of zeros.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        // The check value of CRC-32C: 0xe3069283 is 1110 0011 0000 0110 1001 0010 1000 0011; its last 15 bits go first, which
        // gives 0x2507c60d, and the mask makes 0xc78ab0e5 of it.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked_crc32c(b"123456789"), 0xc78a_b0e5);
    }

    #[test]
    fn a_record_has_its_length_and_both_checksums() {
        let record = framed(b"123456789");
        assert_eq!(record.len(), 8 + 4 + 9 + 4);
        assert_eq!(record[..8], 9u64.to_le_bytes());
        assert_eq!(record[8..12], masked_crc32c(&9u64.to_le_bytes()).to_le_bytes());
        assert_eq!(&record[12..21], b"123456789");
        assert_eq!(record[21..], 0xc78a_b0e5_u32.to_le_bytes());
    }
}
