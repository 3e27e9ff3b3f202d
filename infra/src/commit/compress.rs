//! Compresses commit bodies with deflate and a dictionary of typical events.
//!
//! The first byte of the output is the number of its format. Format 2 contains uncompressed bytes.
//! Format 3 contains bytes that are compressed with the dictionary `dictionary.v1`. After the first
//! release, this dictionary must not change, because it is necessary to read the stored bodies.
//!
//! A better dictionary must get a new format number. Hashes are always computed from the
//! uncompressed bytes, so a new format does not change the hashes.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::{Error, Kind};

const DICTIONARY: &[u8] = include_bytes!("dictionary.v1");
/// Format numbers that only older versions of this program wrote. Data in these formats contains
/// event names that this program does not support, so the program rejects the data.
const FORMER: [u8; 2] = [0, 1];
const PLAIN: u8 = 2;
const DEFLATED: u8 = 3;
/// Size of the deflate window as a power of two: 2^15 bytes (32 KiB). The dictionary must not be
/// larger, because deflate can only use a dictionary that fits in the window.
const WINDOW_BITS: u8 = 15;

/// Compresses bytes. If the compressed bytes would be longer than the input, the output contains
/// the uncompressed bytes.
pub fn compress(plain: &[u8]) -> Vec<u8> {
    deflate(plain)
        .filter(|deflated| deflated.len() <= plain.len())
        .unwrap_or_else(|| [&[PLAIN], plain].concat())
}

fn deflate(plain: &[u8]) -> Option<Vec<u8>> {
    let mut deflater = Compress::new_with_window_bits(Compression::best(), false, WINDOW_BITS);
    deflater.set_dictionary(DICTIONARY).ok()?;
    let mut deflated = Vec::with_capacity(plain.len() + 64);
    deflated.push(DEFLATED);
    // The output buffer is a little larger than the uncompressed bytes and cannot grow. If the
    // compressed bytes do not fit in the buffer, the caller stores the uncompressed bytes.
    let status = deflater
        .compress_vec(plain, &mut deflated, FlushCompress::Finish)
        .ok()?;
    (status == Status::StreamEnd).then_some(deflated)
}

/// Decompresses the output of [`compress`] and returns the original bytes. `bytes_max` limits the
/// memory for these bytes. Returns an error if the compressed data is damaged or was written by an
/// older program.
pub fn decompress(stored: &[u8], bytes_max: usize) -> Result<Vec<u8>, Error> {
    match stored.split_first() {
        Some((&PLAIN, plain)) => Ok(plain.to_vec()),
        Some((&DEFLATED, deflated)) => inflate(deflated, bytes_max),
        Some((form, _)) if FORMER.contains(form) => Err(Error::new(
            Kind::Misconfigured,
            format!(
                "the data was written by a build before the permanent event names (form {form}); start with new tables and a new bucket"
            ),
        )),
        Some((other, _)) => Err(Error::corrupt(format!(
            "unknown compression format {other}; use a newer program"
        ))),
        None => Err(Error::corrupt("no bytes to decompress")),
    }
}

fn inflate(deflated: &[u8], bytes_max: usize) -> Result<Vec<u8>, Error> {
    let broken = |reason: &str| Error::corrupt(format!("deflated bytes cannot be read: {reason}"));
    let mut inflater = Decompress::new_with_window_bits(false, WINDOW_BITS);
    inflater
        .set_dictionary(DICTIONARY)
        .map_err(|error| broken(&error.to_string()))?;
    let mut plain = Vec::with_capacity(deflated.len() * 4 + 64);
    loop {
        let read = usize::try_from(inflater.total_in()).unwrap_or(usize::MAX);
        let status = inflater.decompress_vec(
            deflated.get(read..).unwrap_or_default(),
            &mut plain,
            FlushDecompress::Finish,
        );
        match status.map_err(|error| broken(&error.to_string()))? {
            Status::StreamEnd => return Ok(plain),
            // The buffer grows only to about `bytes_max`, so that damaged data cannot use all
            // memory. Valid data fits, because the program never writes longer data.
            Status::Ok | Status::BufError
                if plain.len() == plain.capacity() && plain.len() <= bytes_max =>
            {
                plain.reserve(plain.capacity());
            }
            Status::Ok | Status::BufError => return Err(broken("unexpected end of the bytes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_bytes_decompress_to_the_original() {
        let noise: Vec<u8> = (0..5000_u32)
            .flat_map(|number| blake3::hash(&number.to_be_bytes()).as_bytes()[..3].to_vec())
            .collect();
        for plain in [
            &b""[..],
            b"{}",
            &noise,
            "我".repeat(90_000).as_bytes(),
            events::samples::ALL[0].1.as_bytes(),
        ] {
            let compressed = compress(plain);
            assert!(compressed.len() <= plain.len() + 1);
            assert_eq!(decompress(&compressed, 1 << 20).expect("reads"), plain);
        }
    }

    #[test]
    fn a_small_commit_body_shrinks_to_a_third() {
        let body = br#"{"meta":{"actor":"p91c3d4e85a6f7b20d1e4c3f8","channel":"api","correlation":"c81d","causation":"77aa"},"events":[{"type":"ticket.suspended","version":1,"data":{"by":"p91c3d4e85a6f7b20d1e4c3f8"}}]}"#;
        assert!(
            compress(body).len() * 3 < body.len(),
            "{} of {}",
            compress(body).len(),
            body.len()
        );
    }

    #[test]
    fn data_of_builds_before_the_permanent_names_is_rejected_by_reason() {
        for former in [&[0, b'{', b'}'][..], &[1, 0x4b, 0x04, 0x00]] {
            let error = decompress(former, 1 << 20).expect_err("former data");
            assert!(
                error
                    .to_string()
                    .contains("before the permanent event names"),
                "{error}"
            );
        }
    }

    #[test]
    fn broken_bytes_are_an_error_and_never_a_panic() {
        for broken in [
            &[][..],
            &[7, 1],
            &[DEFLATED],
            &[DEFLATED, 0xff, 0xff],
            &compress(&[b'x'; 300])[..4],
        ] {
            assert!(decompress(broken, 1 << 20).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn the_dictionary_does_not_change() {
        assert_eq!(blake3::hash(DICTIONARY).to_hex()[..16], *"adb6ec5cf9230ade");
    }
}
