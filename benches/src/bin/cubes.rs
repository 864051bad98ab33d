//! 901 cubes at 60 Hz: each frame is encoded against the one six frames before and those
//! acknowledged with it.
//!
//! `cargo run --release -p truetick-benches --bin cubes -- --trace FILE --json PATH`; the keys are
//! described in benches/README.md.

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;
use serde_json::{Value, json};
use truetick_benches::bodies_link::{FIRST, send_over};
use truetick_benches::report::give;
use truetick_benches::traces::{CUBES, FLOORS, pasts, read_trace};
use truetick_rigid_body::model::Model;
use truetick_rigid_body::{Bodies, Body, PastTicks};
use truetick_transport::clock;

/// Bytes and time of 901 cubes in contact
#[derive(Parser)]
struct Arguments {
    /// File of the trace (.bin or .zst)
    #[arg(long)]
    trace: PathBuf,
    /// Number of runs over the trace; the median counts
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Write the report as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let trace = read_trace(&arguments.trace)?;
    if trace.len() <= FIRST {
        return Err("a trace needs more than six frames".into());
    }
    let mut report = point(&trace, Model::fast(), arguments.repeats)?;
    report["dense"] = point(&trace, Model::dense(), arguments.repeats)?;
    report["frames"] = (trace.len() - FIRST).into();
    give(&report, arguments.json.as_deref())
}

/// Rate in kilobits per second at 60 Hz, from the mean size of a frame.
fn kbps(bytes: usize, frames: usize) -> f64 {
    bytes as f64 / frames as f64 * 0.48
}

fn point(
    trace: &[Vec<Body>],
    model: &'static Model,
    repeats: usize,
) -> Result<Value, Box<dyn Error>> {
    let (mut encoder, mut decoder) = (Bodies::new(model, FLOORS), Bodies::new(model, FLOORS));
    let frames = trace.len() - FIRST;
    let (mut encode, mut decode) = (Vec::new(), Vec::new());
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    let mut equal = true;
    for _ in 0..repeats.max(1) {
        (bytes, ends) = (Vec::new(), vec![0]);
        let start = clock::thread_cpu();
        for (frame, now) in trace.iter().enumerate().skip(FIRST) {
            encoder.encode(&pasts(trace, frame, PastTicks::whole(6)), now, &mut bytes)?;
            ends.push(bytes.len());
        }
        encode.push((clock::thread_cpu() - start).as_nanos() as f64 / (frames * CUBES) as f64);
        let start = clock::thread_cpu();
        for (frame, now) in trace.iter().enumerate().skip(FIRST) {
            let block = &bytes[ends[frame - FIRST]..ends[frame - FIRST + 1]];
            equal &= decoder.decode(block, |ticks| Some(pasts(trace, frame, ticks)))? == now;
        }
        decode.push((clock::thread_cpu() - start).as_nanos() as f64 / (frames * CUBES) as f64);
    }
    let largest = ends
        .windows(2)
        .map(|ends| ends[1] - ends[0])
        .max()
        .unwrap_or(0);
    let loss = [0.0, 0.01, 0.05, 0.1].map(|loss| loss_row(trace, model, loss));
    let loss = loss.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(json!({
        "kbps": kbps(bytes.len(), frames),
        "bytes_per_frame": bytes.len() as f64 / frames as f64,
        "largest_frame_bytes": largest,
        "encode_ns_per_entity": median(encode),
        "decode_ns_per_entity": median(decode),
        "round_trip_ok": equal,
        "loss": loss,
    }))
}

fn loss_row(
    trace: &[Vec<Body>],
    model: &'static Model,
    loss: f64,
) -> Result<Value, Box<dyn Error>> {
    let outcome = send_over(trace, model, loss, 7)?;
    Ok(json!({
        "loss": loss,
        "kbps": kbps(outcome.bytes, outcome.frames),
        "frames_decoded": outcome.decoded,
        "frames_lost": outcome.lost,
        "mean_baseline_age": outcome.ages as f64 / outcome.frames as f64,
        "pasts_with_gaps": outcome.gapped as f64 / outcome.frames as f64,
        "round_trip_ok": outcome.wrong == 0 && outcome.decoded + outcome.lost == outcome.frames,
    }))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
