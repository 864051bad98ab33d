//! The records of a whole recording, segment after segment, and how it ends.

use derive_more::Display;
use truetick_netcode::command::Command;
use truetick_netcode::schema::Schema;

use super::record::{Record, RecordError, Segment};
use super::replay::ReplayError;
use crate::frame::FrameError;

/// How a recording ends.
#[derive(Clone, Debug, Default, Display, PartialEq, Eq)]
pub enum End {
    /// With its end mark.
    #[display("it was ended properly")]
    Finished,
    /// At a frame's border but without its end mark: its writer was killed, or still runs.
    #[default]
    #[display("it has no end mark: its writer was killed, or still runs")]
    Unfinished,
    /// In the middle of a frame: its writer or its machine failed.
    #[display("it was cut off: {_0}")]
    Torn(FrameError),
    /// With damage: the segment, counted from the oldest, and the error. What follows cannot be
    /// trusted.
    #[display("segment {_0} of those found is damaged: {_1}")]
    Damaged(usize, RecordError),
}

/// Reads the records of a whole recording, segment after segment.
pub struct Records<'a, C> {
    segments: &'a [Vec<u8>],
    schema: &'a Schema,
    at: usize,
    current: Option<Segment<'a, C>>,
    end: Option<End>,
}

impl<'a, C: Command> Records<'a, C> {
    /// Opens the segments of one recording, oldest first.
    ///
    /// # Errors
    /// If a segment has no valid header, or was made with another schema.
    pub fn open(segments: &'a [Vec<u8>], schema: &'a Schema) -> Result<Self, ReplayError> {
        for bytes in segments {
            let (recorded, own) = (Segment::<C>::open(bytes)?.header().schema, schema.hash());
            if recorded != own {
                return Err(ReplayError::OtherSchema { recorded, own });
            }
        }
        Ok(Self {
            segments,
            schema,
            at: 0,
            current: None,
            end: None,
        })
    }

    /// Whether the segment that was read last includes state.
    pub fn with_state(&self) -> bool {
        self.current
            .as_ref()
            .is_some_and(|segment| segment.header().with_state)
    }

    /// How the recording ended. Only meaningful once there is no record left.
    pub(crate) fn into_end(self) -> End {
        self.end.unwrap_or_default()
    }

    /// Reads the next record; `None` at the end, however the recording ends.
    pub fn next_record(&mut self) -> Option<Record<C>> {
        while self.end.is_none() {
            let Some(segment) = &mut self.current else {
                match self.segments.get(self.at).map(|bytes| Segment::open(bytes)) {
                    Some(Ok(segment)) => self.current = Some(segment),
                    Some(Err(error)) => self.end = Some(End::Damaged(self.at, error)),
                    None => self.end = Some(End::Unfinished),
                }
                continue;
            };
            let last = self.at + 1 == self.segments.len();
            match segment.next_record(self.schema) {
                Ok(Some(Record::End)) => self.end = Some(End::Finished),
                Ok(Some(record)) => return Some(record),
                Ok(None) if last => self.end = Some(End::Unfinished),
                Ok(None) => (self.current, self.at) = (None, self.at + 1),
                Err(RecordError::Frame(torn @ FrameError::Torn(_))) if last => {
                    self.end = Some(End::Torn(torn))
                }
                Err(error) => self.end = Some(End::Damaged(self.at, error)),
            }
        }
        None
    }
}
