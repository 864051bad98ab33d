//! Reads the segments of a recording: which files belong together, and the records of each.

use truetick_netcode::command::Command;
use truetick_netcode::schema::Schema;

use super::{END, HEADER, Header, KEYFRAME, Last, Record, RecordError, TICK, read_tick};
use crate::frame::{FrameError, FrameReader};
use crate::simulation::Keyframe;

/// Reads the records of one segment, in order.
pub struct Segment<'a, C> {
    header: Header,
    frames: FrameReader<'a>,
    last: Last<C>,
}

impl<'a, C: Command> Segment<'a, C> {
    /// Opens a segment, which must begin with a header.
    ///
    /// # Errors
    /// If the frames are damaged, or the first one is not a valid header.
    pub fn open(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let (header, frames) = read_header(bytes)?;
        Ok(Self {
            header,
            frames,
            last: Last::new(),
        })
    }

    /// The header of the segment.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads the next record; `None` at the end. `schema` must have the hash of the header.
    ///
    /// # Errors
    /// If a frame is torn or damaged, or its content does not conform to the format.
    pub fn next_record(&mut self, schema: &Schema) -> Result<Option<Record<C>>, RecordError> {
        let at = self.frames.position();
        let content = |what| RecordError::Content { at, what };
        match self.frames.next_frame()? {
            None => Ok(None),
            Some((KEYFRAME, payload)) => {
                self.last.clear();
                let keyframe: Keyframe =
                    bitcode::decode(payload).map_err(|_| content("keyframe"))?;
                match keyframe.is_valid(schema) {
                    true => Ok(Some(Record::Keyframe(keyframe))),
                    false => Err(content("valid keyframe")),
                }
            }
            Some((TICK, payload)) => {
                let tick =
                    read_tick(payload, schema, &mut self.last).map_err(|_| content("tick"))?;
                Ok(Some(Record::Tick(tick)))
            }
            Some((END, _)) => Ok(Some(Record::End)),
            Some(_) => Err(content("keyframe or tick")),
        }
    }
}

/// Selects, from the files of one name, oldest first, those that belong to the newest recording:
/// they have its number, and their segments follow each other. A newest file without a whole header
/// was being begun when its writer was killed, and is left out.
///
/// # Errors
/// If the newest file has no valid header.
pub fn join(mut files: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, RecordError> {
    let headless = files.last().is_some_and(|newest| {
        matches!(
            read_header(newest),
            Err(RecordError::Frame(FrameError::Torn(_)))
        )
    });
    if files.last().is_some_and(Vec::is_empty) || headless {
        files.pop();
    }
    let mut next = read_header(files.last().map_or(&[], Vec::as_slice))?.0;
    let mut first = files.len().saturating_sub(1);
    while let Some(older) = first
        .checked_sub(1)
        .and_then(|at| read_header(&files[at]).ok())
        .map(|(header, _)| header)
    {
        if older.recording != next.recording || older.segment + 1 != next.segment {
            break;
        }
        (next, first) = (older, first - 1);
    }
    Ok(files.split_off(first))
}

fn read_header(bytes: &[u8]) -> Result<(Header, FrameReader<'_>), RecordError> {
    let mut frames = FrameReader::begin(bytes)?;
    let content = RecordError::Content {
        at: frames.position(),
        what: "header",
    };
    let Some((HEADER, payload)) = frames.next_frame()? else {
        return Err(content);
    };
    Ok((bitcode::decode(payload).map_err(|_| content)?, frames))
}
