//! The contract between a journal and a disk: a folder of files that are written in place.

use std::io;

/// A folder of files. Nothing is sure to survive a power failure before it is synced.
pub trait Disk: Send {
    /// Names of the files.
    ///
    /// # Errors
    /// If the folder cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Reads a whole file.
    ///
    /// # Errors
    /// If the file does not exist or cannot be read.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Makes a new file of these bytes, followed by zeros up to `length`. It is durable, and either
    /// whole or absent.
    ///
    /// # Errors
    /// `AlreadyExists` if there is such a file, or the error of the disk.
    fn create(&mut self, name: &str, bytes: &[u8], length: usize) -> io::Result<()>;

    /// Opens an existing file, so that writing to it needs no further resources of the system.
    ///
    /// # Errors
    /// If the file does not exist or cannot be opened.
    fn open(&mut self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    /// Writes into a file. Data past the end of the file extends it.
    ///
    /// # Errors
    /// If the file does not exist or cannot be written.
    fn write(&mut self, name: &str, at: usize, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written to a file durable.
    ///
    /// # Errors
    /// After an error it is unknown what the disk holds, and another attempt does not show it.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Makes an existing file durable, including its name.
    ///
    /// # Errors
    /// If the disk fails.
    fn secure(&mut self, name: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// If the file does not exist or cannot be removed.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}
