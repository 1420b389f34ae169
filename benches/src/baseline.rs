//! Ratios of an earlier run, to compare with: whether a change made calls dearer.
//!
//! Times differ from machine to machine, and on one machine from hour to hour. The ratio to what was measured beside it
//! in the same run (the floor, a native server, the plain call) differs less. So ratios are kept, and compared with some room.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::table::{Table, number};

/// By how much a ratio may be above the baseline's: runs of the same program differ by up to 6 %.
const ROOM: f64 = 0.10;

/// CPU time of one row's calls, by that of the row that it is compared with, of the same run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ratio {
    pub(crate) server: String,
    pub(crate) connections: u32,
    /// Beside a process that uses up caches.
    pub(crate) beside: bool,
    pub(crate) ratio: f64,
}

impl Ratio {
    /// Whether both are of the same row.
    fn is_of(&self, other: &Self) -> bool {
        self.server == other.server && self.connections == other.connections && self.beside == other.beside
    }
}

/// Writes the ratios of a run down as the baseline of others. Rows that were not measured stay as they are.
pub(crate) fn save(path: &Path, ratios: &[Ratio]) -> anyhow::Result<()> {
    let mut all = if path.exists() { read(path)? } else { Vec::new() };
    for ratio in ratios {
        match all.iter_mut().find(|known| known.is_of(ratio)) {
            Some(known) => known.ratio = ratio.ratio,
            None => all.push(ratio.clone()),
        }
    }
    let lines: Vec<String> = all.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    fs::write(path, format!("[\n  {}\n]\n", lines.join(",\n  "))).with_context(|| format!("cannot write {}", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<Ratio>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a baseline", path.display()))
}

/// Compares a run with a baseline, and fails where a call became dearer.
pub(crate) fn check(path: &Path, ratios: &[Ratio]) -> anyhow::Result<()> {
    let baseline = read(path)?;
    let mut table = Table::new(&["connections", "server", "baseline", "now", "change"], &[1]);
    let mut worse = Vec::new();
    let mut compared = 0;
    for before in &baseline {
        let Some(now) = ratios.iter().find(|now| now.is_of(before)) else { continue };
        compared += 1;
        let change = now.ratio / before.ratio - 1.0;
        let label = format!("{}{}", before.server, if before.beside { ", beside a busy process" } else { "" });
        if change > ROOM {
            worse.push(format!("{label} at {} connections: {:.2} ×, was {:.2}", now.connections, now.ratio, before.ratio));
        }
        let change = format!("{:+.0} %", change * 100.0);
        table.row([before.connections.to_string(), label, number(before.ratio, 2), number(now.ratio, 2), change]);
    }
    ensure!(compared > 0, "nothing of {} was measured in this run", path.display());
    table.print("compared with the baseline", "CPU per call as a multiple of what it is compared with in the same run");
    ensure!(worse.is_empty(), "calls became dearer by more than {:.0} %:\n  {}", ROOM * 100.0, worse.join("\n  "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(connections: u32, ratio: f64) -> Ratio {
        Ratio { server: "x".to_owned(), connections, beside: false, ratio }
    }

    #[test]
    fn a_dearer_call_is_found_and_noise_is_not() {
        let folder = std::env::temp_dir().join(format!("toolbay-baseline-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("baseline.json");
        save(&path, &[ratio(1, 1.3), ratio(8, 1.4)]).unwrap();
        assert!(check(&path, &[ratio(1, 1.4), ratio(8, 1.0)]).is_ok());
        let error = check(&path, &[ratio(1, 1.3), ratio(8, 1.6)]).unwrap_err().to_string();
        assert!(error.contains("x at 8 connections: 1.60 ×, was 1.40"), "{error}");
        assert!(check(&path, &[ratio(64, 1.0)]).is_err(), "nothing to compare");
        save(&path, &[ratio(8, 1.6), ratio(64, 1.1)]).unwrap();
        assert_eq!(read(&path).unwrap(), [ratio(1, 1.3), ratio(8, 1.6), ratio(64, 1.1)], "what was not measured stays");
        fs::remove_dir_all(folder).unwrap();
    }
}
