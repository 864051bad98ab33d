//! The command line of `cargo simulate`.

use std::process::{Command, Output};

use truetick_server::files::read_text;

fn simulator(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulator"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

#[test]
fn many_seeds_give_a_summary_for_people_and_one_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let output = simulator(&[
        "--seeds",
        "4",
        "--start",
        "9",
        "--json",
        path.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("0 failed"), "{}", text(&output));
    let json: serde_json::Value = serde_json::from_str(&read_text(&path).unwrap()).unwrap();
    assert!(json["seeds"].as_u64().unwrap() >= 4);
    assert_eq!(json["failures"], 0);
    assert!(json["client_hours_per_core_hour"].as_f64().unwrap() > 0.0);
    assert!(json["marks_missed"].is_array());
}

#[test]
fn one_seed_tells_its_plan_its_faults_and_its_marks() {
    let output = simulator(&["--seed", "3", "--clients", "2"]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for words in ["seed 3:", "healed", "fault 0", "All is well."] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    assert_eq!(said, text(&simulator(&["--seed", "3", "--clients", "2"])));
}

#[test]
fn a_seed_that_does_not_fail_cannot_be_made_smaller() {
    let output = simulator(&["--minimise", "3"]);
    assert!(!output.status.success());
    assert!(text(&output).contains("does not fail"), "{}", text(&output));
}
