//! Bodies in less space: deflate with a dictionary of what our events look like. Hashes are always over the plain bytes.
//!
//! The first byte says how the rest is written: 0 as it is, 1 deflated with the dictionary `dictionary.v1`, which therefore never changes;
//! a better one gets the next number.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::Error;

const DICTIONARY: &[u8] = include_bytes!("dictionary.v1");
const PLAIN: u8 = 0;
const DEFLATED: u8 = 1;
/// Bytes of deflate's window, which the dictionary must fit in.
const WINDOW_BITS: u8 = 15;

/// Writes bytes in whichever form is smaller.
pub fn squeeze(plain: &[u8]) -> Vec<u8> {
    deflate(plain).filter(|deflated| deflated.len() <= plain.len()).unwrap_or_else(|| [&[PLAIN], plain].concat())
}

fn deflate(plain: &[u8]) -> Option<Vec<u8>> {
    let mut deflater = Compress::new_with_window_bits(Compression::best(), false, WINDOW_BITS);
    deflater.set_dictionary(DICTIONARY).ok()?;
    let mut deflated = Vec::with_capacity(plain.len() + 64);
    deflated.push(DEFLATED);
    // There is room for any input; what does not fit would not be smaller.
    let status = deflater.compress_vec(plain, &mut deflated, FlushCompress::Finish).ok()?;
    (status == Status::StreamEnd).then_some(deflated)
}

/// Reads what [`squeeze`] wrote, if it was at most so many bytes.
pub fn unsqueeze(stored: &[u8], bytes_max: usize) -> Result<Vec<u8>, Error> {
    match stored.split_first() {
        Some((&PLAIN, plain)) => Ok(plain.to_vec()),
        Some((&DEFLATED, deflated)) => inflate(deflated, bytes_max),
        Some((other, _)) => Err(Error::corrupt(format!("bytes are written in form {other}, which this program does not know"))),
        None => Err(Error::corrupt("there are no bytes")),
    }
}

fn inflate(deflated: &[u8], bytes_max: usize) -> Result<Vec<u8>, Error> {
    let broken = |reason: &str| Error::corrupt(format!("deflated bytes cannot be read: {reason}"));
    let mut inflater = Decompress::new_with_window_bits(false, WINDOW_BITS);
    inflater.set_dictionary(DICTIONARY).map_err(|error| broken(&error.to_string()))?;
    let mut plain = Vec::with_capacity(deflated.len() * 4 + 64);
    loop {
        let read = usize::try_from(inflater.total_in()).unwrap_or(usize::MAX);
        let status = inflater.decompress_vec(deflated.get(read..).unwrap_or_default(), &mut plain, FlushDecompress::Finish);
        match status.map_err(|error| broken(&error.to_string()))? {
            Status::StreamEnd => return Ok(plain),
            // What would grow on is not one of ours.
            Status::Ok | Status::BufError if plain.len() == plain.capacity() && plain.len() <= bytes_max => plain.reserve(plain.capacity()),
            Status::Ok | Status::BufError => return Err(broken("they end too early")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_was_squeezed_comes_back() {
        let noise: Vec<u8> = (0..5000_u32).flat_map(|number| blake3::hash(&number.to_be_bytes()).as_bytes()[..3].to_vec()).collect();
        for plain in [&b""[..], b"{}", &noise, "我".repeat(90_000).as_bytes(), events::samples::ALL[0].1.as_bytes()] {
            let squeezed = squeeze(plain);
            assert!(squeezed.len() <= plain.len() + 1);
            assert_eq!(unsqueeze(&squeezed, 1 << 20).expect("reads"), plain);
        }
    }

    #[test]
    fn a_body_of_ours_shrinks_to_a_third() {
        let body = br#"{"meta":{"actor":"p91c3d4e85a6f7b20d1e4c3f8","channel":"api","correlation":"c81d","causation":"77aa"},"events":[{"type":"ticket.suspended","version":1,"data":{"by":"p91c3d4e85a6f7b20d1e4c3f8"}}]}"#;
        assert!(squeeze(body).len() * 3 < body.len(), "{} of {}", squeeze(body).len(), body.len());
    }

    #[test]
    fn broken_bytes_are_an_error_and_never_a_panic() {
        for broken in [&[][..], &[7, 1], &[1], &[1, 0xff, 0xff], &squeeze(&[b'x'; 300])[..4]] {
            assert!(unsqueeze(broken, 1 << 20).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn the_dictionary_is_what_it_always_was() {
        assert_eq!(blake3::hash(DICTIONARY).to_hex()[..16], *"7fefd0544aa9bebb");
    }
}
