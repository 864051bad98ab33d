//! Files of frames that hold one header and then rows of one kind: a client's trace, captured
//! packets.

use bitcode::DecodeOwned;

use super::record::RecordError;
use crate::frame::{FrameError, FrameReader};

/// A kind of frame and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The number of the kind in the frame's head.
    pub tag: u8,
    /// The name of the content, for the error if it is not there.
    pub content: &'static str,
}

/// Reads a whole file. An incomplete end is left out.
///
/// # Errors
/// If the file is damaged, or a frame has another kind or content than expected.
pub(crate) fn read_rows<H: DecodeOwned, R: DecodeOwned>(
    bytes: &[u8],
    header: Kind,
    row: Kind,
) -> Result<(H, Vec<R>), RecordError> {
    let mut frames = FrameReader::begin(bytes)?;
    let begin = frames.position();
    let first = match frames.next_frame()? {
        Some((tag, payload)) => header.decode(tag, payload, begin)?,
        None => {
            return Err(RecordError::Content {
                at: begin,
                what: header.content,
            });
        }
    };
    let mut rows = Vec::new();
    loop {
        let at = frames.position();
        match frames.next_frame() {
            Ok(Some((tag, payload))) => rows.push(row.decode(tag, payload, at)?),
            Ok(None) | Err(FrameError::Torn(_)) => return Ok((first, rows)),
            Err(error) => return Err(error.into()),
        }
    }
}

impl Kind {
    /// Decodes the payload of a frame at byte `at`, which must be of this kind.
    fn decode<T: DecodeOwned>(self, tag: u8, payload: &[u8], at: usize) -> Result<T, RecordError> {
        let read = if tag == self.tag {
            bitcode::decode(payload).ok()
        } else {
            None
        };
        read.ok_or(RecordError::Content {
            at,
            what: self.content,
        })
    }
}
