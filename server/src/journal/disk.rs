//! What a journal asks of a disk: a folder of files that are written in place.

use std::io;

/// A folder. Nothing is sure to survive a power cut before it is synced.
pub trait Disk: Send {
    /// Names of the files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Reads a file whole.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Makes a file that was not there, of these bytes and zeros up to `length`, durably and whole:
    /// it is there or it is not.
    fn create(&mut self, name: &str, bytes: &[u8], length: usize) -> io::Result<()>;

    /// Opens a file that is there, so that writing to it needs nothing of the system any more.
    fn open(&mut self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    /// Writes into a file; what lies past its end grows it.
    fn write(&mut self, name: &str, at: usize, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written to a file durable. After an error nothing is known of what was
    /// written, and trying again tells nothing either.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Makes a file that is there durable, its name included.
    fn secure(&mut self, name: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}
