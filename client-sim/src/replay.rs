//! `truetick-sim replay`: runs a recording again, prints its world, or compares two recordings.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use truetick_arena::ArenaCommand;
use truetick_netcode::messages::MismatchReport;
use truetick_netcode::schema::Schema;
use truetick_netcode::session::ClientId;
use truetick_netcode::tick::Tick;
use truetick_server::arena::{self, ArenaConfig, ArenaGame};
use truetick_server::files::{read_bytes, read_segments, write_new};
use truetick_server::game::Game;
use truetick_server::recording::build_hash;
use truetick_server::recording::client_trace::ClientTrace;
use truetick_server::recording::compare::compare;
use truetick_server::recording::difference::{Divergence, explain};
use truetick_server::recording::record::{Header, join};
use truetick_server::recording::records::End;
use truetick_server::recording::replay::{
    Replayed, Stage, first_difference, header, read_stages, replay, stages, write_stages,
};
use truetick_server::simulation::Simulation;
use truetick_transport::clock;

use crate::world_dump::world_dump;

/// Options of the replay.
#[derive(Args, Clone, Debug)]
pub struct ReplayOptions {
    /// The recording; its older segments are found beside it
    #[arg(value_name = "FILE", required_unless_present = "diff")]
    pub file: Option<PathBuf>,
    /// Stop after this tick
    #[arg(long, value_name = "TICK")]
    pub until: Option<u32>,
    /// Print the world at the end
    #[arg(long)]
    pub dump: bool,
    /// Write the world after each stage of the tick named by --until, for --diff
    #[arg(long, value_name = "OUT", requires = "until")]
    pub stages: Option<PathBuf>,
    /// Compare what a client held (see `bots --trace`) with the world of the recording
    #[arg(long, value_name = "TRACE")]
    pub client: Option<PathBuf>,
    /// Compare two recordings, or two files of stages
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with_all = ["file", "until", "dump", "stages", "client"])]
    pub diff: Option<Vec<PathBuf>>,
}

/// Whether all was equal, or why that cannot be decided.
pub type Outcome = Result<bool, Box<dyn Error>>;

/// Runs the command. Returns false if something differs.
///
/// # Errors
/// A file cannot be read or written, or is not of a known game and schema.
pub fn run(options: &ReplayOptions) -> Outcome {
    match (&options.diff, &options.file) {
        (Some(files), _) => diff(&files[0], &files[1]),
        (None, Some(file)) => again(file, options),
        (None, None) => Err("a recording is needed".into()),
    }
}

/// Puts the file's name before an error.
fn named(path: &Path) -> impl Fn(&dyn std::fmt::Display) -> String {
    let path = path.display().to_string();
    move |error| format!("{path}: {error}")
}

/// The segments of the recording, and the header of the first.
fn read(path: &Path) -> Result<(Vec<Vec<u8>>, Header), String> {
    let name = named(path);
    let files = read_segments(path).map_err(|error| name(&error))?;
    let (found, segments) = (files.len(), join(files).map_err(|error| name(&error))?);
    let header = header::<ArenaCommand>(&segments).map_err(|error| name(&error))?;
    if segments.len() < found {
        crate::tell!(
            "{}: {} older or unfinished file(s) are not of this recording.",
            path.display(),
            found - segments.len()
        );
    }
    if header.segment > 0 {
        crate::tell!(
            "{}: its first {} segment(s) were removed by rotation.",
            path.display(),
            header.segment
        );
    }
    Ok((segments, header))
}

/// The game of a recording, with its settings.
fn game(path: &Path, header: &Header) -> Result<Arc<ArenaGame>, Box<dyn Error>> {
    if header.game != arena::NAME {
        return Err(format!(
            "{} is of the game `{}`, which is not known here",
            path.display(),
            header.game
        )
        .into());
    }
    let config: ArenaConfig = bitcode::decode(&header.setup)
        .map_err(|_| format!("{}: the game's settings cannot be read", path.display()))?;
    Ok(Arc::new(ArenaGame::new(config)?))
}

fn again(path: &Path, options: &ReplayOptions) -> Outcome {
    let ((segments, header), name) = (read(path)?, named(path));
    let game = game(path, &header)?;
    introduce(path, &segments, &header);
    let until = options.until.map(Tick);
    if let (Some(out), Some(tick)) = (&options.stages, until) {
        let (stages, parted) = stages(&game, &segments, tick).map_err(|error| name(&error))?;
        write_new(out, &write_stages(&header, &stages))
            .map_err(|error| format!("cannot write {}: {error}", out.display()))?;
        crate::tell!(
            "The world after each of the {} stages of tick {tick} is in {}.",
            stages.len(),
            out.display()
        );
        if let Some(parted) = parted {
            crate::tell!(
                "But this run differs from the recording from tick {parted} on: ask for the stages of that tick."
            );
        }
        return Ok(parted.is_none());
    }
    let mut trace = options
        .client
        .as_deref()
        .map(|path| TraceCheck::read(path, header.schema))
        .transpose()?;
    let started = clock::now();
    let mut told = started;
    let replayed = replay(&game, &segments, until, |simulation| {
        if let Some(trace) = &mut trace {
            trace.compare(simulation);
        }
        if simulation.tick().0.is_multiple_of(256)
            && clock::now().since(told) > Duration::from_secs(1)
        {
            told = clock::now();
            crate::tell!("tick {}", simulation.tick());
        }
    })
    .map_err(|error| name(&error))?;
    conclude(&replayed, &header, clock::now().since(started));
    let held = trace.is_none_or(TraceCheck::conclude);
    if let (true, Some(simulation)) = (options.dump, &replayed.simulation) {
        show(&world_dump(simulation))?;
    }
    Ok(replayed.divergence.is_none() && !matches!(replayed.end, Some(End::Damaged(..))) && held)
}

/// A client's trace that is compared with a replay.
struct TraceCheck {
    client: ClientId,
    held: std::iter::Peekable<std::vec::IntoIter<MismatchReport>>,
    compared: usize,
    divergence: Option<Divergence>,
}

impl TraceCheck {
    fn read(path: &Path, schema: u64) -> Result<Self, String> {
        let name = named(path);
        let bytes = read_bytes(path).map_err(|error| name(&error))?;
        let trace = ClientTrace::read(&bytes).map_err(|error| name(&error))?;
        if trace.schema != schema {
            return Err(format!(
                "{} is of another schema than the recording",
                path.display()
            ));
        }
        let held = trace.held.into_iter().peekable();
        Ok(Self {
            client: trace.client,
            held,
            compared: 0,
            divergence: None,
        })
    }

    /// Compares what the client held of this tick's world and of earlier ones.
    fn compare(&mut self, simulation: &Simulation<ArenaGame>) {
        while let Some(report) = self
            .held
            .next_if(|report| !Tick(report.tick).is_after(simulation.tick()))
        {
            let schema = simulation.registry().schema();
            let found = explain(schema, simulation.ring(), self.client, &report);
            self.compared += report.entities.len();
            if self.divergence.is_none() && !found.differences.is_empty() {
                self.divergence = Some(found);
            }
        }
    }

    /// Prints the result. Returns whether the client held the server's states.
    fn conclude(self) -> bool {
        crate::tell!(
            "Client {} held {} versions of entities meanwhile.",
            self.client.0,
            self.compared
        );
        match &self.divergence {
            None => crate::tell!("Each is what the server had."),
            Some(divergence) => crate::tell!("{divergence}\n(left: the server, right: the client)"),
        }
        self.divergence.is_none()
    }
}

fn introduce(path: &Path, segments: &[Vec<u8>], header: &Header) {
    let bytes: usize = segments.iter().map(Vec::len).sum();
    crate::tell!(
        "{}: {} at {} Hz, seed {}, {} segment(s), {:.1} MB",
        path.display(),
        header.game,
        header.tick_rate,
        header.seed,
        segments.len(),
        bytes as f64 / 1e6
    );
    if header.build != build_hash() {
        crate::tell!(
            "It was made by another build ({:016x}, this is {:016x}): where rules changed, hashes differ.",
            header.build,
            build_hash()
        );
    }
}

fn conclude<G: Game>(replayed: &Replayed<G>, header: &Header, took: Duration) {
    let played = replayed.ticks as f64 / f64::from(header.tick_rate.max(1));
    crate::tell!(
        "{} ticks ({played:.1} s of play) ran again in {:.2} s, {:.0} times faster.",
        replayed.ticks,
        took.as_secs_f64(),
        played / took.as_secs_f64().max(1e-9)
    );
    if let Some(end) = replayed.end.as_ref().filter(|end| **end != End::Finished) {
        crate::tell!("The recording ends there: {end}.");
    }
    match &replayed.divergence {
        None if replayed.ticks == 0 => crate::tell!("It holds no tick that could be compared."),
        None => crate::tell!("Every tick's hash is equal."),
        Some(divergence) => tell(divergence, "the recording", "this run"),
    }
}

/// Prints a long text. A reader that has closed the pipe is no error.
///
/// # Errors
/// Standard output cannot be written.
pub fn show(text: &str) -> std::io::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn tell(divergence: &Divergence, left: &str, right: &str) {
    crate::tell!("{divergence}\n(left: {left}, right: {right})");
    if divergence.stage.is_none() && divergence.inputs.is_empty() {
        crate::tell!(
            "To find the system: run `replay FILE --until {} --stages OUT` with each build, then `replay --diff OUT OUT`.",
            divergence.tick
        );
    }
}

fn diff(left: &Path, right: &Path) -> Outcome {
    let schema = ArenaGame::new(ArenaConfig::default())?
        .registry()?
        .schema()
        .clone();
    if let (Some(a), Some(b)) = (stages_of(left, &schema)?, stages_of(right, &schema)?) {
        let (left, right) = (
            StageFile {
                path: left,
                stages: &a,
            },
            StageFile {
                path: right,
                stages: &b,
            },
        );
        return diff_stages(left, right, &schema);
    }
    let ((a, one), (b, other)) = (read(left)?, read(right)?);
    game(left, &one)?;
    if one.schema != other.schema || one.schema != schema.hash() {
        return Err("the two are of different schemas, or of another than this build's".into());
    }
    if (&one.setup, one.seed, one.tick_rate) != (&other.setup, other.seed, other.tick_rate) {
        crate::tell!(
            "They are of rooms with different settings or seeds ({} and {}).",
            one.seed,
            other.seed
        );
    }
    let compared = compare::<ArenaCommand>(&a, &b, &schema)?;
    crate::tell!("{} ticks compared.", compared.ticks);
    if compared.ticks == 0 {
        return Err("the two recordings have no tick in common".into());
    }
    if let Some(divergence) = &compared.divergence {
        tell(
            divergence,
            &left.display().to_string(),
            &right.display().to_string(),
        );
        return Ok(false);
    }
    for ((path, only), end) in [(left, compared.only_left), (right, compared.only_right)]
        .iter()
        .zip(&compared.ends)
    {
        if *only > 0 {
            crate::tell!("Only {} holds another {only} tick(s).", path.display());
        }
        if *end != End::Finished {
            crate::tell!("{}: {end}.", path.display());
        }
    }
    crate::tell!("They are equal over the ticks that both hold.");
    Ok(compared.only_left + compared.only_right == 0)
}

fn stages_of(path: &Path, schema: &Schema) -> Result<Option<Vec<Stage>>, String> {
    let name = named(path);
    let bytes = read_bytes(path).map_err(|error| name(&error))?;
    Ok(read_stages(&bytes, schema).unwrap_or(None))
}

/// A file with the stages of one tick.
#[derive(Clone, Copy)]
struct StageFile<'a> {
    path: &'a Path,
    stages: &'a [Stage],
}

fn diff_stages(left: StageFile<'_>, right: StageFile<'_>, schema: &Schema) -> Outcome {
    let (a, b) = (left.stages, right.stages);
    let tick = |stages: &[Stage]| stages.first().map(|stage| stage.world.tick);
    if tick(a) != tick(b) {
        return Err(format!(
            "they are of different ticks: {:?} and {:?}",
            tick(a),
            tick(b)
        )
        .into());
    }
    crate::tell!("{} and {} stages compared.", a.len(), b.len());
    let divergence = first_difference(a, b, schema);
    match &divergence {
        None => crate::tell!("They are equal."),
        Some(divergence) => tell(
            divergence,
            &left.path.display().to_string(),
            &right.path.display().to_string(),
        ),
    }
    Ok(divergence.is_none() && a.len() == b.len())
}
