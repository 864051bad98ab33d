//! `crash`: a real server that is killed repeatedly under load, with damage to the end of its
//! journal; then all messages to clients are compared with the journal.

mod house;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::json;
use tempfile::tempdir;
use truetick_auction::money::Amount;
use truetick_client_sim::auction::bidder::Bidder;
use truetick_client_sim::auction::crowd::{Crowd, CrowdConfig};
use truetick_client_sim::auction::strategy::{House, Strategy};
use truetick_client_sim::connect_options::ConnectOptions;
use truetick_client_sim::token_source::TokenSource;
use truetick_netcode::session::UserId;
use truetick_server::auction::audit::Audit;
use truetick_server::auction::entry::HouseReplica;
use truetick_server::files::folder::FolderDisk;
use truetick_server::files::write_text;
use truetick_server::journal::disk::Disk;
use truetick_server::journal::open::{read, read_all};
use truetick_server::journal::segment::{self, FRAMES, Mark, SegmentId};
use truetick_tests::auction::check::{Compared, compare};
use truetick_transport::clock;

use house::{HouseProcess, KEEPER, key};

/// Kill an auction server repeatedly and check that nothing it acknowledged is lost
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Number of kills
    #[arg(long, value_name = "N", default_value_t = 100)]
    kills: u64,
    /// Seed of the times of the kills and of the clients' behaviour
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Write the results as JSON to this file
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Let the server answer `accepted` before it writes: the defect that must be found
    #[arg(long)]
    hasty: bool,
    /// Folder of the killed process
    #[arg(long, hide = true, value_name = "DIR")]
    serve: Option<PathBuf>,
    /// Address of the killed process
    #[arg(long, hide = true, value_name = "ADDRESS", requires = "serve")]
    listen: Option<SocketAddr>,
}

type Done<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match (&arguments.serve, arguments.listen) {
        (Some(data), Some(listen)) => house::serve(data, listen, arguments.hasty).map(|()| true),
        _ => crash(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// The clients: bidders of all strategies, watchers, and the administrator.
fn crowd(seed: u64, listen: SocketAddr) -> Done<Crowd> {
    let bidders = (0..24).map(|place| (UserId(place + 1), Strategy::of(place as usize)));
    let watchers = (0..6).map(|place| (UserId((1 << 42) + place), Strategy::Watcher));
    let bidders = std::iter::once((KEEPER, Strategy::Keeper))
        .chain(bidders)
        .chain(watchers)
        .collect();
    let house = House {
        accounts: 24,
        deposit: Amount(50_000_000),
        lots: 8,
        duration: 240,
        rate: 60,
        only_english: false,
    };
    let config = CrowdConfig {
        connect_options: ConnectOptions::Udp,
        room: 0,
        relay: None,
        bidders,
        house,
        pace: 10.0,
        seed,
        keep_events: true,
    };
    let mut secret = [0; 32];
    secret[..8].copy_from_slice(&clock::unix_now().as_millis().to_le_bytes());
    let issuer = house::config(listen).issuer(key(), vec![listen]);
    Ok(Crowd::start(&config, TokenSource::new(issuer, secret))?)
}

fn crash(arguments: &Arguments) -> Done<bool> {
    let folder = tempdir()?;
    let data = folder.path().join("auction");
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(arguments.seed);
    let listen = house::free_address()?;
    let mut server = HouseProcess::start(&data, listen, arguments.hasty)?;
    let crowd = crowd(arguments.seed, listen)?;
    clock::sleep(Duration::from_secs(2));
    let (mut damaged, mut unmarked) = (0u64, 0u64);
    for kill in 1..=arguments.kills {
        clock::sleep(Duration::from_micros(rng.random_range(700_000..1_800_000)));
        server.kill()?;
        let (was_damaged, was_written) = damage(&data, &mut rng)?;
        damaged += u64::from(was_damaged);
        unmarked += u64::from(was_written);
        server = HouseProcess::start(&data, listen, arguments.hasty)?;
        if kill % 10 == 0 {
            let figures = crowd.figures();
            let answers = figures.accepted + figures.rejected;
            println!(
                "{kill} kills, {answers} answers, {} in the room",
                figures.joined
            );
        }
    }
    println!("calm");
    crowd.be_still();
    // Longer than a session's timeout, so that clients that lost the server before they got a
    // ticket also return.
    clock::sleep(Duration::from_secs(16));
    let (figures, bidders) = crowd.stop()?;
    clock::sleep(Duration::from_millis(500));
    server.kill()?;
    let (audit, compared, hash_equal) = inspect(&data, &bidders)?;
    let wrong: Vec<&String> = audit.findings.iter().chain(&compared.wrong).collect();
    wrong
        .iter()
        .take(10)
        .for_each(|wrong| println!("WRONG {wrong}"));
    let result = json!({
        "kills": arguments.kills,
        "acked": compared.answered,
        "lost": compared.lost,
        "duplicated": decided_twice(&audit) + compared.changed,
        "conserved": is_money_conserved(&audit),
        "hash_equal": hash_equal,
        "seen": compared.seen,
        "unanswered": figures.unanswered,
        "openings": audit.openings,
        "ends_damaged": damaged,
        "ends_written_but_not_marked": unmarked,
        "wrong": wrong.len(),
    });
    println!("{}", serde_json::to_string_pretty(&result)?);
    if let Some(path) = &arguments.json {
        write_text(path, &serde_json::to_string_pretty(&result)?)?;
    }
    Ok(wrong.is_empty() && hash_equal && figures.unanswered == 0)
}

/// Number of commands that the journal decides twice.
fn decided_twice(audit: &Audit) -> u64 {
    let is_twice = |finding: &&String| finding.contains("decided twice");
    audit.findings.iter().filter(is_twice).count() as u64
}

/// Whether no finding of the audit is about money.
fn is_money_conserved(audit: &Audit) -> bool {
    let money = ["balance", "was paid", "stands behind"];
    !audit
        .findings
        .iter()
        .any(|finding| money.iter().any(|word| finding.contains(word)))
}

/// Reads the journal twice, from its beginning and from its newest snapshot, and compares.
fn inspect(data: &Path, bidders: &[Bidder]) -> Done<(Audit, Compared, bool)> {
    let disk = FolderDisk::look(data)?;
    let (mut audit, mut replica) = (Audit::default(), HouseReplica::default());
    read_all(&disk, &mut audit)?.ok_or("there is no journal")?;
    audit.finish();
    read(&disk, &mut replica)?.ok_or("there is no journal")?;
    let hashes = [audit.house(), replica.house()].map(|house| house.map(|house| house.hash_anew()));
    let compared = compare(&audit, bidders.iter());
    Ok((
        audit,
        compared,
        hashes[0].is_some() && hashes[0] == hashes[1],
    ))
}

/// Usually damages the bytes past the last durable one. Returns whether it did, and whether
/// something had been written there.
fn damage(data: &Path, rng: &mut Xoshiro256PlusPlus) -> Done<(bool, bool)> {
    let mut disk = FolderDisk::open(data)?;
    let mut numbers: Vec<u64> = disk
        .list()?
        .iter()
        .filter_map(|name| segment::number(name))
        .collect();
    numbers.sort_unstable();
    let (mut was_damaged, mut was_written) = (false, false);
    for number in numbers.iter().rev().take(2) {
        let name = segment::name(*number);
        let bytes = disk.read(&name)?;
        let Some(journal) = segment::journal_of(&bytes, *number) else {
            continue;
        };
        let segment = SegmentId {
            journal,
            number: *number,
        };
        let end = Mark::newest(&bytes, segment).map_or(FRAMES, |mark| mark.end);
        // The segment before the newest marked one is sealed past its mark, which is durable too.
        if *number + 1 == numbers[numbers.len() - 1]
            && is_marked(&disk, numbers[numbers.len() - 1])?
        {
            break;
        }
        was_written |= bytes[end..].iter().any(|byte| *byte != 0);
        let mut spoil = vec![0; rng.random_range(1..3_000).min(bytes.len() - end)];
        rng.fill_bytes(&mut spoil);
        let at = end
            + rng
                .random_range(0..200)
                .min(bytes.len() - end - spoil.len());
        let how = rng.random_range(0..3);
        was_damaged |= how > 0;
        match how {
            0 => {}
            1 => disk.write(&name, at, &spoil)?,
            _ => {
                let flipped = bytes
                    .get(at)
                    .map_or(1, |byte| byte ^ 1 << rng.random_range(0..8));
                disk.write(&name, at, &[flipped])?;
            }
        }
    }
    Ok((was_damaged, was_written))
}

fn is_marked(disk: &FolderDisk, number: u64) -> Done<bool> {
    let bytes = disk.read(&segment::name(number))?;
    let journal = segment::journal_of(&bytes, number).ok_or("a segment without a header")?;
    Ok(Mark::newest(&bytes, SegmentId { journal, number }).is_some())
}
