//! Recordings and captures on a disk: what is kept, what is refused.

use std::fs;

use tempfile::tempdir;

use super::segments::age_all;
use super::*;
use crate::frame::MAGIC;

fn record(path: &Path, keep: usize, segments: std::ops::Range<u8>) {
    let mut writer = RecordWriter::start(path, keep).unwrap();
    for (segment, content) in segments.enumerate() {
        for bytes in [MAGIC.to_vec(), vec![content]] {
            while !writer.keep(Chunk {
                segment: segment as u32,
                bytes: bytes.clone(),
            }) {
                thread::yield_now();
            }
        }
    }
    writer.finish().unwrap();
}

fn contents(path: &Path) -> Vec<u8> {
    read_segments(path)
        .unwrap()
        .iter()
        .map(|bytes| bytes[MAGIC.len()])
        .collect()
}

#[test]
fn segments_are_bounded_and_what_was_there_before_counts_as_older() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("room.rec");
    record(&path, 3, 0..5);
    assert_eq!(contents(&path), [2, 3, 4]);
    record(&path, 3, 10..11);
    assert_eq!(contents(&path), [3, 4, 10]);
    fs::remove_file(&path).unwrap();
    assert_eq!(contents(&path), [3, 4]);
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn recordings_and_captures_are_their_owners_alone() {
    let folder = tempdir().unwrap();
    let (recording, capture) = (
        folder.path().join("room.rec"),
        folder.path().join("room.cap"),
    );
    record(&recording, 3, 0..2);
    RecordWriter::start_whole(&capture)
        .unwrap()
        .finish()
        .unwrap();
    assert_eq!(
        [&recording, &segment_path(&recording, 1), &capture].map(|path| mode(path)),
        [0o600; 3]
    );
}

#[test]
fn an_earlier_capture_is_kept_beside_the_new_one() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("room.cap");
    for content in 1..=3 {
        let mut writer = RecordWriter::start_whole(&path).unwrap();
        assert!(writer.keep(Chunk {
            segment: 0,
            bytes: [&MAGIC[..], &[content]].concat()
        }));
        writer.finish().unwrap();
    }
    let kept = [0, 1, 2].map(|age| fs::read(segment_path(&path, age)).unwrap()[MAGIC.len()]);
    assert_eq!(kept, [3, 2, 1]);
    fs::write(segment_path(&path, SEGMENTS - 1), MAGIC).unwrap();
    assert!(RecordWriter::start_whole(&path).is_err());
    assert_eq!(fs::read(&path).unwrap()[MAGIC.len()], 3);
}

#[test]
fn no_link_is_followed() {
    let folder = tempdir().unwrap();
    let (target, link) = (folder.path().join("target"), folder.path().join("room.rec"));
    fs::write(&target, MAGIC).unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(RecordWriter::start(&link, 3).is_err() && RecordWriter::start_whole(&link).is_err());
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(folder.path().join("nowhere"), &link).unwrap();
    assert!(RecordWriter::start(&link, 3).is_err() && RecordWriter::start_whole(&link).is_err());
    assert_eq!(
        (
            fs::read(&target).unwrap(),
            folder.path().join("nowhere").exists()
        ),
        (MAGIC.to_vec(), false)
    );
}

/// The next file of the segment cannot be made until something is out of the way. As with a
/// full disk, the same chunk is appended again.
#[test]
fn a_chunk_that_could_not_be_appended_is_appended_again() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("room.rec");
    let chunk = |segment, content: u8| Chunk {
        segment,
        bytes: [&MAGIC[..], &[content]].concat(),
    };
    let mut files = SegmentFiles::begin(&path, 3).unwrap();
    files.append(&chunk(0, 1)).unwrap();
    // As if the file had been renamed and the next one could not be made.
    files.sync().unwrap();
    age_all(&path, 3).unwrap();
    files.aged = true;
    files.append(&chunk(1, 2)).unwrap();
    assert_eq!(contents(&path), [1, 2]);
}

#[test]
fn memory_is_bounded_while_the_disk_is_slow() {
    let (chunks, _take) = sync_channel(CHUNKS);
    let thread = thread::spawn(|| Ok(()));
    let mut writer = RecordWriter {
        chunks,
        shared: Arc::default(),
        thread,
    };
    let half = || Chunk {
        segment: 0,
        bytes: vec![0; WAITING_BYTES / 2],
    };
    assert!(writer.keep(half()) && writer.keep(half()) && !writer.keep(half()));
}

#[test]
fn what_is_no_recording_is_left_as_it_is() {
    let folder = tempdir().unwrap();
    let (path, older) = (
        folder.path().join("room.rec"),
        folder.path().join("room.rec.1"),
    );
    fs::write(&path, "a thesis").unwrap();
    assert!(RecordWriter::start(&path, 3).is_err());
    fs::remove_file(&path).unwrap();
    record(&path, 3, 0..1);
    fs::write(&older, "another").unwrap();
    assert!(RecordWriter::start(&path, 3).is_err());
    assert_eq!(fs::read(&older).unwrap(), b"another");
    fs::remove_file(&older).unwrap();
    let _first = RecordWriter::start(&path, 3).unwrap();
    assert!(
        RecordWriter::start(&path, 3)
            .is_err_and(|error| error.to_string().contains("another process"))
    );
}
