//! A live table: redrawn in place on a terminal, plain lines elsewhere.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use crate::say;

/// Shows texts, each in place of the last one.
pub(crate) struct LiveTable {
    terminal: bool,
    lines: usize,
}

impl Default for LiveTable {
    fn default() -> Self {
        Self {
            terminal: io::stdout().is_terminal(),
            lines: 0,
        }
    }
}

impl LiveTable {
    /// Shows rows on a terminal, and `line` elsewhere.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn show(&mut self, line: &str, full: impl FnOnce(&mut Rows)) -> io::Result<()> {
        let mut out = say::out();
        if !self.terminal {
            return out.write_all(format!("{line}\n").as_bytes());
        }
        let mut rows = Rows::new(true);
        full(&mut rows);
        if self.lines > 0 {
            rows.text
                .insert_str(0, &format!("\x1b[{}F\x1b[0J", self.lines));
        }
        self.lines = rows.text.lines().count();
        out.write_all(rows.text.as_bytes())
    }

    /// Shows the last rows.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn finish(&mut self, full: impl FnOnce(&mut Rows)) -> io::Result<()> {
        if self.terminal {
            return self.show("", full);
        }
        let mut rows = Rows::new(false);
        full(&mut rows);
        say::out().write_all(format!("\n{}", rows.text).as_bytes())
    }
}

/// The rows of a table.
pub struct Rows {
    text: String,
    colour: bool,
    /// Longer lines are cut: a wrapped line would break the redrawing.
    columns: usize,
}

impl Rows {
    fn new(colour: bool) -> Self {
        let columns = if colour { terminal_columns() } else { None };
        Self {
            text: String::new(),
            colour,
            columns: columns.unwrap_or(usize::MAX),
        }
    }

    /// Adds a title.
    pub fn title(&mut self, title: &str) {
        let title = cut(title, self.columns);
        let _ = match self.colour {
            true => writeln!(self.text, "\x1b[1m{title}\x1b[0m"),
            false => writeln!(self.text, "{title}"),
        };
    }

    /// Adds a named value. Further lines of one name have an empty name.
    pub fn row(&mut self, name: &str, value: &str) {
        let value = cut(value, self.columns.saturating_sub(14));
        let _ = match self.colour {
            true => writeln!(self.text, "  \x1b[36m{name:<11}\x1b[0m {value}"),
            false => writeln!(self.text, "  {name:<11} {value}"),
        };
    }
}

fn cut(text: &str, columns: usize) -> String {
    text.chars().take(columns).collect()
}

/// Columns of the terminal on standard output, if there is one.
fn terminal_columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 20)
}
