//! Whether those who look at the rows of a round would see it if there was something to see: one row is lost, duplicated or altered in the
//! files as the round has left them, and exactly that must be found.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Kind, Round, examine, trouble::Random};

/// What is done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    Lost,
    Duplicated,
    /// The number in it that counts, or that is money, is one more, or one less if it was negative.
    Altered,
}

impl Harm {
    const ALL: [Self; 3] = [Self::Lost, Self::Duplicated, Self::Altered];

    /// What stands instead of the row.
    fn of(self, row: &str) -> Result<String> {
        Ok(match self {
            Self::Lost => String::new(),
            Self::Duplicated => format!("{row}{row}"),
            Self::Altered => altered(row)?,
        })
    }

    /// Rows that are lost and duplicated then.
    fn found(self) -> (u64, u64) {
        match self {
            Self::Lost => (1, 0),
            Self::Duplicated => (0, 1),
            Self::Altered => (1, 1),
        }
    }

    /// What is wrong with the money then: how each violation begins.
    fn violations(self, row: &Value, transfers: u64) -> Result<Vec<String>> {
        let sums = "balances are not the sums of bookings".to_owned();
        let Some(leg) = row["leg"].as_str() else {
            let balance = number(row, "balance")?;
            let other = "the balances at the end add up to".to_owned();
            return Ok(match self {
                Self::Duplicated => vec!["it is there 2 times".to_owned()],
                Self::Lost if balance == 0 => vec![sums],
                Self::Lost | Self::Altered => vec![sums, other],
            });
        };
        let transfer = number(row, "transfer")?;
        let count = (leg == "debit").then(|| format!("there are {} transfers, not {transfers}", transfers - 1));
        Ok(match self {
            Self::Duplicated => vec!["it is there 2 times".to_owned()],
            Self::Altered => vec![format!("transfer {transfer} takes "), sums],
            Self::Lost => {
                [format!("transfer {transfer} has no {leg}")].into_iter().chain(count).chain([sums]).collect()
            }
        })
    }
}

/// An error if one row is lost, duplicated or altered and anything else is found than that. The files are as before then.
pub(super) fn check(round: &Round, random: &mut Random) -> Result<()> {
    for harm in Harm::ALL {
        let path = drawn_file(&round.disturbed(), random)?;
        let before = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        let rows: Vec<&str> = before.split_inclusive('\n').collect();
        let place = random.between(0, rows.len() as u64 - 1) as usize;
        let row = rows[place];
        let after = [&rows[..place].concat(), &harm.of(row)?, &rows[place + 1..].concat()].map(String::as_str).concat();
        let write = |text: &str| fs::write(&path, text).with_context(|| format!("could not write {}", path.display()));
        write(&after)?;
        let found = examine(round);
        write(&before)?;
        let found = found?;
        let expected = match round.kind {
            Kind::Bank => harm.violations(&serde_json::from_str(row).context("a row is no JSON")?, round.events)?,
            Kind::Ledger | Kind::Totals => Vec::new(),
        };
        let is_each = found.violations.iter().zip(&expected).all(|(found, expected)| found.starts_with(expected));
        ensure!(
            (found.lost, found.duplicated) == harm.found() && found.violations.len() == expected.len() && is_each,
            "the oracle does not bite: {row:?} was {harm:?}, and {} rows were found lost, {} duplicated, {:?} violations instead of \
             {expected:?}",
            found.lost,
            found.duplicated,
            found.violations
        );
    }
    Ok(())
}

/// One of the files that have rows.
fn drawn_file(folder: &Path, random: &mut Random) -> Result<PathBuf> {
    let mut paths = super::visible(folder)?;
    paths.retain(|path| path.metadata().is_ok_and(|file| file.len() > 0));
    paths.sort();
    ensure!(!paths.is_empty(), "no file in {} has rows", folder.display());
    Ok(paths.swap_remove(random.between(0, paths.len() as u64 - 1) as usize))
}

/// The same row with another amount, balance or count.
fn altered(row: &str) -> Result<String> {
    let mut value: Value = serde_json::from_str(row).with_context(|| format!("{row} is no JSON"))?;
    let name = ["amount", "balance", "count"].into_iter().find(|name| value[name].is_i64());
    let name = name.with_context(|| format!("{row} has no number to alter"))?;
    let before = number(&value, name)?;
    value[name] = (before + if before < 0 { -1 } else { 1 }).into();
    Ok(format!("{value}\n"))
}

fn number(row: &Value, name: &str) -> Result<i64> {
    row[name].as_i64().with_context(|| format!("`{name}` is no number"))
}
