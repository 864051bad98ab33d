//! Checks that every test named in the catalogue of bad input, `BAD_INPUT.md`, exists.

use std::path::Path;

use truetick_server::files::read_text;

const CATALOGUE: &str = include_str!("BAD_INPUT.md");

/// Rows of the first table, each of which names at least one test.
const ROWS: std::ops::RangeInclusive<u32> = 1..=55;

/// First row of those found by experiment; their tests are named after the invariant.
const FIRST_TRIED: u32 = 57;

/// The catalogue's rows as (line, claims). A claim is a file and the beginning of a test's name.
fn rows() -> Vec<(u32, Vec<(String, String)>)> {
    let cells = CATALOGUE
        .lines()
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let rows = cells.filter_map(|cells| {
        Some((
            cells.get(1)?.strip_prefix("BI-")?.parse().ok()?,
            cells.get(4)?.to_string(),
        ))
    });
    let rows = rows.filter(|(line, _)| *line < FIRST_TRIED);
    let claims = |cell: String| {
        let each = cell
            .split(", ")
            .filter_map(|claim| claim.strip_prefix('`')?.split_once("` "));
        each.map(|(file, test)| (file.to_string(), test.to_string()))
            .collect()
    };
    rows.map(|(line, cell)| (line, claims(cell))).collect()
}

#[test]
fn the_catalogue_is_whole() {
    let lines: Vec<u32> = rows().iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, ROWS.collect::<Vec<_>>());
}

#[test]
fn every_test_that_the_catalogue_names_is_there() {
    let mut without = Vec::new();
    for (line, claims) in rows() {
        if claims.is_empty() {
            without.push(line);
        }
        for (file, test) in claims {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&file);
            let text = read_text(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
            let named = text.contains(&format!("#[test]\n    fn {test}_"))
                || text.contains(&format!("#[test]\nfn {test}_"));
            assert!(
                named && test == format!("line_{line:02}"),
                "{file} has no test {test} for line {line}"
            );
        }
    }
    assert_eq!(without, Vec::<u32>::new(), "rows without a test");
}

#[test]
fn every_test_of_what_was_found_by_trying_is_there() {
    let tried = CATALOGUE
        .split_once("## Found by trying")
        .expect("the second table")
        .1;
    let claims: Vec<(&str, &str)> = tried
        .lines()
        .filter_map(|line| line.split('|').map(str::trim).nth(4))
        .flat_map(|cell| cell.split(", "))
        .filter_map(|claim| claim.strip_prefix('`')?.split_once('`'))
        .collect();
    assert!(claims.len() > 50, "only {} claims", claims.len());
    for (file, test) in claims {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let text = read_text(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let test = test.trim();
        assert!(
            test.is_empty() || text.contains(&format!("fn {test}(")),
            "{file} has no test {test}"
        );
    }
}
