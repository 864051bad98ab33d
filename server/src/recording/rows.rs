//! Files of frames that hold one header and then rows of one kind: a client's trace, captured
//! packets.

use bitcode::DecodeOwned;

use super::record::RecordError;
use crate::frame::{FrameError, FrameReader};

/// The kind of a frame, and the name of its content.
pub type Kind = (u8, &'static str);

/// Reads a whole file. An incomplete end is left out.
///
/// # Errors
/// If the file is damaged, or a frame has another kind or content than expected.
pub fn read_rows<H: DecodeOwned, R: DecodeOwned>(
    bytes: &[u8],
    header: Kind,
    row: Kind,
) -> Result<(H, Vec<R>), RecordError> {
    let mut frames = FrameReader::begin(bytes)?;
    let begin = frames.position();
    let first = match frames.next_frame()? {
        Some(frame) => decode(frame, header, begin)?,
        None => {
            return Err(RecordError::Content {
                at: begin,
                what: header.1,
            });
        }
    };
    let mut rows = Vec::new();
    loop {
        let at = frames.position();
        match frames.next_frame() {
            Ok(Some(frame)) => rows.push(decode(frame, row, at)?),
            Ok(None) | Err(FrameError::Torn(_)) => return Ok((first, rows)),
            Err(error) => return Err(error.into()),
        }
    }
}

fn decode<T: DecodeOwned>(
    (kind, payload): (u8, &[u8]),
    (wanted, what): Kind,
    at: usize,
) -> Result<T, RecordError> {
    let read = (kind == wanted)
        .then(|| bitcode::decode(payload).ok())
        .flatten();
    read.ok_or(RecordError::Content { at, what })
}
