//! The files that a swarm writes: the first bot's trace, and the packets that the bots receive.

use std::io;
use std::path::Path;

use truetick_server::files::RecordWriter;
use truetick_server::recording::capture::CaptureWriter;
use truetick_server::recording::client_trace::TraceWriter;
use truetick_server::recording::recorder::Chunk;

use crate::bot_client::BotClient;

/// The first bot's trace, written to a file.
pub(super) struct Trace {
    file: RecordWriter,
    schema: u64,
    writer: Option<TraceWriter>,
}

impl Trace {
    /// Creates the file of a trace of states of the given schema.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(super) fn start(path: &Path, schema: u64) -> io::Result<Self> {
        Ok(Self {
            file: RecordWriter::start_whole(path)?,
            schema,
            writer: None,
        })
    }

    /// Records what is new; an error ends the trace.
    pub(super) fn note(&mut self, bot: &BotClient) {
        let Some(client) = bot.runtime().id() else {
            return;
        };
        self.writer
            .get_or_insert_with(|| TraceWriter::begin(client, self.schema))
            .note(bot.runtime().buffer());
    }

    pub(super) fn keep(&mut self) -> io::Result<()> {
        let bytes = self
            .writer
            .as_mut()
            .map(TraceWriter::take)
            .unwrap_or_default();
        keep(
            &mut self.file,
            bytes,
            "the first bot's trace cannot be written",
        )
    }

    /// Writes what is left and closes the file.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.keep()?;
        self.file.finish()?;
        Ok(())
    }
}

/// Packets, written to a file.
pub(super) struct Capture {
    file: RecordWriter,
    pub(super) writer: CaptureWriter,
}

impl Capture {
    /// Creates the file of a capture of packets of the given schema.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(super) fn start(path: &Path, schema: u64) -> io::Result<Self> {
        Ok(Self {
            file: RecordWriter::start_whole(path)?,
            writer: CaptureWriter::begin(schema),
        })
    }

    pub(super) fn keep(&mut self) -> io::Result<()> {
        keep(
            &mut self.file,
            self.writer.take(),
            "the capture cannot be written",
        )
    }

    /// Writes what is left and closes the file.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.keep()?;
        self.file.finish()?;
        Ok(())
    }
}

fn keep(file: &mut RecordWriter, bytes: Vec<u8>, complaint: &'static str) -> io::Result<()> {
    match file.keep(Chunk { segment: 0, bytes }) {
        true => Ok(()),
        false => Err(io::Error::other(complaint)),
    }
}
